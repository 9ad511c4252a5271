"""A run against a reference run: its nodes, and its actions with their places.

The five kinds of match, each 1 exactly where it holds, and otherwise the share of it that does:

* ``strict``: the same items in the same order; 1 minus the edit distance over the longer length.
* ``unordered``: the same items in any order; the matching items over the longer length.
* ``subset``: the run has no item that the reference lacks; the matching items over those of the run.
* ``superset``: the run lacks no item of the reference; the matching items over those of the reference.
* ``subsequence``: the reference's items occur in the run in their order, with others between them; the longest common
  subsequence over the reference's items.

Clicks match by sign and place, boxes by their corners: fully within ``tolerance``, less and less up to ten times that.
"""

from collections.abc import Callable, Sequence
from functools import partial
from math import hypot
from typing import Any, Literal, NamedTuple

from ibisagent.agent.trajectory import Step, Trajectory
from ibisagent.evals.evaluators.judged_run import EvaluatorResult, JudgedRun
from ibisagent.evals.evaluators.node_path import node_path
from ibisagent.evals.evaluators.sequences import AlignedPair, Alike, Overlap, align, compare_sequences, equal_items
from ibisagent.tools.masks.measure import iou
from ibisagent.tools.masks.rle import decode, rle_key

__all__ = [
    "MATCHES",
    "TOLERANCE",
    "ActionItem",
    "action_items",
    "actions",
    "diff_runs",
    "nodes",
    "same_mask",
    "same_segmenter",
]

Match = Literal["strict", "unordered", "subset", "superset", "subsequence"]
Subject = Literal["nodes", "actions"]

TOLERANCE = 0.02
"""Distance within which two places are the same, in units of the picture's longer side: 5 pixels of 256."""
_FAR = 10  # tolerances from which two places have nothing in common

_FORMULAS: dict[str, Callable[[Overlap], float]] = {
    "strict": lambda found: 1 - _share(found.edits, max(found.own, found.other), empty=0.0),
    "unordered": lambda found: _share(found.in_any_order, max(found.own, found.other)),
    "subset": lambda found: _share(found.in_any_order, found.own),
    "superset": lambda found: _share(found.in_any_order, found.other),
    "subsequence": lambda found: _share(found.in_order, found.other),
}
MATCHES = tuple(_FORMULAS)


class ActionItem(NamedTuple):
    """An action as it is compared: its kind with its sign, and its places in units of the picture's longer side."""

    kind: str
    places: tuple[tuple[float, float], ...]
    target: str | None
    text: str

    def __str__(self) -> str:
        """Return the action in one line."""
        return self.text


def action_items(record: Trajectory) -> tuple[ActionItem, ...]:
    """Return the actions of a run, of whatever actor; a reply without one is "unparseable"."""
    height, width = record.geometry["height"], record.geometry["width"]
    scale = width / max(height, width), height / max(height, width)
    return tuple(_item(step, scale) for step in record.steps)


def _item(step: Step, scale: tuple[float, float]) -> ActionItem:
    action = step.action
    if action is None:
        return ActionItem("unparseable", (), None, "unparseable reply")
    kind, names = str(action["type"]), [(x, y) for x, y in (("x", "y"), ("x0", "y0"), ("x1", "y1")) if x in action]
    sign = "" if "positive" not in action else "+" if action["positive"] else "-"
    text = "".join(f" ({action[x]:.3f}, {action[y]:.3f})" for x, y in names)
    places = tuple((action[x] * scale[0], action[y] * scale[1]) for x, y in names)
    return ActionItem(f"{sign}{kind}", places, action.get("target"), f"{kind} {sign}".strip() + text)


def _alike(one: ActionItem, other: ActionItem, tolerance: float) -> float:
    if one.kind != other.kind or one.target != other.target:
        return 0.0
    apart = max((hypot(x - u, y - v) for (x, y), (u, v) in zip(one.places, other.places, strict=True)), default=0.0)
    if apart <= tolerance:
        return 1.0
    return max(0.0, 1 - (apart - tolerance) / ((_FAR - 1) * tolerance)) if tolerance else 0.0


def _share(part: float, whole: int, empty: float = 1.0) -> float:
    return min(1.0, part / whole) if whole else empty


def nodes(run: JudgedRun, match: Match = "strict") -> EvaluatorResult:
    """Compare the nodes that the run went through with the reference's."""
    return _match(run, "nodes", match, TOLERANCE)


def actions(run: JudgedRun, match: Match = "strict", tolerance: float = TOLERANCE) -> EvaluatorResult:
    """Compare the run's actions with the reference's; ``tolerance``: in units of the picture's longer side."""
    return _match(run, "actions", match, tolerance)


def _match(run: JudgedRun, subject: Subject, match: Match, tolerance: float) -> EvaluatorResult:
    key = subject, tolerance
    if key not in run.comparisons:
        own, other, alike = _sequences(subject, run.record, run.require_reference(), tolerance)
        overlap = compare_sequences(own, other, alike)
        run.comparisons[key] = overlap, align(own, other, alike) if overlap.edits else []
    overlap, pairs = run.comparisons[key]
    score, sizes = max(0.0, _FORMULAS[match](overlap)), f"{overlap.own} against {overlap.other}"
    if score == 1:
        return EvaluatorResult(1.0, f"{match} match, {sizes}")
    differences = (pair for pair in pairs if pair.alike < 1 and _counts(pair, match))
    first = next(map(_line, differences), "the same in another order")
    return EvaluatorResult(score, f"no {match} match, {sizes}; first difference: {first}")


def _counts(pair: AlignedPair[Any], match: Match) -> bool:
    """Whether a difference is one for this kind of match."""
    lacks, adds = pair.own is None, pair.other is None
    return not (lacks and match == "subset") and not (adds and match in ("superset", "subsequence"))


def diff_runs(
    record: Trajectory, reference: Trajectory, subject: Subject = "actions", tolerance: float = TOLERANCE
) -> str:
    """Return how a run differs from a reference, a line an item: equal, ``-`` missing, ``+`` added, ``~`` changed.

    >>> print(_line(AlignedPair("load", None, 0.0)))
    + load
    """
    return "\n".join(map(_line, align(*_sequences(subject, record, reference, tolerance))))


def _sequences(
    subject: Subject, record: Trajectory, reference: Trajectory, tolerance: float
) -> tuple[Sequence[Any], Sequence[Any], Alike[Any]]:
    if subject == "nodes":
        return node_path(record), node_path(reference), equal_items
    return action_items(record), action_items(reference), partial(_alike, tolerance=tolerance)


def _line(pair: AlignedPair[Any]) -> str:
    if pair.own is None:
        return f"- {pair.other}"
    if pair.other is None:
        return f"+ {pair.own}"
    return f"  {pair.own}" if pair.alike == 1 else f"~ {pair.own}, reference {pair.other}"


def same_mask(run: JudgedRun) -> EvaluatorResult:
    """Compare the final mask with the reference's, by IoU, whatever the truth."""
    reference = run.require_reference()
    if list(run.record.mask["size"]) != list(reference.mask["size"]):
        return EvaluatorResult(0.0, f"a mask of {run.record.mask['size']}, the reference's is {reference.mask['size']}")
    if rle_key(run.record.mask) == rle_key(reference.mask):
        return EvaluatorResult(1.0, "the reference's mask, pixel by pixel")
    value = iou(decode(run.record.mask), decode(reference.mask))
    return EvaluatorResult(value, f"IoU {value:.3f} with the reference's mask")


def same_segmenter(run: JudgedRun) -> EvaluatorResult:
    """Whether the run's segmenter is the reference's, by its fingerprint."""
    own, other = run.record.segmenter, run.require_reference().segmenter
    return EvaluatorResult(float(own == other), f"{own}, the reference's is {other}" if own != other else own)
