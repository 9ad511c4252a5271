"""The default embedded segmenter: geodesic evidence and colour, combined by an exact minimum cut."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from scipy import ndimage

from ibisagent.tools.clicks import Prompt, Similar
from ibisagent.tools.segmenters.base import Mask, Prediction
from ibisagent.tools.segmenters.features import Features, Field
from ibisagent.tools.segmenters.geodesic import CERTAIN_ENERGY, MAX_ENERGY, GeodesicSegmenter
from ibisagent.tools.segmenters.maxflow import min_cut
from ibisagent.tools.segmenters.prompt_kinds import PROMPT_KINDS
from ibisagent.tools.segmenters.similar import PlainPredict, SimilarSettings, predict_similar
from ibisagent.tools.segmenters.working_grid import enlarge_mask

__all__ = ["GeocutSegmenter"]


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

    def _label(self, embedding: Features, unary: Field) -> Mask:
        key = ("pairs", self.parameters)
        right, down = embedding.memo.get(key, lambda: self._weigh_pairs(embedding.colours))
        return min_cut(unary, right, down)

    def _weigh_pairs(self, colours: Field) -> tuple[Field, Field]:
        """Weight of each pair, (h, w - 1) and (h - 1, w): cheap to cut where colours differ (Boykov and Jolly 2001)."""
        across, along = ((np.diff(colours, axis=axis) ** 2).sum(axis=2) for axis in (1, 0))
        scale = 2 * max(sum(float(part.mean()) for part in (across, along) if part.size), 1e-5)
        p = self.parameters
        return p.smoothness * np.exp(-across / scale) + p.floor, p.smoothness * np.exp(-along / scale) + p.floor

    def _compare_colours(self, embedding: Features, inside: Mask, outside: Mask) -> Field | float:
        if inside.sum() <= 8 or outside.sum() <= 8:
            return 0.0
        a, b = _estimate_likelihood(embedding.colours, inside), _estimate_likelihood(embedding.colours, outside)
        return np.asarray(self.parameters.weight_colour * np.clip(np.log((a + 0.05) / (b + 0.05)), -3, 3), np.float32)


def _estimate_likelihood(colours: Field, sample: Mask, width: float = 0.06) -> Field:
    """Parzen density of the sample's colours at every pixel, (h, w), channels independent, geometric mean."""
    channels = colours.shape[2]
    total = np.zeros(sample.shape, np.float32)
    for channel in np.moveaxis(colours, 2, 0):
        low, high = float(channel.min()), max(float(channel.max()), float(channel.min()) + 1e-3)
        bins = np.minimum(((channel - low) * (127.999 / (high - low))).astype(np.intp), 127)
        histogram = np.bincount(bins[sample], minlength=128).astype(np.float64)
        bin_width = (high - low) / 128
        histogram = ndimage.gaussian_filter1d(histogram, max(0.5, width / bin_width))
        density = histogram / (histogram.sum() * bin_width + 1e-9)
        total += np.log(density[bins] + 1e-6).astype(np.float32)
    return np.asarray(np.exp(total / channels), np.float32)
