"""What a person did in a recorded run: which actions stand, and which replies of the policy they replace."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import NamedTuple

from ibisagent.agent.steps import INITIAL_MASK
from ibisagent.agent.trajectory import Step, Trajectory
from ibisagent.tools.masks.rle import Rle, area

__all__ = ["Replacement", "accepted_mask", "find_replacements", "standing_positions"]

_STOPS = ("terminate", "decline")


class Replacement(NamedTuple):
    """A reply of the policy that a person undid or overrode, and the action in its place, by their positions.

    ``person``: None where there is none to learn from, for the ``reason``.
    """

    reply: int
    person: int | None
    reason: str = ""


def accepted_mask(record: Trajectory) -> Rle | None:
    """Return the active target's mask where the run ended with a person's acceptance of it, else None.

    An empty one counts where the run says that the target is absent. That of a question is not its answer.
    """
    last = record.steps[-1] if record.steps else None
    if last is None or not _is_persons(last) or _kind(last) != "terminate" or last.target != record.active:
        return None
    if record.kind == "question" or record.stop == "declined":
        return None
    return record.mask if area(record.mask) or record.stop == "target_absent" else None


def standing_positions(record: Trajectory) -> list[int]:
    """Return the positions of a person's actions that teach something: neither taken back later nor of her own undone.

    A stop stands at the end alone; a redo, and the undo of her own click or mask, are no actions of a policy.
    """
    steps, taken_back = record.steps, _find_taken_back(record.steps)
    proposed = {
        target.name
        for target in record.targets
        if target.proposal is not None and target.start is not None and target.proposal["outcome"] == "proposed"
    }
    places = {(step.target, step.index): step for step in steps}
    found = []
    for position, step in enumerate(steps):
        if not _is_persons(step) or position in taken_back or _kind(step) == "redo":
            continue
        if _kind(step) in _STOPS and position < len(steps) - 1:
            continue
        if step.reverts == INITIAL_MASK and step.target not in proposed:
            continue
        reverted = places.get((step.target, step.reverts or INITIAL_MASK))
        if reverted is None or reverted.actor != "person":
            found.append(position)
    return found


def find_replacements(record: Trajectory, states: Mapping[int, Hashable]) -> Iterator[Replacement]:
    """Yield the policy's replies that a person undid, or overrode by another action in the same state.

    ``states``: by position, what tells the state before a step from others: the mask, the prompts that made it and the
    like, but not what was undone there, which a policy's own reply adds to.
    """
    steps, taken_back, standing = record.steps, _find_taken_back(record.steps), standing_positions(record)
    for position, step in enumerate(steps):
        if step.origin != "reply" or step.actor != "policy" or step.outcome == "failed":
            continue
        later = (each for each in standing if each > position and states[each] == states[position])
        person = next(later, None)
        if _kind(step) in _STOPS or step.outcome != "applied":
            if person is None or _kind(steps[person]) == _kind(step):
                continue
            unread = step.action is None
            yield Replacement(position, None if unread else person, "the reply could not be read" if unread else "")
        elif (undo := taken_back.get(position)) is not None and steps[undo].actor != "policy":
            if steps[undo].actor != "person":
                yield Replacement(position, None, "undone by the loop, not by the person")
            elif person is None:
                yield Replacement(position, None, "undone, and nothing done in the same state")
            else:
                yield Replacement(position, person)


def _is_persons(step: Step) -> bool:
    return step.actor == "person" and step.outcome == "applied" and step.action is not None


def _kind(step: Step) -> str | None:
    return step.action["type"] if step.action is not None else None


def _find_taken_back(steps: Sequence[Step]) -> dict[int, int]:
    """Return for each step that was undone, or as an undo redone, by position, the position of what did it last."""
    places = {(step.target, step.index): position for position, step in enumerate(steps)}
    undos: dict[tuple[str, int], int] = {}
    taken_back: dict[int, int] = {}
    for position, step in enumerate(steps):
        if step.reverts is not None:
            undone = (step.target, step.reverts)
            undos[undone] = position
            if undone in places:
                taken_back[places[undone]] = position
        if step.restores is not None:
            restored = (step.target, step.restores)
            if restored in undos:
                taken_back[undos.pop(restored)] = position
            taken_back.pop(places.get(restored, -1), None)
    return taken_back
