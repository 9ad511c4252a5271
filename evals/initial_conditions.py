"""What the runs on a case begin from: nothing, or an initial error, the same for every policy and segmenter."""

from collections.abc import Iterator, Sequence
from contextlib import suppress

import numpy as np

from ibisagent.agent.state import Input
from ibisagent.tools.datasets import Case
from ibisagent.tools.errors import InputError
from ibisagent.tools.imaging.grids import Mask
from ibisagent.tools.imaging.medical_image import MedicalImage
from ibisagent.tools.jobs.run_settings import case_seed
from ibisagent.tools.perturbations.distractor_clicks import sample_distractor_click
from ibisagent.tools.perturbations.initial_masks import INITIAL_MASKS, make_initial_mask

__all__ = ["NEEDS_OTHERS", "STARTS", "build_initial_input"]

STARTS = (*INITIAL_MASKS, "distractor_click")
"""Nothing, an initial mask (`make_initial_mask`), or a positive click outside the target."""
NEEDS_OTHERS = ("foreign_mask", "other_target_mask")
"""Those for which the masks of the picture's other targets are read."""


def build_initial_input(
    kind: str, seed: int, case: Case, others: Sequence[Case], image: MedicalImage, truth: Mask
) -> Input:
    """Return an initial mask or a prompt; empty for "none" and where none of this kind can be made.

    It is drawn from (seed, case id). ``others``: further cases of this picture, whose masks serve as foreign masks;
    those that cannot be read are skipped. An absent target has no perturbed mask.
    """
    rng = np.random.default_rng(case_seed(seed, f"start of {case.id}"))
    if kind == "distractor_click":
        click = sample_distractor_click(truth, image.pixels, rng)
        return Input(prompts=[click], prompts_actor="experiment") if click is not None else Input()
    mask = make_initial_mask(kind, truth, list(_masks(others, image)), rng)
    return Input(initial_mask=mask) if mask is not None else Input()


def _masks(others: Sequence[Case], image: MedicalImage) -> Iterator[Mask]:
    for case in others:
        with suppress(InputError):
            yield case.read_truth(image)
