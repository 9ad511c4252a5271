"""Parse a model's reply: tolerant by default, exact with ``strict=True``; no string makes it raise.

The steps: split the tags (`ibisagent.agent.reply_sections`), find the action's text, parse it
(`ibisagent.agent.action_parser`), convert its numbers. Any difference from `ibisagent.agent.actions.write_reply` is
listed as a repair, except the number of decimals. A reply that is ambiguous or may have been cut is an error.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from ibisagent.agent.action_parser import STOP_KINDS, contains_position, read_action, text_before, to_action
from ibisagent.agent.action_spans import TextEnd, TruncatedAction, is_only_mentioned
from ibisagent.agent.actions import ALL_KINDS, KINDS, PROMPT_KINDS, Action, Stop
from ibisagent.agent.coordinates import UNIT, CoordinateFrame
from ibisagent.agent.json_actions import RawAction, quote
from ibisagent.agent.reply_sections import Sections, join_pieces, split_sections, tag_repairs
from ibisagent.tools.errors import InputError

__all__ = ["Reply", "parse_completion", "parse_reply"]

_SPELLINGS = {
    "point": "Positive Point {0}, Negative Point {0}",
    "box": "Box {1}",
    "similar": "Similar {0}, Negative Similar {0}",
    "backtrack": "Backtrack",
    "terminate": "Terminate",
    "decline": "Decline",
    "redo": "Redo",
}

_UNFINISHED = ("length", "error", "abort", "aborted", "cancelled", "incomplete", "pause_turn")


@dataclass(frozen=True, slots=True)
class Reply:
    """A parsed reply: exactly one of ``action`` and ``error`` (one line, suited as feedback to the model) is None."""

    thought: str
    action: Action | None
    answer: str | None
    repairs: tuple[str, ...]
    error: str | None


class _Unreadable(Exception):
    """No action can be parsed from the text that it carries."""


def parse_completion(
    record: Mapping[str, Any], *, frame: CoordinateFrame = UNIT, allow: Collection[str] = KINDS, strict: bool = False
) -> Reply:
    """Parse a completion as stored in the run store: its ``text``, and its ``finish_reason``, which shows a cut."""
    cut = record.get("finish_reason") in _UNFINISHED
    return parse_reply(record["text"], frame=frame, allow=allow, strict=strict, cut=cut)


def parse_reply(
    text: str, *, frame: CoordinateFrame = UNIT, allow: Collection[str] = KINDS, strict: bool = False, cut: bool = False
) -> Reply:
    r"""Parse a reply written in the coordinates of ``frame``; kinds of action outside ``allow`` are errors.

    ``strict`` turns every repair into an error: it accepts what `write_reply` writes, and whitespace around texts.
    ``cut``: it was cut for its length, so that an action counts only where it is closed; a cut answer is dropped.

    >>> parse_reply("<think>Left of it.</think>\n<action>positive point 0.25, 0.5</action>").repairs
    ('spelling of the action',)
    """
    sections = split_sections(text)
    end = TextEnd.TAG if sections.cut_tag else TextEnd.CUT if cut else TextEnd.REPLY
    thought, answer = join_pieces(sections.think), join_pieces(sections.answer) if sections.answer else None
    action, error = None, None
    repairs: list[str] = []
    try:
        raw, thought = _find_action(sections, thought, frame, repairs, end, cut)
        answer = raw.answer if answer is None and raw.kind in STOP_KINDS else answer
        if raw.kind not in allow:
            raise InputError(f"{raw.kind} is switched off, {_describe_expected(frame, allow)}")
        action = to_action(raw, frame, repairs)
    except (_Unreadable, TruncatedAction) as unread:
        broken = cut or isinstance(unread, TruncatedAction)
        got = (
            f"a reply that was cut at {_quote_tail(text)}" if broken else quote(str(unread)) or _describe_missing(text)
        )
        action, error = None, f"got {got}, {_describe_expected(frame, allow)}{', in fewer words' if broken else ''}"
    except InputError as reason:
        action, error = None, str(reason)
    stop = isinstance(action, Stop) or (error is not None and answer is not None)
    if answer is not None and not stop:
        answer = None
        repairs.append("answer dropped: the action is no stop")
    if answer is not None and sections.last == "answer" and end is TextEnd.CUT:
        answer = None
        repairs.append("answer dropped: it was cut")
    every = (*tag_repairs(sections, stop), *repairs)
    if strict and every and error is None:
        action, error = None, f"the format is not exact ({'; '.join(every)}): expected {_canonical_layout(stop)}"
    return Reply(thought, action, answer, every, error)


def _canonical_layout(stop: bool) -> str:
    return "<think>...</think>, <action>...</action>" + (", <answer>...</answer>" if stop else "") + ", a line each"


def _quote_tail(text: str) -> str:
    return quote(text[-40:]) or "its beginning"


def _describe_missing(text: str) -> str:
    return "no action" if text.strip() else "an empty reply"


def _find_action(
    sections: Sections, thought: str, frame: CoordinateFrame, repairs: list[str], end: TextEnd, cut: bool
) -> tuple[RawAction, str]:
    """Return the action as written and the thought; an action tag precedes a last line, that an answer, that a thought.

    A thought after which the reply was ``cut`` yields no action.
    """
    outside, outside_end = _text(sections, "", end)
    if any(piece.strip() for piece in sections.action):
        raw, thought = _read_action_tag(sections, frame, repairs, end), thought or outside.strip()
    elif found := read_action(outside, frame, repairs, end=outside_end, bare=True):
        raw, thought = found[0], thought or text_before(outside, found[1])
    elif sections.answer:
        raw, thought = _read_answer_tag(sections, frame, repairs, end), thought or outside.strip()
    elif outside.strip() or cut:
        raise _Unreadable(outside)
    else:
        raw = _read_last_line(thought, frame, repairs, end)
    if raw.kind in STOP_KINDS and contains_position(join_pieces(sections.answer) or raw.answer or ""):
        raise InputError(
            "got a stop whose <answer> holds a click or a box: expected that in <action>, or an answer in words"
        )
    return raw, thought


def _text(sections: Sections, name: str, end: TextEnd) -> tuple[str, TextEnd]:
    """Return a section's text, whitespace at its end included, and what comes after it."""
    pieces = {"": sections.outside, "action": sections.action, "answer": sections.answer}[name]
    if sections.last != name or not pieces[-1].strip():
        return join_pieces(pieces), TextEnd.TAG
    return "\n".join(filter(None, (join_pieces(pieces[:-1]), pieces[-1].lstrip()))), end


def _read_action_tag(sections: Sections, frame: CoordinateFrame, repairs: list[str], end: TextEnd) -> RawAction:
    pieces = [piece.lstrip() for piece in sections.action if piece.strip()]
    is_last = len(pieces) == 1 and sections.last == "action" and sections.action[-1].strip()
    found = read_action(pieces[0], frame, repairs, end=end if is_last else TextEnd.TAG)
    same = len({piece.strip() for piece in pieces}) == 1
    if found is None or (found[0].kind in STOP_KINDS and not same):
        raise _Unreadable(join_pieces(pieces))
    if len(pieces) > 1:
        repairs.append("further action tags dropped")
    return found[0]


def _read_answer_tag(sections: Sections, frame: CoordinateFrame, repairs: list[str], end: TextEnd) -> RawAction:
    """Parse an answer that is nothing but a prompt; any other answer without an action is unreadable."""
    text, text_end = _text(sections, "answer", end)
    unsure: list[str] = []
    found = read_action(text, frame, unsure, end=text_end, bare=True)
    if found is None or found[0].kind not in PROMPT_KINDS or text_before(text, found[1]):
        raise _Unreadable(f"<answer> without an action: {text}")
    repairs.extend((*unsure, "action taken from the answer"))
    return found[0]


def _read_last_line(thought: str, frame: CoordinateFrame, repairs: list[str], end: TextEnd) -> RawAction:
    """Parse the last line of a thought that nothing follows."""
    earlier, _, last = thought.rpartition("\n")
    unsure: list[str] = []
    found = read_action(last, frame, unsure, end=end, bare=True)
    if found is None or text_before(last, found[1]) or is_only_mentioned(earlier, last):
        raise _Unreadable
    repairs.extend((*unsure, "action taken from the end of the thought"))
    return found[0]


def _describe_expected(frame: CoordinateFrame, allow: Collection[str]) -> str:
    point, box = (f"({', '.join(frame.names(count))})" for count in (2, 4))
    return "expected one of: " + ", ".join(_SPELLINGS[kind].format(point, box) for kind in ALL_KINDS if kind in allow)
