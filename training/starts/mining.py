"""Finds the states of recorded runs from which there is most to learn: those just before a policy erred.

A start lies before the step that went wrong, so that the policy meets the choice again; where the mistake was undone,
it lies before the undo, so that the policy has to notice it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from ibisagent.agent.actions import PROMPT_KINDS
from ibisagent.agent.record_parts import first_steps
from ibisagent.agent.trajectory import Step, Trajectory
from ibisagent.evals.trajectories.step_kinds import has_action, is_policy_step
from ibisagent.evals.trajectories.truth_fit import compare_masks
from ibisagent.tools.errors import InputError
from ibisagent.tools.masks.rle import Rle, area, decode
from ibisagent.training.starts.start import Start

__all__ = ["REASONS", "MiningRules", "find_states", "mine_starts"]

REASONS = ("lost", "stuck", "undone", "corrected", "refused")
"""Why a state is a start, in the order in which one that has several reasons gets its name."""

_ENDS = ("terminate", "decline")
_NO_WAY_ON = ("loop", "stalled")


@dataclass(frozen=True, slots=True)
class MiningRules:
    """Which states are starts.

    * ``lost``: before a turn of the policy after which the IoU is lower by more than ``loss``.
    * ``stuck``: before the last of ``useless`` prompts in a row of the policy that gained an IoU of at most ``gain``
      each, and before the last turn of a run that ended by ``loop`` or ``stalled``.
    * ``undone``: before an undo by the policy; before the prompt that a guard undid.
    * ``corrected``: before a person's prompt, undo or redo, of several in a row the first; where the policy had just
      ended the run, before that.
    * ``refused``: before the policy says that a present target is absent.

    ``per_run``: at most so many of a run, the earliest.
    """

    where: tuple[str, ...] = REASONS
    loss: float = 0.02
    gain: float = 0.01
    useless: int = 3
    per_run: int = 2

    def __post_init__(self) -> None:
        """Raise `InputError` for rules that cannot be."""
        if unknown := [name for name in self.where if name not in REASONS]:
            raise InputError(f"where: got {unknown[0]!r}, expected one of {', '.join(REASONS)}; choose one")
        if self.useless < 1 or self.per_run < 1 or not self.where:
            raise InputError("got rules that find nothing, expected whole numbers from 1 up and a reason; correct them")


def mine_starts(record: Trajectory, truth: Rle, source: str, rules: MiningRules) -> list[Start]:
    """Return the starts of a run with its true mask, earliest first; ``source``: what names it.

    `InputError`: the run cannot be repeated, or its policy is a person.
    """
    _require_repeatable(record)
    found: dict[int, str] = {}
    for why in (name for name in REASONS if name in rules.where):
        for step in find_states(record, truth, why, rules):
            found.setdefault(step, why)
    known = replace(record, targets=(replace(record.target, truth=truth),))
    return [Start(source, step, found[step], first_steps(known, step)) for step in sorted(found)[: rules.per_run]]


def _require_repeatable(record: Trajectory) -> None:
    if len(record.targets) > 1 or any(step.view is not None for step in record.steps):
        raise InputError("of several targets, or on a part of the picture")
    if record.kind == "question":
        raise InputError("a question")
    if any(is_policy_step(step) and step.actor == "person" for step in record.steps):
        raise InputError("of a person, not a policy")


def find_states(record: Trajectory, truth: Rle, why: str, rules: MiningRules) -> Iterator[int]:
    """Yield how many steps of a run come before each state that is a start for a reason."""
    if why == "lost":
        yield from (place for place, gain in _gains(record, truth).items() if gain < -rules.loss)
    elif why == "stuck":
        yield from _find_stuck(record, _gains(record, truth), rules)
    elif why == "undone":
        yield from _find_undone(record)
    elif why == "corrected":
        yield from _find_corrected(record)
    elif area(truth):
        yield from _find_refused(record)


def _gains(record: Trajectory, truth: Rle) -> dict[int, float]:
    """Return the gain in IoU of each turn of the policy, by its position; an automatic undo counts for the turn."""
    ious, _ = compare_masks(record, decode(truth), {})
    gains = {}
    for place, step in enumerate(record.steps):
        if is_policy_step(step):
            after = place + 1
            while after < len(record.steps) and record.steps[after].origin == "automatic":
                after += 1
            gains[place] = ious[after] - ious[place]
    return gains


def _find_stuck(record: Trajectory, gains: dict[int, float], rules: MiningRules) -> Iterator[int]:
    useless = 0
    for place, gain in gains.items():
        if not has_action(record.steps[place], *_ENDS):
            useless = useless + 1 if has_action(record.steps[place], *PROMPT_KINDS) and gain <= rules.gain else 0
            if useless == rules.useless:
                yield place
    if gains and record.stop in _NO_WAY_ON:
        yield max(gains)


def _find_undone(record: Trajectory) -> Iterator[int]:
    positions = {step.index: place for place, step in enumerate(record.steps)}
    for place, step in enumerate(record.steps):
        if has_action(step, "backtrack") and step.origin == "reply":
            yield place
        elif has_action(step, "backtrack") and step.origin == "automatic" and step.reverts in positions:
            yield positions[step.reverts]


def _find_corrected(record: Trajectory) -> Iterator[int]:
    for place, step in enumerate(record.steps):
        before = record.steps[place - 1] if place else None
        is_first = before is None or before.origin != "intervention"
        if is_first and step.origin == "intervention" and not has_action(step, *_ENDS):
            yield place - 1 if before is not None and _ended_run(before) else place


def _ended_run(step: Step) -> bool:
    return is_policy_step(step) and (has_action(step, *_ENDS) or step.outcome == "repeated")


def _find_refused(record: Trajectory) -> Iterator[int]:
    for place, step in enumerate(record.steps):
        if is_policy_step(step) and has_action(step, "terminate"):
            before = first_steps(record, place)
            if not before.target.prompts and not area(before.mask):
                yield place
