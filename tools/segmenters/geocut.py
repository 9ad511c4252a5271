"""The default embedded segmenter: geodesic evidence and colour, combined by an exact minimum cut."""

import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ibisagent.tools.clicks import Prompt, Similar
from ibisagent.tools.segmenters.base import Mask, Prediction
from ibisagent.tools.segmenters.contour_band import refine_contour
from ibisagent.tools.segmenters.features import Features, Field, WorkingGrid, square_distance
from ibisagent.tools.segmenters.geodesic import CERTAIN_ENERGY, MAX_ENERGY, GeodesicSegmenter
from ibisagent.tools.segmenters.maxflow import LENGTHS, STEPS, PairWeights, min_cut, pair_slices
from ibisagent.tools.segmenters.prompt_kinds import PROMPT_KINDS
from ibisagent.tools.segmenters.similar import PlainPredict, SimilarSettings, predict_similar
from ibisagent.tools.segmenters.working_grid import enlarge_mask, to_grid_prompts

__all__ = ["GeocutSegmenter"]

# What is this unlikely everywhere is outside: leaving it can save no more than one pair's weight for each row of it.
_UNLIKELY = 2.5
_MARGIN, _BLOCK = 5, 32  # working pixels around all that is likelier, and in a block
_BINS = 128  # of a histogram of colours


@dataclass(frozen=True)
class GeocutSegmenter(GeodesicSegmenter):
    """`GeodesicSegmenter` plus colour likelihoods and a contour that follows edges."""

    name = "geocut"
    calibrated = True
    prompts = PROMPT_KINDS
    similar: SimilarSettings = field(default_factory=SimilarSettings)

    @property
    def fingerprint(self) -> str:
        """Name, version and every parameter in one line."""
        return f"{super().fingerprint} {' '.join(f'similar.{k}={v}' for k, v in asdict(self.similar).items())}"

    def predict(self, embedding: Features, prompts: Sequence[Prompt], prior: Any) -> Prediction:
        """Segment from all prompts; see `Segmenter.predict`. No prompts: the mask so far."""
        plain = PlainPredict(super().predict, self.prior_from_mask, lambda state: state.full)
        if any(isinstance(prompt, Similar) for prompt in prompts):
            return predict_similar(plain, embedding, prompts, prior, self.similar)
        return plain.predict(embedding, prompts, prior)

    def cut_near_contour(self, embedding: Features, log_odds: Field, width: float) -> Mask:
        """Return a coarse drawing as a mask, (H, W) bool, its contour moved onto edges of the picture near it.

        ``log_odds``: (h, w) on the working grid, above 0 inside. ``width``: in working pixels, how far from the
        drawing's contour a pixel may change sides; colours are compared with those at up to 3 times of it outside.
        """
        drawn = log_odds > 0
        if drawn.any() and not drawn.all():
            inward, outward = (ndimage.distance_transform_edt(part) for part in (drawn, ~drawn))
            near = (outward > width / 2) & (outward < 3 * width)
            unary = np.clip(log_odds, -MAX_ENERGY, MAX_ENERGY)
            unary = unary + self._compare_colours(embedding, inward > width / 2, near)
            unary[inward > width], unary[outward > width] = CERTAIN_ENERGY, -CERTAIN_ENERGY
            drawn = self._label(embedding, unary)
        return enlarge_mask(embedding.grid, drawn, None)

    def _refine(self, embedding: Features, mask: Mask, prompts: Sequence[Prompt], changed: Mask | None) -> Mask:
        height, width = embedding.fine.shape[:2]
        grid = WorkingGrid(mask.shape, (height, width))
        small = mask if grid.work == grid.full else grid.coverage(mask) >= 0.5
        free = None
        if changed is not None:
            near = ndimage.binary_dilation(changed, iterations=3).astype(np.float32)
            free = WorkingGrid(grid.work, embedding.grid.work).to_full_size(near) > 0
        scale = max(grid.work) / max(embedding.grid.work)
        refined = refine_contour(embedding.fine, small, scale, to_grid_prompts(prompts, grid).clicks, free)
        return refined if grid.work == grid.full else enlarge_mask(grid, refined, (mask, small))

    def _label(self, embedding: Features, unary: Field) -> Mask:
        key = ("pairs", self.parameters)
        weights = embedding.memo.get(key, lambda: self._weigh_pairs(embedding.colours))
        label = np.zeros(unary.shape, np.bool_)
        part = _find_possible(unary > -_UNLIKELY)
        if part is None:
            return label
        size = unary[part].shape
        cropped = (
            field[part[0].start :, part[1].start :][: size[0] - down, : size[1] - abs(across)]
            for field, (down, across) in zip(weights, STEPS, strict=True)
        )
        label[part] = min_cut(unary[part], PairWeights(*cropped))
        return label

    def _weigh_pairs(self, colours: Field) -> PairWeights:
        """Weight the pairs: cheap to cut where colours differ (Boykov and Jolly 2001)."""
        pairs = [
            square_distance(colours[there], colours[here]) for here, there in itertools.starmap(pair_slices, STEPS)
        ]
        scale = 2 * max(sum(float(part.mean()) for part in pairs[:2] if part.size), 1e-5)
        p, fields = self.parameters, []
        for step, length, squares in zip(STEPS, LENGTHS, pairs, strict=True):
            difference = squares / (scale * np.dot(step, step))
            fields.append(length * (p.smoothness * np.exp(-difference) + p.floor))
        return PairWeights(*fields)

    def _compare_colours(self, embedding: Features, inside: Mask, outside: Mask) -> Field | float:
        if inside.sum() <= 8 or outside.sum() <= 8:
            return 0.0
        bins = embedding.memo.get("bins", lambda: [_sort_into_bins(c) for c in np.moveaxis(embedding.colours, 2, 0)])
        a, b = _estimate_likelihood(bins, inside), _estimate_likelihood(bins, outside)
        return np.asarray(self.parameters.weight_colour * np.clip(np.log((a + 0.05) / (b + 0.05)), -3, 3), np.float32)


def _find_possible(possible: Mask) -> tuple[slice, slice] | None:
    """The part of the grid around all that could be inside, None when nothing could; in whole blocks, for few sizes."""
    spans = []
    for axis in (1, 0):
        found = np.flatnonzero(possible.any(axis=axis))
        if not found.size:
            return None
        start, stop = (int(found[0]) - _MARGIN) // _BLOCK, (int(found[-1]) + _MARGIN) // _BLOCK + 1
        spans.append(slice(max(0, start * _BLOCK), min(stop * _BLOCK, possible.shape[1 - axis])))
    return spans[0], spans[1]


class _Bins(NamedTuple):
    """Which of `_BINS` bins of ``width`` each pixel of a channel is in, (h, w)."""

    indices: NDArray[np.intp]
    width: float


def _sort_into_bins(channel: Field) -> _Bins:
    low, high = float(channel.min()), max(float(channel.max()), float(channel.min()) + 1e-3)
    indices = ((channel - low) * ((_BINS - 0.001) / (high - low))).astype(np.intp)
    return _Bins(np.minimum(indices, _BINS - 1), (high - low) / _BINS)


def _estimate_likelihood(channels: Sequence[_Bins], sample: Mask, width: float = 0.06) -> Field:
    """Parzen density of the sample's colours at every pixel, (h, w), channels independent, geometric mean."""
    total = np.zeros(sample.shape, np.float32)
    for bins in channels:
        histogram = np.bincount(bins.indices[sample], minlength=_BINS).astype(np.float64)
        histogram = ndimage.gaussian_filter1d(histogram, max(0.5, width / bins.width))
        density = histogram / (histogram.sum() * bins.width + 1e-9)
        total += np.log(density + 1e-6).astype(np.float32)[bins.indices]
    return np.asarray(np.exp(total / len(channels)), np.float32)
