"""The terms of a run's reward, before they are weighted, and what each of the policy's turns did."""

import re
from collections.abc import Sequence, Set
from dataclasses import dataclass

from ibisagent.agent.answer_assertion import read_assertion
from ibisagent.agent.trajectory import Step, Trajectory
from ibisagent.evals.rewards.judging import PAPER_RULES, JudgingRules, MaskJudgement, judge_masks
from ibisagent.evals.rewards.settings import RewardConfig
from ibisagent.evals.trajectories.step_kinds import has_action, indexed_prompts, is_policy_step
from ibisagent.tools.masks.rle import area

__all__ = ["RunTerms", "TurnTerms", "compute_terms", "contains_words"]

_OWN_STOPS = ("terminated", "target_absent", "declined", "answered")
_LENGTH_PENALTY = 0.2


@dataclass(frozen=True, slots=True)
class TurnTerms:
    """One turn of the policy; ``step``: its position in the record's steps.

    ``click``: 1 or -1 for a prompt that is correct or not, given the mask before it; ``progress``: 1 or 0 for one that
    raised the IoU or not; both None where the turn made no prompt. ``gain``: the IoU that the next turn, or the end,
    met, minus that which this one met: an automatic undo of its prompt counts for it.
    """

    step: int
    click: float | None
    progress: float | None
    gain: float


@dataclass(frozen=True, slots=True)
class RunTerms:
    """The terms of a run's reward; IoU of two empty masks is 1.

    * ``answer`` in [0, 1]. Target present: the final IoU, or 1/3, 2/3, 1 for one above .5, .7, .8, the tiers of
      `ibisagent.evals.rewards.judging.JudgingRules`. Absent: 1 for a refusal; an empty mask alone asserts nothing. 0
      for a run that declined. Of a closed question, whose answer is known: 1 for the same words.
    * ``format``: 1 if every turn is exact and the policy ended the run with an answer, else 0.
    * ``click``, ``progress``: those of the prompts, undone ones included, folded; a `Backtrack` earns neither. Without
      a prompt 0, but -1 as ``click`` if nothing is marked on a present target, so that refusing it never beats a miss.
    * ``length``: 1 for at most `RewardConfig.optimal_steps` ``steps``, else -.2 for each further one.
    * ``steps``: turns of the policy before the last.
    * ``wrong_refusal``: 1 if the policy left a present target unmarked: it ended the run so, in words or not, without
      declining, or it never made a prompt.
    * ``wrong_assertion``: 1 if a prompt is in force, or the mask is not empty, on an absent target.
    * ``decline_present``, ``decline_absent``: 1 for a run that declined.
    * ``names_target``: 1 if the answer names the target; 0 where its name is not known.
    """

    answer: float
    format: float
    click: float
    progress: float
    length: float
    steps: float
    wrong_refusal: float
    wrong_assertion: float
    decline_present: float
    decline_absent: float
    names_target: float


def compute_terms(
    record: Trajectory,
    config: RewardConfig,
    *,
    target: str | None = None,
    answer: str | None = None,
    rules: JudgingRules = PAPER_RULES,
    judgement: MaskJudgement | None = None,
) -> tuple[RunTerms, tuple[TurnTerms, ...]]:
    """Compute the terms of a run with its truth and of its turns; `InputError` for a record without a truth.

    ``target``: its name; ``answer``: the right one to a closed question. ``judgement``: of the record's masks by the
    rule of ``rules``, where it is known already.
    """
    judged = judgement or judge_masks(record, (rules.clicks,))
    prompts = {index for index, _ in indexed_prompts(record) if is_policy_step(record.steps[index])}
    present, declined = judged.present, record.stop == "declined"
    marked, refused = bool(record.target.prompts) or area(record.mask) > 0, record.stop in _OWN_STOPS
    turns = _turn_terms(record, judged.ious, judged.right[rules.clicks], prompts)
    folded = [_fold([turn.click for turn in turns], config), _fold([turn.progress for turn in turns], config)]
    if not prompts and present and not area(record.mask) and config.fold != "off":
        folded[0] = -1.0
    steps = max(len(turns) - 1, 0)
    terms = RunTerms(
        answer=_answer_term(record, judged, config, rules, answer),
        format=float(_is_exact(record)),
        click=folded[0],
        progress=folded[1],
        length=1.0 if steps <= config.optimal_steps else -_LENGTH_PENALTY * (steps - config.optimal_steps),
        steps=float(steps),
        wrong_refusal=float(present and not marked and (refused or not prompts) and not declined and answer is None),
        wrong_assertion=float(not present and marked and not declined),
        decline_present=float(declined and present),
        decline_absent=float(declined and not present),
        names_target=float(target is not None and contains_words(record.answer, target)),
    )
    return terms, turns


def _turn_terms(
    record: Trajectory, ious: Sequence[float], correct: Set[int], prompts: Set[int]
) -> tuple[TurnTerms, ...]:
    own = [index for index, step in enumerate(record.steps) if is_policy_step(step)]
    return tuple(
        TurnTerms(
            step=index,
            click=(1.0 if index in correct else -1.0) if index in prompts else None,
            progress=float(ious[index + 1] > ious[index]) if index in prompts else None,
            gain=ious[after] - ious[index],
        )
        for index, after in zip(own, [*own[1:], -1], strict=True)
    )


def _fold(values: list[float | None], config: RewardConfig) -> float:
    known = [value for value in values if value is not None]
    if not known or config.fold == "off":
        return 0.0
    return sum(known) / (len(known) if config.fold == "mean" else 1)


def _answer_term(
    record: Trajectory, judged: MaskJudgement, config: RewardConfig, rules: JudgingRules, answer: str | None
) -> float:
    if answer is not None and record.kind == "question":
        return float(_words(record.answer) == _words(answer))
    if record.stop == "declined":
        return 0.0
    if not judged.present:
        said = record.stop == "answered" and read_assertion(record.answer) == "absent"
        return float(said or record.stop == "target_absent")
    iou = judged.ious[-1]
    return iou if config.answer == "iou" else sum(iou > tier for tier in rules.tiers) / len(rules.tiers)


def _is_exact(record: Trajectory) -> bool:
    turns = [step for step in record.steps if is_policy_step(step)]
    ended = bool(turns) and has_action(turns[-1], "terminate", "decline") and record.stop in _OWN_STOPS
    return ended and bool((record.answer or "").strip()) and all(map(_is_exact_turn, turns))


def _is_exact_turn(step: Step) -> bool:
    return not step.repairs and step.outcome != "unparseable"


def _words(text: str | None) -> list[str]:
    return re.findall(r"\w+", (text or "").casefold())


def contains_words(text: str | None, name: str) -> bool:
    """Whether the words of a name follow each other in a text."""
    words, wanted = _words(text), _words(name)
    return any(words[at : at + len(wanted)] == wanted for at in range(len(words))) and bool(wanted)
