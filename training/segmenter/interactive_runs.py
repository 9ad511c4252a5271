"""Runs of simulated clicks in progress: their states are trained on, and the network's answer leads to the next.

The clicks are placed as RITM's (Sofiiuk, Petrov and Konushin 2021) on the masks of the very network in training.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch

from ibisagent.evals.clicks.protocol import bounding_box_prompt, jittered_placement
from ibisagent.tools.clicks import Box, Pixel, Prompt, pixel_to_click
from ibisagent.tools.imaging.grids import Mask
from ibisagent.tools.masks.measure import iou
from ibisagent.tools.perturbations.initial_masks import make_initial_mask
from ibisagent.tools.segmenters.features import Features, Field
from ibisagent.tools.segmenters.geocut import GeocutSegmenter
from ibisagent.tools.segmenters.geodesic import MaskPrior
from ibisagent.tools.segmenters.geonet.inputs import make_inputs
from ibisagent.tools.segmenters.geonet.segmenter import join_energies
from ibisagent.tools.segmenters.geonet.view import SquareView, find_view
from ibisagent.tools.segmenters.working_grid import GridPrompts
from ibisagent.tools.simulator import next_click
from ibisagent.training.segmenter.samples import TargetPicture

__all__ = ["ClickState", "InteractiveRun", "UncutGeocut", "begin_run", "stack"]

BOX_FIRST, MASK_FIRST = 0.12, 0.06  # how often a run begins with a box, or with a mask that is to be refined
MOVED = 0.5  # how often a click is moved from the deepest pixel of the error
GOES_ON = 0.85  # the chance of a further click
MAX_CLICKS = 12
GOOD_ENOUGH = 0.97  # IoU at which a run ends
WIDER, SHIFT = (1.0, 1.35), 0.08  # a view's side is multiplied, its place moved by such a share of it


@dataclass(frozen=True)
class UncutGeocut(GeocutSegmenter):
    """Geocut without its cut, which would take most of the time: each pixel is decided by its own energy."""

    def _label(self, embedding: Features, unary: Field) -> Mask:
        del embedding
        return unary > 0


class ClickState(NamedTuple):
    """A state as the network sees it, (channels, S, S) float32, the truth and what is of the picture, (S, S) float32.

    ``energy``: geocut's, (h, w), for the next mask.
    """

    inputs: Field
    truth: Field
    within: Field
    energy: Field
    view: SquareView
    grid_prompts: GridPrompts
    kept: bool


@dataclass
class InteractiveRun:
    """One target and the prompts so far. ``share``: the network's in the masks of this run."""

    segmenter: UncutGeocut
    features: Features
    truth: Mask
    rng: np.random.Generator
    share: float
    prompts: list[Prompt] = field(default_factory=list)
    prior: MaskPrior | None = None
    taken: set[Pixel] = field(default_factory=set)

    def look(self) -> ClickState:
        """Return the present state, its view wider and moved at random."""
        grid_prompts, kept = self.segmenter.read_prompts(self.features, self.prompts, self.prior)
        energy = self.segmenter.compute_energy(self.features, grid_prompts, self.prior, kept)
        before, work = (None if self.prior is None else self.prior.work), self.features.grid.work
        view = self._move(find_view(work, before, grid_prompts.clicks, grid_prompts.box))
        inputs = make_inputs(self.features, view, grid_prompts, before, energy)
        seen = view.look(self.truth, work)
        return ClickState(inputs, seen, view.look(np.ones(work, np.float32), work), energy, view, grid_prompts, kept)

    def _move(self, view: SquareView) -> SquareView:
        side = max(8, round(view.side * self.rng.uniform(*WIDER)))
        top, left = (
            round(begin + (view.side - side) / 2 + side * self.rng.uniform(-SHIFT, SHIFT)) for begin in view[:2]
        )
        return SquareView(top, left, side)

    def advance(self, state: ClickState, log_odds: Field) -> bool:
        """Take the network's answer, (S, S), as the next mask, and place a click on it; return whether there is one."""
        unary = join_energies(state.energy, log_odds, state.view, self.share)
        label = self.segmenter.decide(self.features, unary, state.grid_prompts, self.prior, state.kept)
        given = self.prior is not None and self.prior.has_initial_mask
        self.prior = MaskPrior(label, label, given, len(self.prompts))
        ends = len(self.prompts) >= MAX_CLICKS or self.rng.random() > GOES_ON or iou(label, self.truth) > GOOD_ENOUGH
        return not ends and self.click()

    def click(self) -> bool:
        """Place a click on the mask so far; return whether there was an error to click on."""
        mask = np.zeros(self.truth.shape, np.bool_) if self.prior is None else self.prior.work
        found = next_click(mask, self.truth, self.taken)
        if found is None:
            return False
        pixel = found.pixel
        if self.rng.random() < MOVED:
            place = jittered_placement(int(self.rng.integers(2**31)), 0.25)
            pixel = place(found, mask, self.truth, self.taken)
        self.taken.add(pixel)
        self.prompts.append(pixel_to_click(pixel, self.truth.shape, found.positive))
        return True


def begin_run(segmenter: UncutGeocut, sample: TargetPicture, rng: np.random.Generator) -> InteractiveRun | None:
    """Begin a run on a sample; None where the target is too small on the working grid."""
    features = segmenter.embed(sample.picture)
    truth = np.asarray(features.grid.coverage(sample.truth) >= 0.5)
    run = InteractiveRun(segmenter, features, truth, rng, share=float(rng.uniform(0.4, 1.0)))
    if not 12 <= np.count_nonzero(truth) <= 0.95 * truth.size:
        return None
    drawn = rng.random()
    if drawn < BOX_FIRST:
        run.prompts.append(_draw_box(truth, rng))
        return run
    if drawn < BOX_FIRST + MASK_FIRST:
        mask = make_initial_mask("perturbed_mask", truth, [], rng)
        if mask is not None:
            run.prior = MaskPrior(mask, mask, has_initial_mask=True)
    return run if run.click() else None


def _draw_box(truth: Mask, rng: np.random.Generator) -> Box:
    """Return the target's box, each edge moved by up to a twentieth of its side."""
    box = bounding_box_prompt(truth)
    width, height = box.x1 - box.x0, box.y1 - box.y0
    x0, x1 = np.clip([box.x0 - width * rng.uniform(-0.03, 0.05), box.x1 + width * rng.uniform(-0.03, 0.05)], 0, 1)
    y0, y1 = np.clip([box.y0 - height * rng.uniform(-0.03, 0.05), box.y1 + height * rng.uniform(-0.03, 0.05)], 0, 1)
    return Box(float(x0), float(y0), float(x1), float(y1))


def stack(states: Sequence[ClickState]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the inputs (B, channels, S, S), truths and parts within the picture (B, S, S) of states."""
    parts = ([state.inputs for state in states], [state.truth for state in states], [state.within for state in states])
    inputs, truths, within = (torch.from_numpy(np.stack(part)) for part in parts)
    return inputs, truths, within
