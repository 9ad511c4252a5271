"""A run against the true mask: the IoU after each step, and which clicks were right."""

from collections.abc import Callable
from dataclasses import dataclass

from ibisagent.agent.trajectory import Trajectory
from ibisagent.evals.trajectories.step_kinds import indexed_prompts, is_policy_step
from ibisagent.tools.click_correctness import is_correct_prompt
from ibisagent.tools.clicks import Prompt
from ibisagent.tools.errors import InputError
from ibisagent.tools.imaging.grids import Mask
from ibisagent.tools.masks.measure import iou
from ibisagent.tools.masks.rle import decode, rle_key

__all__ = ["EPSILON", "RANKS", "TruthFit", "compare_masks", "compute_truth_fit", "ratio"]

EPSILON = 0.001
"""A prompt that raises the IoU by no more than this is wasted."""

RANKS = (1, 3, 5, 10, 20)
"""The k of IoU@k."""


@dataclass(frozen=True, slots=True)
class TruthFit:
    """A run against the true mask; IoU of two empty masks is 1.

    ``present``: the true mask is not empty. ``start_iou``, ``final_iou``: of the first and the last mask;
    ``policy_start_iou``: of the first mask that the policy saw, after the steps of others before it; ``ious``: after
    each step, of any actor. ``iou_at_step``: IoU after the policy's k-th valid action, its stop and a guard's answer
    included, for k in `RANKS`, the last one carried on; what a person does later counts from the next action on.
    ``regret``: the best IoU, the start's included, minus the final one.

    Of the policy's prompts: ``hits`` are correct by `ibisagent.tools.click_correctness.is_correct_prompt`,
    given the mask before them, ``misses`` the rest; ``first_click_hit``: whether the first one hit, None when there is
    none; ``improving_clicks`` raised the IoU; ``wasted_clicks`` raised it by no more than `EPSILON`.
    """

    present: bool
    start_iou: float
    policy_start_iou: float
    ious: tuple[float, ...]
    iou_at_step: dict[str, float]
    final_iou: float
    final_dice: float
    best_iou: float
    regret: float
    first_click_hit: bool | None
    hits: int
    misses: int
    improving_clicks: int
    wasted_clicks: int
    click_hit_rate: float | None
    progress_rate: float | None


def compute_truth_fit(record: Trajectory) -> TruthFit | None:
    """Compare a run with its true mask, None without one; `InputError` for masks of another size and invalid prompts.

    Each distinct mask is decoded once.
    """
    if record.truth is None:
        return None
    truth = decode(record.truth)
    own = {index: prompt for index, prompt in indexed_prompts(record) if is_policy_step(record.steps[index])}
    (*ious, final), right = compare_masks(record, truth, own)
    gains = [ious[index + 1] - ious[index] for index in own]
    progressed, best = sum(gain > 0 for gain in gains), max(*ious, final)
    after = _ious_at_steps(record, ious)
    return TruthFit(
        present=bool(truth.any()),
        start_iou=ious[0],
        policy_start_iou=after[0],
        ious=tuple(ious[1:]),
        iou_at_step={str(k): after[min(k, len(after) - 1)] for k in RANKS},
        final_iou=final,
        final_dice=2 * final / (1 + final),
        best_iou=best,
        regret=best - final,
        first_click_hit=min(own) in right if own else None,
        hits=len(right),
        misses=len(own) - len(right),
        improving_clicks=progressed,
        wasted_clicks=sum(gain <= EPSILON for gain in gains),
        click_hit_rate=ratio(len(right), len(own)),
        progress_rate=ratio(progressed, len(own)),
    )


def compare_masks(
    record: Trajectory,
    truth: Mask,
    own: dict[int, Prompt],
    is_right: Callable[[Prompt, Mask, Mask], bool] = is_correct_prompt,
) -> tuple[list[float], set[int]]:
    """Return the IoU of the first mask, after each step and of the last mask, and which of ``own`` prompts hit.

    ``own``: prompts by their position in the record's steps; ``is_right``: judges one by the mask before it and the
    truth. Each distinct mask is decoded once. `InputError` for masks of another size than the truth's.
    """
    masks = (record.start, *(step.mask for step in record.steps), record.mask)  # the n-th is what step n meets
    places: dict[str, list[int]] = {}
    for index, rle in enumerate(masks):
        places.setdefault(rle_key(rle), []).append(index)
    ious, right = [0.0] * len(masks), set[int]()
    for indices in places.values():
        mask = decode(masks[indices[0]])
        if mask.shape != truth.shape:
            expected = f"expected the true mask's {truth.shape}; record it anew"
            raise InputError(f"record: got a mask of {mask.shape}, {expected}")
        value = iou(mask, truth)
        for index in indices:
            ious[index] = value
            if index in own and is_right(own[index], mask, truth):
                right.add(index)
    return ious, right


def _ious_at_steps(record: Trajectory, ious: list[float]) -> list[float]:
    """Return the IoU of the first mask that the policy saw, and after each of its valid actions."""
    after = [ious[0]]
    for step, value in zip(record.steps, ious[1:], strict=True):
        if is_policy_step(step) and step.outcome == "applied":
            after.append(value)
        elif step.actor == "guard" or len(after) == 1:  # a person's prompts before the first action are where it begins
            after[-1] = value
    return after


def ratio(part: int, whole: int) -> float | None:
    """Return part over whole, None where the whole is 0."""
    return part / whole if whole else None
