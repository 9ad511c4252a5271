"""What a reward judges of a run's masks: the IoU of each, which prompts were right by which rule, and the IoU tiers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.ndimage import distance_transform_edt

from ibisagent.agent.trajectory import Trajectory
from ibisagent.evals.trajectories.step_kinds import indexed_prompts, is_policy_step
from ibisagent.evals.trajectories.truth_fit import EPSILON, compare_masks
from ibisagent.tools.click_correctness import is_correct_prompt
from ibisagent.tools.clicks import Box, Prompt, click_to_pixel
from ibisagent.tools.errors import InputError
from ibisagent.tools.imaging.grids import Mask
from ibisagent.tools.masks.rle import decode

__all__ = ["CLICK_RULES", "PAPER_RULES", "JudgingRules", "MaskJudgement", "judge_masks"]


def _is_deep(prompt: Prompt, mask: Mask, truth: Mask) -> bool:
    """Whether a click is right and at least half as deep in its error region as that region's deepest pixel."""
    if isinstance(prompt, Box) or not is_correct_prompt(prompt, mask, truth):
        return is_correct_prompt(prompt, mask, truth)
    depth = distance_transform_edt(np.pad((mask != truth) & (truth == prompt.positive), 1))[1:-1, 1:-1]
    return bool(depth[click_to_pixel(prompt, truth.shape)] * 2 >= depth.max())


def _is_on_its_side(prompt: Prompt, mask: Mask, truth: Mask) -> bool:
    """Whether a positive click is on the target, or a negative one off it, whatever the mask has already."""
    if isinstance(prompt, Box):
        return is_correct_prompt(prompt, mask, truth)
    return bool(truth[click_to_pixel(prompt, truth.shape)]) == prompt.positive


_BY_PLACE: dict[str, Callable[[Prompt, Mask, Mask], bool]] = {
    "error": is_correct_prompt,
    "deep": _is_deep,
    "side": _is_on_its_side,
}
_BY_GAIN = "gain"

CLICK_RULES = (*_BY_PLACE, _BY_GAIN)
"""Which click is right. "error": on an error of the mask, of its sign, as in the paper; "deep": and at least half as
deep in it as possible; "side": a positive one on the target, a negative one off it, whatever the mask; "gain": the IoU
rises by more than `ibisagent.evals.trajectories.EPSILON`, as SegAgent filters clicks. A box is judged by its place or
its gain alone."""


@dataclass(frozen=True, slots=True)
class JudgingRules:
    """``tiers``: IoU above which the tiered answer term earns one part more; ``clicks``: one of `CLICK_RULES`.

    The defaults are the paper's. `InputError` for tiers that do not rise within 0 to 1, and for another rule.
    """

    tiers: tuple[float, ...] = (0.5, 0.7, 0.8)
    clicks: str = "error"

    def __post_init__(self) -> None:
        """Raise `InputError` for what cannot be judged by."""
        if not self.tiers or not all(low < high for low, high in pairwise((0.0, *self.tiers, 1.0))):
            raise InputError(f"got tiers {list(self.tiers)}, expected rising numbers between 0 and 1; correct them")
        if self.clicks not in CLICK_RULES:
            known = ", ".join(CLICK_RULES)
            raise InputError(f"got the click rule {self.clicks[:40]!r}, expected one of {known}; choose one")


PAPER_RULES = JudgingRules()


@dataclass(frozen=True, slots=True)
class MaskJudgement:
    """The masks of a run against the truth.

    ``present``: the true mask is not empty; ``ious``: of the first mask, after each step, and of the final one;
    ``right``: by click rule, the positions in the record's steps of the policy's prompts that were right.
    """

    present: bool
    ious: tuple[float, ...]
    right: Mapping[str, frozenset[int]]

    def stopped_before(self, step: int) -> "MaskJudgement":
        """Return the judgement of the same run with a stop in place of the step at a position, which ends it."""
        kept = self.ious[: step + 1]
        return MaskJudgement(self.present, (*kept, kept[-1], kept[-1]), self.right)


def judge_masks(record: Trajectory, clicks: Sequence[str] = ("error",)) -> MaskJudgement:
    """Compare the masks of a run with its truth, and judge its prompts by the rules of `CLICK_RULES` that are named.

    `InputError` for a record without a truth, and for masks of another size than the truth's.
    """
    if record.truth is None:
        raise InputError("record: got no truth, expected one; rewards need the true mask")
    truth = decode(record.truth)
    prompts = {index: prompt for index, prompt in indexed_prompts(record) if is_policy_step(record.steps[index])}
    by_place = [rule for rule in clicks if rule in _BY_PLACE]
    right = {rule: frozenset(compare_masks(record, truth, prompts, _BY_PLACE[rule])[1]) for rule in by_place}
    ious, _ = compare_masks(record, truth, {})
    if _BY_GAIN in clicks:
        right[_BY_GAIN] = frozenset(index for index in prompts if ious[index + 1] - ious[index] > EPSILON)
    return MaskJudgement(bool(truth.any()), tuple(ious), right)
