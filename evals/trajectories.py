"""What recorded runs tell: one run in figures, many runs in figures, and a run against an oracle's clicks.

A turn is a reply of the policy, whoever plays it; a step without a reply is a guard's or a person's. Clicks are judged
as the click and progress rewards judge them (IBISAgent, arXiv 2601.03054), the undone ones included. What takes the
true mask to know is None without it, and a rate over nothing is None.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import takewhile
from statistics import fmean, median
from typing import Any, NamedTuple

import numpy as np

from ibisagent.agent.actions import Terminate, to_plain, write_reply
from ibisagent.agent.config import Guard, LoopConfig
from ibisagent.agent.graph import build_graph
from ibisagent.agent.parts import as_prompt
from ibisagent.agent.policies import OraclePolicy, ScriptedPolicy
from ibisagent.agent.policies.base import usage_total
from ibisagent.agent.state import Input
from ibisagent.agent.trajectory import Step, Trajectory
from ibisagent.tools.clicks import Box, Pixel, PixelBox, Prompt, pixel_box, pixel_of
from ibisagent.tools.errors import InputError
from ibisagent.tools.grids import Mask
from ibisagent.tools.images import MedicalImage
from ibisagent.tools.masks import Rle, decode, rle_key
from ibisagent.tools.measure import bounding_box, iou
from ibisagent.tools.segmenters import Segmenter

__all__ = ["EPSILON", "RANKS", "Fit", "Journey", "Reversal", "Row", "journey", "oracle_gap", "summary", "table"]

EPSILON = 0.001  # a prompt that raises the IoU by no more than this is wasted
RANKS = (1, 3, 5, 10, 20)  # the k of IoU@k
_FAILURES = ("segmenter_error", "store_error")  # stops for which the last action is not to blame


@dataclass(frozen=True, slots=True)
class Reversal:
    """An undo or a redo: step ``n``, ``by`` policy, guard or person, ``of`` which step; 0 is the initial mask.

    ``gained``: the IoU after it minus that of the mask it left.
    """

    n: int
    by: str
    of: int
    gained: float | None


@dataclass(frozen=True, slots=True)
class Fit:
    """A run against the true mask; IoU of two empty masks is 1.

    ``present``: the true mask is not empty. ``start``, ``final``: IoU of the mask begun and ended with; ``ious``: after
    each step, anybody's. ``at``: IoU after the policy's k-th valid action, its stop and a guard's answer included, for
    k in `RANKS`, the last one carried on; what a person does later shows from the next action on. ``overshoot``: the
    best IoU, the start's included, minus the final one.

    Of the policy's points and boxes: ``hits`` fell on a miss (positive) or a spill (negative) of the mask they met, or
    are boxes of IoU above 0.5 with the truth's box; ``misses`` are the rest; ``progressed`` raised the IoU; ``wasted``
    raised it by no more than `EPSILON`.
    """

    present: bool
    start: float
    ious: tuple[float, ...]
    at: dict[str, float]
    final: float
    dice: float
    best: float
    overshoot: float
    hits: int
    misses: int
    progressed: int
    wasted: int
    click_hit_rate: float | None
    progress_rate: float | None


@dataclass(frozen=True, slots=True)
class Journey:
    """One run in figures.

    ``turns``: replies of the policy to the end; ``length``: those that are no stop; ``valid``: those that the loop
    could act on (parsed, and no repetition; a tool's failure is not the policy's); ``repaired``: those read with
    repairs. ``prompts``: points and boxes that the policy made; ``person_steps``: what a person did beside the policy,
    but for accepting. ``undos``, ``redos``: everybody's, oldest first. ``seconds``: of the whole run;
    ``policy_seconds`` a turn, ``segmenter_seconds`` a prompt, ``tokens`` a turn: only where they were told. ``stop``:
    None for a run that has not ended.
    """

    kind: str
    stop: str | None
    turns: int
    length: int
    valid: int
    repaired: int
    valid_action_rate: float | None
    repair_rate: float | None
    prompts: int
    person_steps: int
    undos: tuple[Reversal, ...]
    redos: tuple[Reversal, ...]
    seconds: float
    policy_seconds: tuple[float, ...]
    segmenter_seconds: tuple[float, ...]
    tokens: tuple[int, ...]
    fit: Fit | None


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the data table; ``states``: single-step samples, one a reply; ``mean_length``: without the stops.

    IoU and Dice are final ones per case, over the samples with a true mask; the click-hit rate is pooled over clicks.
    """

    modality: str
    samples: int
    states: int
    mean_length: float
    mean_iou: float | None
    median_iou: float | None
    mean_dice: float | None
    median_dice: float | None
    click_hit_rate: float | None


def journey(record: Trajectory) -> Journey:
    """Put a run in figures; `InputError` for masks of another size than the truth's and prompts that are none."""
    turns = [step for step in record.steps if _own(step)]
    stops = sum(_does(step, "terminate") for step in turns)
    failed = record.stop in _FAILURES
    valid = sum(step.error is None or (failed and step is turns[-1]) for step in turns)
    repaired = sum(bool(step.repairs) and step.action is not None for step in turns)
    fit = _fit(record)
    return Journey(
        kind=record.kind,
        stop=record.stop,
        turns=len(turns),
        length=len(turns) - stops,
        valid=valid,
        repaired=repaired,
        valid_action_rate=_share(valid, len(turns)),
        repair_rate=_share(repaired, len(turns)),
        prompts=sum(_own(record.steps[index]) for index, _ in _prompts(record)),
        person_steps=sum(_corrects(step) for step in record.steps),
        undos=_reversals(record, "reverts", fit),
        redos=_reversals(record, "restores", fit),
        seconds=record.seconds,
        policy_seconds=_seconds(turns, "policy"),
        segmenter_seconds=_seconds([record.steps[index] for index, _ in _prompts(record)], "segmenter"),
        tokens=tuple(usage_total(usage) for step in turns if (usage := step.completion.get("usage"))),
        fit=fit,
    )


def _own(step: Step) -> bool:
    return step.reply is not None


def _corrects(step: Step) -> bool:
    return step.by == "person" and not _own(step) and not _does(step, "terminate")


def _does(step: Step, *kinds: str) -> bool:
    return step.error is None and step.action is not None and step.action.get("type") in kinds


def _seconds(steps: list[Step], part: str) -> tuple[float, ...]:
    return tuple(step.seconds[part] for step in steps if part in step.seconds)


def _prompts(record: Trajectory) -> Iterator[tuple[int, Prompt]]:
    """Give every point and box that was made, with the index of its step."""
    for index, step in enumerate(record.steps):
        if _does(step, "point", "box"):
            yield index, as_prompt(step.action)


def _reversals(record: Trajectory, name: str, fit: Fit | None) -> tuple[Reversal, ...]:
    """Read the steps whose field ``name`` says of which step they are; older records lack ``restores``."""
    met = (fit.start, *fit.ious) if fit else None
    return tuple(
        Reversal(step.n, step.by, of, met[index + 1] - met[index] if met else None)
        for index, step in enumerate(record.steps)
        if (of := getattr(step, name, None)) is not None
    )


class _View(NamedTuple):
    """What is asked of a mask: its IoU with the truth, and which of the clicked pixels lie inside."""

    iou: float
    inside: frozenset[Pixel]


def _fit(record: Trajectory) -> Fit | None:
    if record.truth is None:
        return None
    truth = decode(record.truth)
    views = _views(record, truth)
    met = [views[rle_key(rle)] for rle in (record.start, *(step.mask for step in record.steps))]
    ious, final = [view.iou for view in met], views[rle_key(record.mask)].iou
    own = [(index, prompt) for index, prompt in _prompts(record) if _own(record.steps[index])]
    gains = [ious[index + 1] - ious[index] for index, _ in own]
    hits = sum(_hits(prompt, truth, met[index].inside) for index, prompt in own)
    progressed, best = sum(gain > 0 for gain in gains), max(*ious, final)
    return Fit(
        present=bool(truth.any()),
        start=ious[0],
        ious=tuple(ious[1:]),
        at=_at(record, ious),
        final=final,
        dice=2 * final / (1 + final),
        best=best,
        overshoot=best - final,
        hits=hits,
        misses=len(own) - hits,
        progressed=progressed,
        wasted=sum(gain <= EPSILON for gain in gains),
        click_hit_rate=_share(hits, len(own)),
        progress_rate=_share(progressed, len(own)),
    )


def _views(record: Trajectory, truth: Mask) -> dict[str, _View]:
    """Look at each distinct mask of a record once, under its key."""
    clicks = {pixel_of(prompt, truth.shape) for _, prompt in _prompts(record) if not isinstance(prompt, Box)}
    masks = {rle_key(rle): rle for rle in (record.start, *(step.mask for step in record.steps), record.mask)}
    return {key: _view(rle, truth, clicks) for key, rle in masks.items()}


def _view(rle: Rle, truth: Mask, clicks: set[Pixel]) -> _View:
    mask = decode(rle)
    if mask.shape != truth.shape:
        raise InputError(f"record: got a mask of {mask.shape}, expected the true mask's {truth.shape}; record it anew")
    return _View(iou(mask, truth), frozenset(pixel for pixel in clicks if mask[pixel]))


def _at(record: Trajectory, ious: list[float]) -> dict[str, float]:
    after = [ious[0]]
    for step, value in zip(record.steps, ious[1:], strict=True):
        if _own(step) and step.error is None:
            after.append(value)
        elif step.by == "guard" or len(after) == 1:  # a person's prompts before the first action are where it begins
            after[-1] = value
    return {str(k): after[min(k, len(after) - 1)] for k in RANKS}


def _hits(prompt: Prompt, truth: Mask, inside: frozenset[Pixel]) -> bool:
    if isinstance(prompt, Box):
        around = bounding_box(truth)
        return around is not None and _box_iou(pixel_box(prompt, truth.shape), around) > 0.5
    pixel = pixel_of(prompt, truth.shape)
    return bool(truth[pixel]) == prompt.positive and (pixel in inside) != prompt.positive


def _box_iou(one: PixelBox, other: PixelBox) -> float:
    rows = min(one.bottom, other.bottom) - max(one.top, other.top) + 1
    columns = min(one.right, other.right) - max(one.left, other.left) + 1
    shared = max(rows, 0) * max(columns, 0)
    both = sum((box.bottom - box.top + 1) * (box.right - box.left + 1) for box in (one, other))
    return shared / (both - shared)


def summary(journeys: Iterable[Journey]) -> dict[str, Any]:
    """Put many runs in figures; every value is plain JSON, None where there is nothing to say.

    A rate is given twice, ``pooled`` over all steps and as the mean ``per_run`` (runs that have none left out).
    Percentiles are interpolated linearly. IoU and Dice are per case. Seconds and tokens a step are over the steps of
    all runs that told them.
    """
    runs = list(journeys)
    fits = [run.fit for run in runs if run.fit is not None]
    clicks = [(fit, fit.hits + fit.misses) for fit in fits]
    return {
        "runs": len(runs),
        "with_truth": len(fits),
        "stops": dict(sorted(Counter(run.stop or "unfinished" for run in runs).items())),
        "turns": _spread([run.turns for run in runs]),
        "length": _spread([run.length for run in runs]),
        "start_iou": _middle([fit.start for fit in fits]),
        "final_iou": _middle([fit.final for fit in fits]),
        "final_dice": _middle([fit.dice for fit in fits]),
        "best_iou": _middle([fit.best for fit in fits]),
        "overshoot": _middle([fit.overshoot for fit in fits]),
        "iou_at": {str(k): _mean([fit.at[str(k)] for fit in fits]) for k in RANKS},
        "wasted_clicks": _spread([fit.wasted for fit in fits]),
        "click_hit_rate": _rate([(fit.hits, made) for fit, made in clicks]),
        "progress_rate": _rate([(fit.progressed, made) for fit, made in clicks]),
        "wasted_rate": _rate([(fit.wasted, made) for fit, made in clicks]),
        "valid_action_rate": _rate([(run.valid, run.turns) for run in runs]),
        "repair_rate": _rate([(run.repaired, run.turns) for run in runs]),
        "undos": _turned([undo for run in runs for undo in run.undos]),
        "redos": _turned([redo for run in runs for redo in run.redos]),
        "person_steps": sum(run.person_steps for run in runs),
        "seconds_a_run": _spread([run.seconds for run in runs]),
        "policy_seconds_a_step": _spread([value for run in runs for value in run.policy_seconds]),
        "segmenter_seconds_a_step": _spread([value for run in runs for value in run.segmenter_seconds]),
        "tokens_a_step": _spread([value for run in runs for value in run.tokens]),
    }


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _mean(values: list[float]) -> float | None:
    return fmean(values) if values else None


def _median(values: list[float]) -> float | None:
    return float(median(values)) if values else None


def _middle(values: list[float]) -> dict[str, float | None]:
    return {"mean": _mean(values), "median": _median(values)}


def _spread(values: list[float] | list[int]) -> dict[str, float] | None:
    if not values:
        return None
    half, most = np.percentile(values, (50, 95))
    return {"mean": fmean(values), "p50": float(half), "p95": float(most)}


def _rate(shares: list[tuple[int, int]]) -> dict[str, float | None]:
    pooled = _share(sum(part for part, _ in shares), sum(whole for _, whole in shares))
    return {"pooled": pooled, "per_run": _mean([part / whole for part, whole in shares if whole])}


def _turned(reversals: list[Reversal]) -> dict[str, dict[str, Any]]:
    """Count reversals by their author: how many, how many with a known gain raised the IoU, and the mean gain."""
    told: dict[str, dict[str, Any]] = {}
    for author in sorted({each.by for each in reversals}):
        his = [each for each in reversals if each.by == author]
        gains = [each.gained for each in his if each.gained is not None]
        helped = sum(gain > 0 for gain in gains) if gains else None
        told[author] = {"count": len(his), "helped": helped, "mean_gained": _mean(gains)}
    return told


def table(records: Iterable[Trajectory], modality: Callable[[Trajectory], str] = lambda _: "all") -> list[Row]:
    """Tabulate a data set of runs as the paper does, one row for each name that ``modality`` gives, by name.

    A record does not know its modality; ``lambda record: known[record.image["sha"]]`` takes it from a mapping.
    """
    groups: dict[str, list[Journey]] = {}
    for record in records:
        groups.setdefault(modality(record), []).append(journey(record))
    return [_row(name, runs) for name, runs in sorted(groups.items())]


def _row(name: str, runs: list[Journey]) -> Row:
    fits = [run.fit for run in runs if run.fit is not None]
    ious, dices = [fit.final for fit in fits], [fit.dice for fit in fits]
    return Row(
        modality=name,
        samples=len(runs),
        states=sum(run.turns for run in runs),
        mean_length=fmean(run.length for run in runs),
        mean_iou=_mean(ious),
        median_iou=_median(ious),
        mean_dice=_mean(dices),
        median_dice=_median(dices),
        click_hit_rate=_share(sum(fit.hits for fit in fits), sum(fit.hits + fit.misses for fit in fits)),
    )


def oracle_gap(record: Trajectory, segmenter: Segmenter | str, image: MedicalImage) -> float | None:
    """Give what true clicks would have gained: an oracle's final IoU minus the record's.

    The oracle begins as the record's policy did (initial mask, a person's prompts, the guard) and makes as many
    prompts as were made after that, at most: it also ends when no error is left or the mask no longer changes. It may
    drop what marks an absent target at no cost. None without a truth or when a tool failed; `InputError` for another
    segmenter or image than the record's.
    """
    if record.truth is None:
        return None
    truth = decode(record.truth)
    before = len(list(takewhile(lambda step: not _own(step), record.steps)))
    prompts = list(_prompts(record))
    given = [to_plain(prompt) for index, prompt in prompts if index < before]
    moves = len(prompts) - len(given) if truth.any() else len(given) + 1
    policy = OraclePolicy(truth, target_iou=1.0) if moves else ScriptedPolicy([write_reply("", Terminate())])
    guard = record.config.get("guard")
    graph = build_graph(policy, segmenter, LoopConfig(max_steps=max(moves, 1), guard=Guard(**guard) if guard else None))
    _require_same("segmenter", graph.parts.memo.fingerprint, record.segmenter)
    _require_same("image", image.sha, record.image["sha"])
    begin = Input(image=image, request=record.request, prompts=given, kind="segment")
    begin["initial_mask"] = record.start if record.refined else None
    ended = graph.invoke(begin)
    if ended["stop"] in _FAILURES:
        return None
    return iou(decode(ended["mask"]), truth) - iou(decode(record.mask), truth)


def _require_same(what: str, got: str, recorded: str) -> None:
    if got != recorded:
        raise InputError(f"{what}: got {got!r}, expected the record's {recorded!r}; give that one")
