"""The embedded segmenters' common course, and the plain one: geodesic distance from each click, no cut."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass, field, fields

import numpy as np
from scipy import ndimage

from ibisagent.tools.clicks import Box, Click, Pixel, PixelBox, Prompt, pixel_box, pixel_of
from ibisagent.tools.segmenters.base import Mask, Pixels, Prediction, Query, one_by_one
from ibisagent.tools.segmenters.confidence import Context, score
from ibisagent.tools.segmenters.evidence import Evidence, Mark, Parameters, correction, gather, seeds
from ibisagent.tools.segmenters.features import Features, Field, Grid, extract

__all__ = ["GeodesicSegmenter", "Prior"]

CERTAIN = 60.0  # the unary energy of a clicked pixel: more than any sum of pair weights around it
LIMIT = 6.0  # that of any other pixel


@dataclass(frozen=True, slots=True, eq=False)
class Prior:
    """The mask so far, (H, W) and (h, w) bool, both read-only; ``given``: it began with somebody's mask."""

    full: Mask
    work: Mask
    given: bool
    clicks: int = 0


@dataclass(frozen=True)
class GeodesicSegmenter:
    """Mask = pixels nearer, along paths that avoid edges, to a positive click than to a negative one or the far end."""

    parameters: Parameters = field(default_factory=Parameters)
    name = "geodesic-1"
    calibrated = False

    @property
    def fingerprint(self) -> str:
        """Name, version and every parameter in one line."""
        values = zip(fields(self.parameters), astuple(self.parameters), strict=True)
        return " ".join([self.name, *(f"{item.name}={value}" for item, value in values)])

    def embed(self, pixels: Pixels) -> Features:
        """Extract the features once per picture."""
        return extract(pixels, self.parameters.side)

    def predict_many(self, queries: Sequence[Query]) -> list[Prediction]:
        """Answer one by one."""
        return one_by_one(self, queries)

    def prior_from_mask(self, embedding: Features, mask: Mask) -> Prior:
        """Take a mask as the state so far."""
        work = embedding.grid.coverage(mask) >= 0.5
        return Prior(_frozen(mask.copy()), _frozen(work), given=True)

    def predict(self, embedding: Features, prompts: Sequence[Prompt], prior: Prior | None) -> Prediction:
        """Segment from all prompts; see `Segmenter.predict`."""
        marks, box = _read(prompts, embedding)
        evidence = self._evidence(embedding, marks, box, prior)
        if evidence is None:
            return self._finish(embedding, prompts, np.zeros(embedding.grid.work, np.bool_), None, prior)
        unary = self._unary(embedding, evidence, marks, box, prior)
        label = _tidy(self._label(embedding, unary), marks, prior)
        return self._finish(embedding, prompts, label, self._score(embedding, label, unary, marks, prior), prior)

    def _evidence(
        self, embedding: Features, marks: list[Mark], box: PixelBox | None, prior: Prior | None
    ) -> Evidence | None:
        given = prior is not None and prior.given
        if not given and not any(mark.positive for mark in marks):
            return None
        area = 0.0 if box is None else 0.7 * float(_inside(box, embedding.grid.work).sum())
        old = None if prior is None else prior.work
        return gather(embedding, marks, old, given, area, self.parameters)

    def _unary(
        self, embedding: Features, evidence: Evidence, marks: list[Mark], box: PixelBox | None, prior: Prior | None
    ) -> Field:
        chance = evidence.probability
        unary = np.log((chance + 0.02) / (1.02 - chance))
        inside, outside = seeds(
            marks, prior.work if prior is not None and prior.work.any() else None, embedding.grid.work, self.parameters
        )
        unary = unary + self._colour_term(embedding, (chance > 0.75) | inside, ((chance < 0.12) & ~inside) | outside)
        if prior is not None and prior.work.any() and (prior.given or len(marks) > 1) and marks:
            unary = self._local(unary, marks[-1], evidence.latest, prior)
        unary = np.clip(unary, -LIMIT, LIMIT)
        if box is not None:
            unary = np.where(_inside(box, unary.shape), unary + _roundness(box, unary.shape), -CERTAIN)
        unary[inside], unary[outside] = CERTAIN, -CERTAIN
        return unary.astype(np.float32)

    def _local(self, unary: Field, mark: Mark, latest: Field, prior: Prior) -> Field:
        """Let the latest click rule near itself and the mask so far elsewhere.

        A correction sits in the middle of what is wrong, so its distance to the mask's contour tells how far it reaches.
        """
        p, shape = self.parameters, prior.work.shape
        rows, columns = np.ogrid[: shape[0], : shape[1]]
        distance = np.hypot(rows - mark.pixel.row, columns - mark.pixel.column)
        gap, radius = correction(mark, prior.work), float(np.sqrt(prior.work.sum() / np.pi))
        trust = (
            1.0
            if prior.given
            else 1.0 / (1.0 + (gap / (p.trust * (1 + p.grow * max(0, prior.clicks - 1)) * radius)) ** 2)
        )
        reach = min(p.near * gap, p.local * 1.77 * radius, 0.3 * max(shape))
        far = np.clip(distance / max(reach, p.least), 0, 1) ** 1.5 * trust
        if p.along and not prior.given:
            far = np.minimum(far, np.clip(latest / p.along, 0, 1) ** 1.5 * trust)
        sign = 1.0 if mark.positive else -1.0
        disc = np.clip(1.5 - distance / (p.disc * gap + 1e-6), 0, 1)
        old = np.where(prior.work, 1.0, -1.0)
        return np.asarray(
            unary * (1 - p.fade * far) + p.weight_old * old * far + p.weight_disc * sign * disc, np.float32
        )

    def _colour_term(self, embedding: Features, inside: Mask, outside: Mask) -> Field | float:
        return 0.0

    def _label(self, embedding: Features, unary: Field) -> Mask:
        return unary > 0

    def _score(
        self, embedding: Features, label: Mask, unary: Field, marks: list[Mark], prior: Prior | None
    ) -> float | None:
        before = None if prior is None else prior.work
        gap = correction(marks[-1], before) if before is not None and marks else 0.0
        return score(embedding, label, Context(max(1, len(marks)), gap, before, unary))

    def _finish(
        self,
        embedding: Features,
        prompts: Sequence[Prompt],
        label: Mask,
        score: float | None,
        prior: Prior | None,
    ) -> Prediction:
        full = _full_size(embedding.grid, label, prior)
        for prompt in prompts:
            if isinstance(prompt, Box):
                box = pixel_box(prompt, full.shape)
                full &= _inside(box, full.shape)
                if not full.any():
                    full[(box.top + box.bottom) // 2, (box.left + box.right) // 2] = True
            else:
                full[pixel_of(prompt, full.shape)] = prompt.positive
        mask = _frozen(full)
        return Prediction(mask, score, Prior(mask, _frozen(label), prior is not None and prior.given, len(prompts)))


def _frozen(mask: Mask) -> Mask:
    mask.setflags(write=False)
    return mask


def _inside(box: PixelBox, shape: tuple[int, ...]) -> Mask:
    mask = np.zeros(shape[:2], np.bool_)
    mask[box.top : box.bottom + 1, box.left : box.right + 1] = True
    return mask


def _roundness(box: PixelBox, shape: tuple[int, ...]) -> Field:
    """What a box alone says of its pixels: 1 in the middle, 0 on the ellipse that fills it, below 0 in the corners."""
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    down = (2 * rows - box.top - box.bottom) / (box.bottom - box.top + 1)
    across = (2 * columns - box.left - box.right) / (box.right - box.left + 1)
    return np.asarray(1 - down**2 - across**2, np.float32)


def _read(prompts: Sequence[Prompt], embedding: Features) -> tuple[list[Mark], PixelBox | None]:
    """Bring prompts to the working grid: one mark a pixel, the latest; the latest box, if any.

    A box without a positive click stands for one on its centre.
    """
    marks: dict[Pixel, Mark] = {}
    box = None
    for prompt in prompts:
        if isinstance(prompt, Click):
            pixel = embedding.grid.shrunk(pixel_of(prompt, embedding.grid.full))
            marks.pop(pixel, None)
            marks[pixel] = Mark(pixel, prompt.positive)
        else:
            box = pixel_box(prompt, embedding.grid.work)
    if box is not None and not any(mark.positive for mark in marks.values()):
        centre = Pixel((box.top + box.bottom) // 2, (box.left + box.right) // 2)
        return [Mark(centre, True), *(mark for mark in marks.values() if mark.pixel != centre)], box
    return list(marks.values()), box


def _tidy(label: Mask, marks: list[Mark], prior: Prior | None) -> Mask:
    """Keep components with a positive click (or of a given mask); fill small holes without a negative click."""
    parts, count = ndimage.label(label)
    if count == 0:
        return label
    wanted = {int(parts[mark.pixel]) for mark in marks if mark.positive}
    if prior is not None and prior.given:
        wanted |= set(np.unique(parts[prior.work]).tolist())
    wanted -= {0}
    if wanted:
        label = np.isin(parts, list(wanted))
    holes, count = ndimage.label(~label)
    if count > 1:
        areas = np.bincount(holes.ravel())
        small = areas < 0.02 * label.sum() + 9
        small[[0, *(int(holes[mark.pixel]) for mark in marks if not mark.positive)]] = False
        label = label | small[holes]
    return label


def _full_size(grid: Grid, label: Mask, prior: Prior | None) -> Mask:
    """Enlarge a working mask; of somebody's initial mask only what has changed, so its contour stays as it was."""
    if prior is None or not prior.given:
        return _smooth(grid, label)
    added, removed = label & ~prior.work, prior.work & ~label
    return np.asarray((prior.full | _smooth(grid, added)) & ~_smooth(grid, removed))


def _smooth(grid: Grid, label: Mask) -> Mask:
    return np.asarray(grid.enlarged(ndimage.gaussian_filter(label.astype(np.float32), 0.8)) > 0.5)
