"""The table of evaluators, the one way from a name to an evaluator, and the judging of a run by several.

``package.module:function`` names a third party's: it is called with a `JudgedRun`, and with the options after a
question mark as texts, and returns an `EvaluatorResult`. It opens where the operator gives the name, the command line
or Python, and is never read from a record, a manifest or a page.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from ibisagent.agent.trajectory import Trajectory
from ibisagent.evals.evaluators.judged_run import EvaluatorResult, JudgedRun, RunEvaluator, with_truth
from ibisagent.evals.evaluators.structure import MATCHES
from ibisagent.tools.errors import InputError, describe_error
from ibisagent.tools.imaging.grids import Mask
from ibisagent.tools.registry import Entry, OptionReader, Table, parse_options, split_options

__all__ = [
    "EVALUATORS",
    "Evaluator",
    "EvaluatorEntry",
    "Need",
    "judge_run",
    "judge_with",
    "open_evaluator",
    "plain_evaluators",
]

Need = Literal["reference", "truth", "model"]


@dataclass(frozen=True, slots=True)
class Evaluator:
    """A named evaluator, callable on a `Trajectory`; ``needs``: without which it does not apply.

    ``function``: of a `JudgedRun`; ``is_foreign``: not of this package, so that any error of it is a result.
    """

    name: str
    function: RunEvaluator
    needs: tuple[Need, ...] = ()
    is_foreign: bool = True

    def __call__(
        self,
        record: Trajectory,
        *,
        reference: Trajectory | None = None,
        truth: Mask | None = None,
        target: str | None = None,
    ) -> EvaluatorResult:
        """Judge a run; see `judge_run`."""
        return judge_run(record, [self], reference=reference, truth=truth, target=target)[self.name]

    def judge(self, run: JudgedRun) -> EvaluatorResult:
        """Judge a run; where the run, the model or a third party's code is at fault, that is the reason of a None."""
        if "reference" in self.needs and run.reference is None:
            return EvaluatorResult(None, "no reference run")
        try:
            found = self.function(run)
        except InputError as error:
            return EvaluatorResult(None, str(error))
        except Exception as error:
            if not self.is_foreign:
                raise
            return EvaluatorResult(None, describe_error(error))
        if not isinstance(found, EvaluatorResult):
            got = f"got {type(found).__name__}, expected an EvaluatorResult"
            return EvaluatorResult(None, f"evaluator {self.name!r}: {got}; return one")
        return found


@dataclass(frozen=True, slots=True)
class EvaluatorEntry(Entry):
    """What an evaluator's name opens; ``options``: those that a name takes, by their form; ``fixed``: set already."""

    needs: tuple[Need, ...] = ()
    options: tuple[str, ...] = ()
    fixed: tuple[tuple[str, str], ...] = ()


def _number(text: str) -> float:
    value = float(text)
    if not (math.isfinite(value) and value > 0):
        raise ValueError(text)
    return value


def _share(text: str) -> float:
    if (value := _number(text)) > 1:
        raise ValueError(text)
    return value


_READERS: dict[str, tuple[str, OptionReader]] = {
    "limit": ("NUMBER above 0", _number),
    "tolerance": ("SHARE of the longer side", _share),
    "at": ("SHARE", _share),
    "above": ("SHARE", _share),
    "stop": ("REASON,REASON", str),
    "rubric": ("FILE", str),
}
_HERE = "ibisagent.evals.evaluators"
_WORDS = {
    "strict": "the same in the same order",
    "unordered": "the same in any order",
    "subset": "none that the reference lacks",
    "superset": "none of the reference's missing",
    "subsequence": "the reference's, in their order, others between",
}


def _structure(subject: str) -> Iterable[EvaluatorEntry]:
    options = ("tolerance",) if subject == "actions" else ()
    for match in MATCHES:
        factory, fixed = f"{_HERE}.structure:{subject}", (("match", match),)
        words = f"{subject} against a reference run: {_WORDS[match]}"
        yield EvaluatorEntry(f"{subject}_{match}", factory, words, needs=("reference",), options=options, fixed=fixed)


def _clinical(name: str, description: str, *options: str) -> EvaluatorEntry:
    return EvaluatorEntry(name, f"{_HERE}.clinical:{name}", description, needs=("truth",), options=options)


EVALUATORS = Table(
    "evaluator",
    (
        *_structure("nodes"),
        *_structure("actions"),
        EvaluatorEntry(
            "same_mask",
            f"{_HERE}.structure:same_mask",
            "IoU of the final mask with the reference's",
            needs=("reference",),
        ),
        EvaluatorEntry(
            "same_segmenter",
            f"{_HERE}.structure:same_segmenter",
            "the reference's segmenter, by its fingerprint",
            needs=("reference",),
        ),
        *(
            EvaluatorEntry(name, f"{_HERE}.budgets:{name}", f"{words} within ?limit=", options=("limit",))
            for name, words in (
                ("steps", "steps of every actor"),
                ("seconds", "seconds of policy, segmenter and proposer"),
                ("tokens", "tokens of all replies"),
                ("model_calls", "calls of the policy"),
            )
        ),
        _clinical("final_iou", "IoU of the final mask, or whether it is ?at= a value or more", "at"),
        _clinical("final_dice", "Dice of the final mask, or whether it is ?at= a value or more", "at"),
        _clinical("click_correctness", "share of prompts that correct the mask before them"),
        _clinical("progress", "share of prompts that raised the IoU"),
        _clinical("recovery", "a distractor click was left behind", "above"),
        _clinical("no_regret", "1 minus (best IoU on the way minus the final one)"),
        _clinical("refuses_absent", "an absent target was refused"),
        _clinical("segments_present", "a present target was segmented"),
        EvaluatorEntry("no_decline", f"{_HERE}.clinical:no_decline", "the run decided"),
        EvaluatorEntry("names_target", f"{_HERE}.clinical:names_target", "the answer names the target asked for"),
        EvaluatorEntry(
            "expected_stop",
            f"{_HERE}.clinical:expected_stop",
            "ended as ?stop=, the reference or the truth has it",
            options=("stop",),
        ),
        EvaluatorEntry(
            "judge:PROVIDER:MODEL",
            f"{_HERE}.llm_judge:open_judge",
            "a chat model grades the reasoning by ?rubric=",
            "chat",
            is_local=False,
            needs=("model",),
            options=("rubric",),
        ),
    ),
    methods=(),
    remedy="name a function of a JudgedRun",
    third_party="package.module:function",
)


def plain_evaluators(*, reference: bool) -> list[str]:
    """Return the names of all evaluators that need no model, and no reference run unless there is one."""
    left_out: set[Need] = {"model"} if reference else {"model", "reference"}
    return [entry.form for entry in EVALUATORS.entries if not left_out & set(entry.needs)]


def open_evaluator(name: str, *, local_only: bool = False) -> Evaluator:
    """Open the evaluator that the operator named, such as ``steps?limit=6`` or ``mine.checks:laterality``.

    `InputError` for a name or an option that there is not, and for a remote judge under ``local_only``.
    """
    bare, texts = split_options(name)
    if EVALUATORS.is_third_party(bare):
        return Evaluator(name, partial(EVALUATORS.import_function(name), **dict(texts)))
    entry = EVALUATORS.find(bare)
    _, options = parse_options("evaluator", name, {option: _READERS[option] for option in entry.options})
    factory: Any = entry.load_factory()
    if "model" in entry.needs:
        return Evaluator(name, factory(bare, local_only, **options), entry.needs)
    return Evaluator(name, partial(factory, **dict(entry.fixed) | options), entry.needs, is_foreign=False)


def judge_run(
    record: Trajectory,
    evaluators: Sequence[Evaluator | str],
    *,
    reference: Trajectory | None = None,
    truth: Mask | None = None,
    target: str | None = None,
) -> dict[str, EvaluatorResult]:
    """Judge a run by evaluators, or by their names, and return each one's result by name.

    ``reference``: the run that it is compared with; ``truth``: (H, W) bool, in place of the record's own; ``target``:
    the name of the target that was asked for.
    """
    judged = JudgedRun(record if truth is None else with_truth(record, truth), reference, target)
    return judge_with(judged, [each if isinstance(each, Evaluator) else open_evaluator(each) for each in evaluators])


def judge_with(run: JudgedRun, evaluators: Sequence[Evaluator]) -> dict[str, EvaluatorResult]:
    """Judge a run, with what is known of it, by opened evaluators."""
    return {each.name: each.judge(run) for each in evaluators}
