"""Read a model's reply: tolerant by default, exact with ``strict=True``; no string makes it raise.

The steps: split the tags (`ibisagent.agent.sections`), find the action's text, read it (`ibisagent.agent.reading`),
translate its numbers. Whatever differs from `ibisagent.agent.actions.write_reply` is listed as a repair; how many
decimals a number has does not count. What allows more than one reading, or may have been cut, is an error.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from ibisagent.agent.actions import EVERY_KIND, KINDS, Action, Stop
from ibisagent.agent.coordinates import UNIT, Frame
from ibisagent.agent.fields import Raw, quote
from ibisagent.agent.reading import STOPS, before, read, shows_place, translate
from ibisagent.agent.sections import Sections, joined, split, tag_repairs
from ibisagent.agent.standing import Cut, End, is_mentioned
from ibisagent.tools.errors import InputError

__all__ = ["Reply", "parse_completion", "parse_reply"]

_ADVICE = {
    "point": "Positive Point {0}, Negative Point {0}",
    "box": "Box {1}",
    "backtrack": "Backtrack",
    "terminate": "Terminate",
    "decline": "Decline",
    "redo": "Redo",
}

_UNFINISHED = ("length", "error", "abort", "aborted", "cancelled", "incomplete", "pause_turn")


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply as read: exactly one of ``action`` and ``error`` (one line, fit to be shown to the model) is None."""

    thought: str
    action: Action | None
    answer: str | None
    repairs: tuple[str, ...]
    error: str | None


class _Unreadable(Exception):
    """No action can be read in the text that it carries."""


def parse_completion(
    record: Mapping[str, Any], *, frame: Frame = UNIT, allow: Collection[str] = KINDS, strict: bool = False
) -> Reply:
    """Read a completion as the run store keeps it: ``text``, and ``finish``, which is "length" where it was cut."""
    return parse_reply(record["text"], frame=frame, allow=allow, strict=strict, cut=record.get("finish") in _UNFINISHED)


def parse_reply(
    text: str, *, frame: Frame = UNIT, allow: Collection[str] = KINDS, strict: bool = False, cut: bool = False
) -> Reply:
    r"""Read a reply written in the coordinates of ``frame``; kinds of action outside ``allow`` are refused.

    ``strict`` turns every repair into an error: it accepts what `write_reply` writes, and whitespace around texts.
    ``cut``: it was cut for its length, so that an action counts only where it is closed; a cut answer is dropped.

    >>> parse_reply("<think>Left of it.</think>\n<action>positive point 0.25, 0.5</action>").repairs
    ('spelling of the action',)
    """
    sections = split(text)
    end = End.TAG if sections.torn else End.CUT if cut else End.REPLY
    thought, answer = joined(sections.think), joined(sections.answer) if sections.answer else None
    action, error = None, None
    repairs: list[str] = []
    try:
        raw, thought = _decide(sections, thought, frame, repairs, end, cut)
        if raw.kind not in allow:
            raise InputError(f"{raw.kind} is switched off, {_expected(frame, allow)}")
        action = translate(raw, frame, repairs)
    except (_Unreadable, Cut) as unread:
        broken = cut or isinstance(unread, Cut)
        got = f"a reply that was cut at {_tail(text)}" if broken else quote(str(unread)) or _nothing(text)
        action, error = None, f"got {got}, {_expected(frame, allow)}{', in fewer words' if broken else ''}"
    except InputError as reason:
        action, error = None, str(reason)
    stop = isinstance(action, Stop) or (error is not None and answer is not None)
    if answer is not None and not stop:
        answer = None
        repairs.append("answer dropped: the action is no stop")
    if answer is not None and sections.last == "answer" and end is End.CUT:
        answer = None
        repairs.append("answer dropped: it was cut")
    every = (*tag_repairs(sections, stop), *repairs)
    if strict and every and error is None:
        action, error = None, f"the format is not exact ({'; '.join(every)}): expected {_layout(stop)}"
    return Reply(thought, action, answer, every, error)


def _layout(stop: bool) -> str:
    return "<think>...</think>, <action>...</action>" + (", <answer>...</answer>" if stop else "") + ", a line each"


def _tail(text: str) -> str:
    return quote(text[-40:]) or "its beginning"


def _nothing(text: str) -> str:
    return "no action" if text.strip() else "an empty reply"


def _decide(sections: Sections, thought: str, frame: Frame, repairs: list[str], end: End, cut: bool) -> tuple[Raw, str]:
    """Give the action as written and the thought: the tag goes before a last line, that before an answer or a thought.

    A thought behind which the reply was ``cut`` decides nothing.
    """
    outside, outside_end = _text(sections, "", end)
    if any(piece.strip() for piece in sections.action):
        raw, thought = _tagged(sections, frame, repairs, end), thought or outside.strip()
    elif found := read(outside, frame, repairs, end=outside_end, bare=True):
        raw, thought = found[0], thought or before(outside, found[1])
    elif sections.answer:
        raw, thought = _answered(sections, frame, repairs, end), thought or outside.strip()
    elif outside.strip() or cut:
        raise _Unreadable(outside)
    else:
        raw = _last_of(thought, frame, repairs, end)
    if raw.kind in STOPS and shows_place(joined(sections.answer)):
        raise InputError(
            "got a stop whose <answer> holds a click or a box: expected that in <action>, or an answer in words"
        )
    return raw, thought


def _text(sections: Sections, name: str, end: End) -> tuple[str, End]:
    """Give a section's text, whitespace at its end included, and what comes after it."""
    pieces = {"": sections.outside, "action": sections.action, "answer": sections.answer}[name]
    if sections.last != name or not pieces[-1].strip():
        return joined(pieces), End.TAG
    return "\n".join(filter(None, (joined(pieces[:-1]), pieces[-1].lstrip()))), end


def _tagged(sections: Sections, frame: Frame, repairs: list[str], end: End) -> Raw:
    pieces = [piece.lstrip() for piece in sections.action if piece.strip()]
    is_last = len(pieces) == 1 and sections.last == "action" and sections.action[-1].strip()
    found = read(pieces[0], frame, repairs, end=end if is_last else End.TAG)
    same = len({piece.strip() for piece in pieces}) == 1
    if found is None or (found[0].kind in STOPS and not same):
        raise _Unreadable(joined(pieces))
    if len(pieces) > 1:
        repairs.append("further action tags dropped")
    return found[0]


def _answered(sections: Sections, frame: Frame, repairs: list[str], end: End) -> Raw:
    """Read an answer that is nothing but a click or a box; any other, without an action, asserts nothing."""
    text, text_end = _text(sections, "answer", end)
    unsure: list[str] = []
    found = read(text, frame, unsure, end=text_end, bare=True)
    if found is None or found[0].kind not in ("point", "box") or before(text, found[1]):
        raise _Unreadable(f"<answer> without an action: {text}")
    repairs.extend((*unsure, "action taken from the answer"))
    return found[0]


def _last_of(thought: str, frame: Frame, repairs: list[str], end: End) -> Raw:
    """Read the last line of a thought behind which nothing comes."""
    earlier, _, last = thought.rpartition("\n")
    unsure: list[str] = []
    found = read(last, frame, unsure, end=end, bare=True)
    if found is None or before(last, found[1]) or is_mentioned(earlier, last):
        raise _Unreadable
    repairs.extend((*unsure, "action taken from the end of the thought"))
    return found[0]


def _expected(frame: Frame, allow: Collection[str]) -> str:
    point, box = (f"({', '.join(frame.names(count))})" for count in (2, 4))
    return "expected one of: " + ", ".join(_ADVICE[kind].format(point, box) for kind in EVERY_KIND if kind in allow)
