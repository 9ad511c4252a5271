"""The summary of a run: a few sentences on which a language model can act, with the plain values behind them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

from ibisagent.agent.cautions import list_cautions
from ibisagent.agent.graph import SegmentationGraph
from ibisagent.agent.state import State, active_target, current_mask, current_score
from ibisagent.agent.steps import has_examples
from ibisagent.tools.imaging.medical_image import MedicalImage
from ibisagent.tools.masks.instances import instances
from ibisagent.tools.masks.measure import describe_measurements, measure_on_image
from ibisagent.tools.masks.rle import Rle, decode, rle_key

__all__ = ["RunSummary", "summarize", "summarize_result"]


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A run in plain JSON values.

    ``found``: the mask is not empty, and the policy did not decline; ``stop``: the stop reason, "" for a run that
    waits; ``text``: some sentences; ``box``: [x0, y0, x1, y1] of the mask in [0, 1] of the displayed picture, None for
    an empty one; ``confidence``: the segmenter's score in [0, 1], None unless it is calibrated; ``measurements``: see
    `ibisagent.tools.masks.measure.measure`; ``instances``: number of the mask's separate objects where an example is in
    force, else None; ``rle``: the mask as COCO run lengths; ``mask_key``: its key in the store.
    """

    found: bool
    stop: str
    text: str
    answer: str | None
    box: list[float] | None
    confidence: float | None
    measurements: dict[str, Any]
    instances: int | None
    rle: Rle
    mask_key: str


_ENDS = {
    "": "The run waits for a person.",
    "terminated": "The run ended by itself, content with the mask.",
    "target_absent": "The run ended by itself: there is no such target in this picture.",
    "declined": "The policy did not judge whether the target is there; ask another model, or a person.",
    "answered": "The question was answered without a mask.",
    "max_steps": "The run used up its steps; refine the mask, or give a region.",
    "loop": "The run ended because it repeated itself; give a region, or ask a person.",
    "stalled": "The run ended because the mask no longer changed; give a region, or ask a person.",
    "settled": "The run ended because the mask hardly changed any more.",
    "parse_failures": "The run ended because the clicking model's replies could not be read; ask a person.",
    "budget": "The run's budget of time, tokens or steps is spent; refine the mask, or allow more.",
    "policy_error": "The clicking model failed ({error}); try again later, or ask a person.",
    "segmenter_error": "The segmenter failed ({error}); try again later, or ask a person.",
    "store_error": "The run could not be stored ({error}); tell the operator.",
    "cancelled": "The run was cancelled.",
}
_EMPTY_ENDS = {
    "terminated": "The run ended by itself; no active prompt marks anything: click on the target.",
    "settled": "The run ended by itself; no active prompt marks anything: click on the target.",
    "max_steps": "The run used up its steps; give a region.",
    "budget": "The run's budget of time, tokens or steps is spent; give a region, or allow more.",
}
_FINISHED = ("terminated", "target_absent", "declined", "answered", "settled")
_LONGEST_ANSWER = 300  # characters
_MOST_NOTES = 3


def summarize(graph: SegmentationGraph, result: Mapping[str, Any]) -> RunSummary:
    """Summarize a run of ``graph``: the result of `invoke`, or the values of a thread's state."""
    image = graph.components.images.open(result["image"])
    known, policy = graph.components.memo.segmenter.calibrated, graph.components.policy.name
    return summarize_result(result, image, calibrated=known, policy=policy)


def summarize_result(
    result: Mapping[str, Any], image: MedicalImage, *, calibrated: bool = False, policy: str = ""
) -> RunSummary:
    """Summarize the result of a run on ``image``; without any path, name or value of a patient's header.

    ``calibrated``: the segmenter's score is calibrated (`Segmenter.calibrated`); only then is it reported. ``policy``:
    the name of the run's.
    """
    state = cast(State, result)
    rle, stop = current_mask(state), state.get("stop") or ""
    measurements = state.get("measurements") or measure_on_image(decode(rle), image)
    box = _box(measurements, image)
    summary = RunSummary(
        found=box is not None and stop != "declined",
        stop=stop,
        text="",
        answer=result.get("answer"),
        box=box,
        confidence=current_score(state) if calibrated and box else None,
        measurements=measurements,
        instances=_count_instances(state, rle),
        rle=rle,
        mask_key=rle_key(rle),
    )
    notes = _proposal_notes(state)
    said = result["image"].get("notes", ()) if "image" in result else image.notes  # what this run's caller left open
    notes += [f"Note: {note}." for note in (*said[:_MOST_NOTES], *list_cautions(state, policy))]
    return replace(summary, text=" ".join(_sentences(summary, image, result.get("error"), notes)))


def _count_instances(state: State, rle: Rle) -> int | None:
    if "target_states" not in state or not has_examples(active_target(state)["prompts"]):
        return None
    return instances(decode(rle)).count


def _proposal_notes(state: State) -> list[str]:
    """Describe a proposer that failed, without its words, which can hold paths and addresses."""
    proposal = active_target(state)["proposal"] if state.get("target_states") else None
    if proposal is None or proposal["outcome"] != "failed":
        return []
    return [f"The proposer {proposal['by']} failed; the run began without a proposal."]


def _box(measurements: Mapping[str, Any], image: MedicalImage) -> list[float] | None:
    if measurements["bbox"] is None:
        return None
    (top, left, bottom, right), (height, width) = measurements["bbox"], image.shape
    return [left / width, top / height, (right + 1) / width, (bottom + 1) / height]


def _sentences(summary: RunSummary, image: MedicalImage, error: str | None, notes: list[str]) -> list[str]:
    said = ["Not answered: the policy does not know this target, or cannot judge it here."] * (
        summary.stop == "declined"
    )
    nothing = "Not found." if summary.stop == "target_absent" else "There is no mask."
    said.append(_where(summary, image) if summary.box else nothing)
    if summary.box and summary.instances is not None:
        said.append(f"The mask has {summary.instances:,} separate {'object' if summary.instances == 1 else 'objects'}.")
    ends = _ENDS if summary.box else _ENDS | _EMPTY_ENDS
    said.append(ends.get(summary.stop, summary.stop).format(error=_kind(error)))
    if summary.box and summary.stop not in _FINISHED:
        said.append("The mask may be unfinished.")
    if summary.confidence is not None:
        said.append(f"Confidence {summary.confidence:.2f}.")
    if summary.answer:
        said.append(f"{'Answer' if summary.stop != 'declined' else 'Reason'}: {_clipped(summary.answer)}")
    return said + notes + ([f"Mask reference: {summary.mask_key}."] if summary.box else [])


def _where(summary: RunSummary, image: MedicalImage) -> str:
    """Describe size and place of the mask; mm and the patient's side only if the file states them."""
    measured, (height, width) = summary.measurements, image.shape
    x, y = measured["centroid"]
    pixels = f"{measured['area_px']:,} of the picture's {width} x {height} px"
    box = ", ".join(f"{edge:.3f}" for edge in summary.box or ())
    place = f"centroid ({x:.3f}, {y:.3f}), in the {_ninth(x, y)} of the picture"
    head = "Found" if summary.found else "The current mask, which is not the policy's"
    return f"{head}: {describe_measurements(measured)}; {pixels}; box [{box}] as x0, y0, x1, y1 in [0, 1]; {place}."


def _ninth(x: float, y: float) -> str:
    """Return the part of the picture, in thirds each way, that a point lies in; left is the viewer's left.

    >>> _ninth(0.1, 0.5), _ninth(0.9, 0.9), _ninth(0.5, 0.5)
    ('left', 'lower right', 'middle')
    """
    row = "upper" if y < 1 / 3 else "lower" if y > 2 / 3 else ""
    column = "left" if x < 1 / 3 else "right" if x > 2 / 3 else ""
    return " ".join(filter(None, (row, column or (row and "middle")))) or "middle"


def _kind(error: str | None) -> str:
    """Return the name of the error only: the message of a server or a driver can hold paths and addresses."""
    return (error or "").partition(":")[0] or "no reason given"


def _clipped(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_ANSWER else f"{line[:_LONGEST_ANSWER]}..."
