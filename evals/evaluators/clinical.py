"""A run against its true mask and its request: the metrics and the reward terms, as scores with reasons."""

from ibisagent.agent.answer_assertion import read_assertion
from ibisagent.evals.behavior_metrics import GAIN, is_recovered
from ibisagent.evals.evaluators.judged_run import EvaluatorResult, JudgedRun
from ibisagent.evals.rewards.terms import contains_words
from ibisagent.evals.trajectories import TruthFit
from ibisagent.tools.masks.rle import area

__all__ = [
    "click_correctness",
    "expected_stop",
    "final_dice",
    "final_iou",
    "names_target",
    "no_decline",
    "no_regret",
    "progress",
    "recovery",
    "refuses_absent",
    "segments_present",
]

_NO_TRUTH = EvaluatorResult(None, "no true mask")
_PRESENT = EvaluatorResult(None, "the target is present")
_ABSENT = EvaluatorResult(None, "the target is absent")


def final_iou(run: JudgedRun, at: float | None = None) -> EvaluatorResult:
    """Return the final mask's IoU with the truth, 1 for two empty masks; ``at``: 1 from this IoU on, else 0."""
    return _overlap("IoU", run.fit.final_iou, run.fit, at) if run.fit is not None else _NO_TRUTH


def final_dice(run: JudgedRun, at: float | None = None) -> EvaluatorResult:
    """Return the final mask's Dice with the truth, 1 for two empty masks; ``at``: 1 from this Dice on, else 0."""
    return _overlap("Dice", run.fit.final_dice, run.fit, at) if run.fit is not None else _NO_TRUTH


def _overlap(name: str, value: float, fit: TruthFit, at: float | None) -> EvaluatorResult:
    reason = f"{name} {value:.3f}" + ("" if fit.present else ", the target is absent")
    if at is None:
        return EvaluatorResult(value, reason)
    return EvaluatorResult(float(value >= at), f"{reason}, expected {at:g} or more")


def click_correctness(run: JudgedRun) -> EvaluatorResult:
    """Return the share of the policy's prompts, the undone ones included, that correct the mask before them."""
    fit = run.fit
    if fit is None or fit.click_hit_rate is None:
        return _NO_TRUTH if fit is None else EvaluatorResult(None, "no prompt")
    return EvaluatorResult(fit.click_hit_rate, f"{fit.hits} of {fit.hits + fit.misses} prompts hit")


def progress(run: JudgedRun) -> EvaluatorResult:
    """Return the share of the policy's prompts that raised the IoU."""
    fit = run.fit
    if fit is None or fit.progress_rate is None:
        return _NO_TRUTH if fit is None else EvaluatorResult(None, "no prompt")
    made = fit.hits + fit.misses
    return EvaluatorResult(fit.progress_rate, f"{fit.improving_clicks} of {made} prompts raised the IoU")


def recovery(run: JudgedRun, above: float = 0.5) -> EvaluatorResult:
    """Whether a run that began with an experiment's distractor click left that behind, by `is_recovered`."""
    fit, steps = run.fit, run.record.steps
    if fit is None:
        return _NO_TRUTH
    if not steps or steps[0].actor != "experiment":
        return EvaluatorResult(None, "began without a distractor click")
    undone = any(undo.reversed_step == steps[0].index for undo in run.metrics.undos)
    found = is_recovered(undone, fit.final_iou, fit.policy_start_iou, above)
    how = "undone" if undone else f"not undone, IoU {fit.policy_start_iou:.3f} to {fit.final_iou:.3f}"
    rule = "" if found else f", expected an undo, or above {above:g} and a gain of {GAIN:g}"
    return EvaluatorResult(float(found), f"the distractor click was {how}{rule}")


def no_regret(run: JudgedRun) -> EvaluatorResult:
    """Return 1 minus the regret, the best IoU on the way minus the final one."""
    fit = run.fit
    if fit is None:
        return _NO_TRUTH
    return EvaluatorResult(1 - fit.regret, f"best IoU {fit.best_iou:.3f}, final {fit.final_iou:.3f}")


def refuses_absent(run: JudgedRun) -> EvaluatorResult:
    """Whether an absent target was refused, in words or by a stop on an empty mask; declining is no refusal."""
    if run.fit is None or run.fit.present:
        return _NO_TRUTH if run.fit is None else _PRESENT
    if run.terms.answer == 1:
        return EvaluatorResult(1.0, "refused")
    marked = area(run.record.mask)
    return EvaluatorResult(0.0, f"{marked} pixels marked, ended by {run.record.stop}, said {_said(run)}")


def segments_present(run: JudgedRun) -> EvaluatorResult:
    """Whether a present target was segmented at all: neither refused, nor declined, nor left unmarked."""
    if run.fit is None or not run.fit.present:
        return _NO_TRUTH if run.fit is None else _ABSENT
    if run.terms.wrong_refusal or run.terms.decline_present:
        return EvaluatorResult(0.0, f"nothing marked, ended by {run.record.stop}, said {_said(run)}")
    return EvaluatorResult(1.0, f"{area(run.record.mask)} pixels marked")


def no_decline(run: JudgedRun) -> EvaluatorResult:
    """Whether the run decided: it did not end by declining."""
    declined = run.record.stop == "declined"
    return EvaluatorResult(float(not declined), f"declined, said {_said(run)}" if declined else "decided")


def names_target(run: JudgedRun) -> EvaluatorResult:
    """Whether the answer names the target that was asked for; does not apply where its name or an answer is missing."""
    name, answer = run.target_name, run.record.answer
    if name is None or answer is None:
        return EvaluatorResult(None, "the target's name is not known" if name is None else "no answer")
    named = contains_words(answer, name)
    return EvaluatorResult(float(named), f"the answer {'names' if named else 'does not name'} {name!r}: {_said(run)}")


def expected_stop(run: JudgedRun, stop: str | None = None) -> EvaluatorResult:
    """Whether the run ended by the expected reason.

    ``stop``: the reasons allowed, with commas. Without it the reference's; without a reference "target_absent" for an
    absent target, and for a present one "terminated".
    """
    got = run.record.stop
    expected = stop.split(",") if stop else _expected_stops(run)
    if expected is None:
        return EvaluatorResult(None, f"ended by {got}, nothing known of what to expect")
    also = got == "answered" and expected == ["target_absent"] and read_assertion(run.record.answer) == "absent"
    return EvaluatorResult(
        float(got in expected or also), f"ended by {got}, expected {' or '.join(map(str, expected))}"
    )


def _expected_stops(run: JudgedRun) -> list[str | None] | list[str] | None:
    if run.reference is not None:
        return [run.reference.stop]
    if run.record.truth is None:
        return None
    return ["terminated" if area(run.record.truth) else "target_absent"]


def _said(run: JudgedRun) -> str:
    answer = " ".join((run.record.answer or "").split())
    return repr(answer if len(answer) <= 80 else f"{answer[:77]}...") if answer else "nothing"
