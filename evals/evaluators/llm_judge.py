"""A chat model that grades the reasoning of a run by a rubric: from the run's text alone, no picture is sent."""

import json
import os
import tomllib
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import HumanMessage, SystemMessage
from langchain_core.runnables import Runnable

from ibisagent.agent.policies.chat import NO_RETRIES, build_chat_model, require_local_chat
from ibisagent.agent.policies.retries import Retries
from ibisagent.agent.trajectory import Step, Trajectory
from ibisagent.evals.evaluators.judged_run import EvaluatorResult, JudgedRun
from ibisagent.evals.evaluators.structure import action_items
from ibisagent.tools.errors import InputError, describe_error
from ibisagent.tools.files import describe_os_error, printable_text

__all__ = ["LLMJudge", "Rubric", "load_rubric", "open_judge", "parse_verdict"]

_FIELDS = ("request", "target", "steps", "stop", "answer")
_MOST = 2000  # characters of a thought or an answer that are sent


@dataclass(frozen=True, slots=True)
class Rubric:
    """The two messages that a judge is sent: ``user`` is a template of ``$request``, ``$target``, ``$steps``, ..."""

    system: str
    user: str


def load_rubric(path: str | os.PathLike[str] | None = None) -> Rubric:
    """Load a rubric from a TOML file with the texts ``system`` and ``user``, or the default one.

    `InputError` for a file that cannot be read, lacks one of the two, or has a placeholder that there is not.
    """
    name = printable_text(Path(path)) if path is not None else "rubric.toml"
    try:
        source = Path(path) if path is not None else files("ibisagent.evals.evaluators").joinpath("rubric.toml")
        rubric = Rubric(**{key: str(value).strip() for key, value in tomllib.loads(source.read_text("utf-8")).items()})
        Template(rubric.user).substitute(dict.fromkeys(_FIELDS, ""))
    except OSError as error:
        raise InputError(f"{name}: cannot be read ({describe_os_error(error)}), expected a rubric; name one") from error
    except (TypeError, ValueError, KeyError) as error:
        expected = f"expected TOML with the texts system and user, placeholders {', '.join(f'${f}' for f in _FIELDS)}"
        raise InputError(f"{name}: got no rubric ({describe_error(error)}), {expected}; correct it") from error
    return rubric


@dataclass(frozen=True, slots=True)
class LLMJudge:
    """An evaluator: calls ``model`` once a run, and once more for each transient error that ``retries`` allow.

    A run without a thought, and one of whose grading nothing can be read, have the score None.
    """

    model: Runnable[LanguageModelInput, Any]
    rubric: Rubric
    retries: Retries = field(default_factory=Retries)

    def __call__(self, run: JudgedRun) -> EvaluatorResult:
        """Grade the reasoning of a run."""
        if not any(step.thought for step in run.record.steps):
            return EvaluatorResult(None, "no thoughts")
        values = {
            "request": run.record.request,
            "target": run.target_name or "not known",
            "steps": "\n".join(_describe_steps(run.record)),
            "stop": str(run.record.stop),
            "answer": run.record.answer or "",
        }
        shown = {name: text if name == "steps" else _clean(text) for name, text in values.items()}
        asked = [SystemMessage(self.rubric.system), HumanMessage(Template(self.rubric.user).substitute(shown))]
        return parse_verdict(str(self.retries.call(lambda: self.model.invoke(asked)).text))


def _describe_steps(record: Trajectory) -> list[str]:
    return [
        f"{number}. {_describe_thought(step)} -> {item.text} [{step.actor}, {step.outcome}]"
        for number, (step, item) in enumerate(zip(record.steps, action_items(record), strict=True), 1)
    ]


def _describe_thought(step: Step) -> str:
    return _clean(step.thought) or "(no thought)"


def _clean(text: str) -> str:
    """Return a text on one line without angle brackets, so that it cannot end the part that it stands in."""
    return " ".join(text[:_MOST].replace("<", "(").replace(">", ")").split())


def parse_verdict(text: str) -> EvaluatorResult:
    """Read a judge's reply strictly: one JSON object of a score in [0, 1] and a reason, nothing else.

    >>> parse_verdict('{"score": 0.75, "reason": "Sound, but slow."}')
    EvaluatorResult(score=0.75, reason='Sound, but slow.')
    >>> parse_verdict("I would say 0.75").score
    """
    try:
        verdict = json.loads(text)
    except (ValueError, RecursionError):
        verdict = None
    if isinstance(verdict, dict) and verdict.keys() == {"score", "reason"}:
        score, reason = verdict["score"], verdict["reason"]
        number = isinstance(score, int | float) and not isinstance(score, bool) and 0 <= score <= 1
        if number and isinstance(reason, str) and reason.strip():
            return EvaluatorResult(float(score), reason[:_MOST])
    got = " ".join(text.split())[:120]
    return EvaluatorResult(None, f'the judge replied {got!r}, expected {{"score": 0 to 1, "reason": text}} alone')


def open_judge(name: str, local_only: bool, rubric: str | None = None) -> LLMJudge:
    """Open a judge from ``judge:provider:model``; `InputError` where ``local_only`` forbids what it would send."""
    model = name.partition(":")[2]
    if local_only:
        require_local_chat(model, f"evaluator {name!r}: it may send the run's text")
    return LLMJudge(build_chat_model(model, "evaluator", **NO_RETRIES), load_rubric(rubric))
