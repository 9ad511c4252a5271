"""The procedure that the embedded segmenters share, and the simple one: geodesic distance per click, no cut."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass, field, fields

import numpy as np

from ibisagent.tools.clicks import Prompt
from ibisagent.tools.imaging.grids import make_read_only
from ibisagent.tools.segmenters.base import Mask, Pixels, Prediction, Query, predict_one_by_one
from ibisagent.tools.segmenters.click_evidence import (
    Evidence,
    draw_seeds,
    gather_evidence,
    limit_edit,
    measure_correction,
    measure_reach,
)
from ibisagent.tools.segmenters.confidence import ScoreContext, estimate_iou
from ibisagent.tools.segmenters.features import Features, Field, extract_features
from ibisagent.tools.segmenters.parameters import Parameters
from ibisagent.tools.segmenters.prompt_kinds import require_taken, taken_by
from ibisagent.tools.segmenters.working_grid import (
    GridPrompts,
    clean_components,
    compute_ellipse_prior,
    enforce_prompts,
    enlarge_mask,
    fill_box,
    to_grid_prompts,
)

__all__ = ["GeodesicSegmenter", "MaskPrior"]

CERTAIN_ENERGY = 60.0  # the unary energy of a clicked pixel: more than any sum of pair weights around it
MAX_ENERGY = 6.0  # that of any other pixel
BOX_FILL = 0.7  # the share of its box that an object fills


@dataclass(frozen=True, slots=True, eq=False)
class MaskPrior:
    """The mask so far, (H, W) and (h, w) bool, both read-only, and the number of prompts behind it.

    ``has_initial_mask``: it began with a given mask, of which only the neighbourhood of clicks may change.
    """

    full: Mask
    work: Mask
    has_initial_mask: bool
    prompts: int = 0


@dataclass(frozen=True)
class GeodesicSegmenter:
    """Mask = pixels nearer, along paths that avoid edges, to a positive click than to a negative one or the far end."""

    parameters: Parameters = field(default_factory=Parameters)
    name = "geodesic"
    calibrated = False

    @property
    def fingerprint(self) -> str:
        """Name, version and every parameter in one line."""
        values = zip(fields(self.parameters), astuple(self.parameters), strict=True)
        return " ".join([f"{self.name}-3", *(f"{item.name}={value}" for item, value in values)])

    def embed(self, pixels: Pixels) -> Features:
        """Extract the features once per picture."""
        return extract_features(pixels, self.parameters.side)

    def predict_many(self, queries: Sequence[Query]) -> list[Prediction]:
        """Answer one by one."""
        return predict_one_by_one(self, queries)

    def prior_from_mask(self, embedding: Features, mask: Mask) -> MaskPrior:
        """Take a mask as the state so far."""
        if mask.shape != embedding.grid.full:
            raise ValueError(f"mask of shape {mask.shape}: expected {embedding.grid.full}, the picture's")
        return MaskPrior(
            make_read_only(mask.copy()), make_read_only(embedding.grid.coverage(mask) >= 0.5), has_initial_mask=True
        )

    def predict(self, embedding: Features, prompts: Sequence[Prompt], prior: MaskPrior | None) -> Prediction:
        """Segment from all prompts; see `Segmenter.predict`. No prompts: the mask so far."""
        require_taken(prompts, taken_by(self), self.name)
        grid, (grid_prompts, kept) = embedding.grid, self.read_prompts(embedding, prompts, prior)
        given = prior is not None and prior.has_initial_mask
        if not grid_prompts.clicks or not (kept or any(click.positive for click in grid_prompts.clicks)):
            empty = MaskPrior(
                make_read_only(np.zeros(grid.full, np.bool_)),
                make_read_only(np.zeros(grid.work, np.bool_)),
                has_initial_mask=given,
            )
            state = prior if prior is not None and not prompts else empty
            return Prediction(state.full, None, state)
        unary = self.compute_energy(embedding, grid_prompts, prior, kept)
        label = self.decide(embedding, unary, grid_prompts, prior, kept)
        # only a given mask has a contour of its own to keep: one found in a box is drawn anew
        start = prior if given else None
        full = enlarge_mask(grid, label, (start.full, start.work) if start is not None else None)
        full = self._refine(embedding, full, prompts, label ^ start.work if start is not None else None)
        mask = make_read_only(enforce_prompts(full, prompts))
        state = MaskPrior(mask, make_read_only(label), given, len(prompts))
        return Prediction(mask, self._estimate(embedding, label, _build_context(grid_prompts, prior, unary)), state)

    def read_prompts(
        self, embedding: Features, prompts: Sequence[Prompt], prior: MaskPrior | None
    ) -> tuple[GridPrompts, bool]:
        """Return the prompts on the working grid, and whether the mask so far counts as a given one.

        A mask found in a box is worth as much as a given one: it rests on more than the clicks say.
        """
        has_mask = prior is not None and bool(prior.work.any())
        read = to_grid_prompts(prompts, embedding.grid, has_mask)
        given = prior is not None and prior.has_initial_mask
        return read, given or (has_mask and read.box is not None and not read.box_is_latest)

    def decide(
        self, embedding: Features, unary: Field, grid_prompts: GridPrompts, prior: MaskPrior | None, kept: bool
    ) -> Mask:
        """Return the working mask, (h, w) bool, of an energy: whole parts, and no larger an edit than a click means."""
        before = prior.work if prior is not None and kept else None
        label = clean_components(self._label(embedding, unary), grid_prompts.clicks, before)
        if prior is not None and prior.work.any() and not grid_prompts.box_is_latest:
            latest = grid_prompts.clicks[-1]
            label = limit_edit(embedding, label, prior.work, prior.prompts, latest, self.parameters)
            label = clean_components(label, grid_prompts.clicks, before)
            if prior.has_initial_mask:  # of which a click changes its own neighbourhood alone
                label = np.where(measure_reach(latest, prior.work, self.parameters).far < 1, label, prior.work)
        return label

    def _estimate(self, embedding: Features, label: Mask, context: ScoreContext) -> float:
        """Estimate the IoU of a working mask, (h, w)."""
        return estimate_iou(embedding, label, context)

    def compute_energy(
        self, embedding: Features, grid_prompts: GridPrompts, prior: MaskPrior | None, kept: bool
    ) -> Field:
        """Return the energy of calling each pixel inside, (h, w), in log odds; see `_weigh_locally` for ``kept``."""
        shape, box = embedding.grid.work, grid_prompts.box
        old = prior.work if prior is not None else None
        area = 0.0 if box is None else BOX_FILL * float(fill_box(box, shape).sum())
        evidence = gather_evidence(embedding, grid_prompts.clicks, old, kept, area, self.parameters)
        chance = evidence.chance
        inside, outside = draw_seeds(grid_prompts.clicks, old if old is not None and old.any() else None, shape)
        colour = self._compare_colours(embedding, (chance > 0.75) | inside, ((chance < 0.12) & ~inside) | outside)
        unary = np.asarray(np.log((chance + 0.02) / (1.02 - chance)) + colour, np.float32)
        if prior is not None and prior.work.any() and (kept or not grid_prompts.box_is_latest):
            unary = self._weigh_locally(unary, grid_prompts, evidence, prior, kept)
        unary = np.clip(unary, -MAX_ENERGY, MAX_ENERGY)
        if box is not None:
            unary = np.where(
                fill_box(box, shape), unary + compute_ellipse_prior(box, shape), np.float32(-CERTAIN_ENERGY)
            )
        unary[inside], unary[outside] = CERTAIN_ENERGY, -CERTAIN_ENERGY
        return unary

    def _weigh_locally(
        self, unary: Field, grid_prompts: GridPrompts, evidence: Evidence, prior: MaskPrior, kept: bool
    ) -> Field:
        """Let the latest click decide near itself and the mask so far elsewhere.

        The larger a correction is beside the mask so far, the less that mask is trusted, unless it is to be ``kept``.
        """
        p, old, click = self.parameters, prior.work, grid_prompts.clicks[-1]
        distance, gap, far = measure_reach(click, old, p)
        if not kept:
            size = float(np.sqrt(old.sum()))
            doubt = gap / (p.trust * (1 + p.grow * max(0, prior.prompts - 1)) * size / np.sqrt(np.pi))
            far = np.minimum(far, np.clip(evidence.latest / p.along, 0, 1) ** 1.5) / (1 + doubt**2)
        disc = np.clip(1.5 - distance / (p.disc * gap + 1e-6), 0, 1) * (1 if click.positive else -1)
        held = p.weight_old * np.where(old, 1, -1) * far
        return np.asarray(unary * (1 - p.fade * far) + held + p.weight_disc * disc, np.float32)

    def _compare_colours(self, embedding: Features, inside: Mask, outside: Mask) -> Field | float:
        """Evidence from colours seen in two samples, masks (h, w); none here."""
        del embedding, inside, outside
        return 0.0

    def _refine(self, embedding: Features, mask: Mask, prompts: Sequence[Prompt], changed: Mask | None) -> Mask:
        """Improve the contour of a mask (H, W), where ``changed`` (h, w) is not None only near it; here not at all."""
        del embedding, prompts, changed
        return mask

    def _label(self, embedding: Features, unary: Field) -> Mask:
        """Decide each pixel, (h, w), from its energy; here alone."""
        del embedding
        return unary > 0


def _build_context(grid_prompts: GridPrompts, prior: MaskPrior | None, unary: Field) -> ScoreContext:
    before = None if prior is None else prior.work
    click = grid_prompts.clicks[-1]
    gap = measure_correction(click, before) if before is not None else 0.0
    return ScoreContext(len(grid_prompts.clicks), gap, click.positive, before, unary)
