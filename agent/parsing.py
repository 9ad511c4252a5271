"""Read a model's reply: tolerant by default, exact with ``strict=True``; no string makes it raise.

The steps: split the tags, find the action's text, read it (`ibisagent.agent.reading`), translate its numbers. Whatever
differs from `ibisagent.agent.actions.write_reply` is listed as a repair; how many decimals a number has does not count.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from ibisagent.agent.actions import EVERY_KIND, KINDS, TAG, Action, Stop
from ibisagent.agent.coordinates import UNIT, Frame
from ibisagent.agent.reading import MANY, Raw, before, has_action, quote, read, translate
from ibisagent.tools.errors import InputError

__all__ = ["Reply", "parse_reply"]

_CLICK_TAGS = ["<think>", "</think>", "<action>", "</action>"]
_STOP_TAGS = [*_CLICK_TAGS, "<answer>", "</answer>"]
_ADVICE = {
    "point": "Positive Point {0}, Negative Point {0}",
    "box": "Box {1}",
    "backtrack": "Backtrack",
    "terminate": "Terminate",
    "decline": "Decline",
    "redo": "Redo",
}


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


class _Sections(NamedTuple):
    think: list[str]
    action: list[str]
    answer: list[str]
    outside: list[str]
    tags: list[str]  # in canonical spelling
    written: list[str]  # the same as they came


def parse_reply(text: str, *, frame: Frame = UNIT, allow: Collection[str] = KINDS, strict: bool = False) -> Reply:
    r"""Read a reply written in the coordinates of ``frame``; kinds of action outside ``allow`` are refused.

    ``strict`` turns every repair into an error: it accepts what `write_reply` writes, and whitespace around texts.

    >>> parse_reply("<think>Left of it.</think>\n<action>positive point 0.25, 0.5</action>").repairs
    ('spelling of the action',)
    """
    sections = _split(text)
    thought, answer = _joined(sections.think), _joined(sections.answer) if sections.answer else None
    action, error = None, None
    repairs: list[str] = []
    try:
        raw, thought = _decide(sections, thought, frame, repairs)
        if raw.kind not in allow:
            raise InputError(f"{raw.kind} is switched off, {_expected(frame, allow)}")
        action = translate(raw, frame, repairs)
    except _Unreadable as unread:
        action, error = None, f"got {quote(str(unread)) or 'no action'}, {_expected(frame, allow)}"
    except InputError as reason:
        action, error = None, str(reason)
    stop = isinstance(action, Stop) or (error is not None and answer is not None)
    if answer is not None and not stop:
        answer = None
        repairs.append("answer dropped: the action is no stop")
    every = (*_tag_repairs(sections, stop), *repairs)
    if strict and every and error is None:
        action, error = None, f"the format is not exact ({'; '.join(every)}): expected {_layout(stop)}"
    return Reply(thought, action, answer, every, error)


def _layout(stop: bool) -> str:
    return "<think>...</think>, <action>...</action>" + (", <answer>...</answer>" if stop else "") + ", a line each"


def _joined(pieces: list[str]) -> str:
    return "\n".join(filter(None, (piece.strip() for piece in pieces)))


def _split(text: str) -> _Sections:
    """Split at the tags; tags inside a thought are text, unless there is no action anywhere else."""
    found = list(islice(TAG.finditer(text), MANY))
    last = max((tag.start() for tag in found if _canonical_tag(tag) == "</think>"), default=-1)
    sections = _walk(text, found, last)
    elsewhere = _joined(sections.action + sections.answer) or has_action(_joined(sections.outside))
    return sections if elsewhere or last < 0 else _walk(text, found, -1)


def _canonical_tag(tag: re.Match[str]) -> str:
    name = tag[2].lower()
    return f"<{tag[1]}{'think' if name[0] == 't' else name}>"


def _walk(text: str, found: list[re.Match[str]], thought_end: int) -> _Sections:
    sections = _Sections([], [], [], [], [], [])
    by_name = {"think": sections.think, "action": sections.action, "answer": sections.answer, "": sections.outside}
    here, start = "", 0
    for tag in found:
        plain = _canonical_tag(tag)
        name = plain.strip("</>")
        sections.tags.append(plain)
        sections.written.append(tag[0])
        if here == "think" != name and tag.start() < thought_end:
            continue
        by_name[here or (name if tag[1] else "")].append(text[start : tag.start()])
        here, start = "" if tag[1] else name, tag.end()
    by_name[here].append(text[start:])
    return sections


def _tag_repairs(sections: _Sections, stop: bool) -> Iterator[str]:
    if sections.tags != sections.written:
        yield "spelling of a tag"
    expected = _STOP_TAGS if stop else _CLICK_TAGS
    seen = [tag for tag in sections.tags if stop or "answer" not in tag]
    known = set(seen)
    if missing := [tag for tag in expected if tag not in known]:
        yield "missing " + " ".join(missing)
    elif seen != expected:
        yield "tags repeated or out of order"
    elif not all("\n" in piece for piece in sections.outside[1:-1]):
        yield "two tags on a line"
    if _joined(sections.outside):
        yield "text outside the tags"


def _decide(sections: _Sections, thought: str, frame: Frame, repairs: list[str]) -> tuple[Raw, str]:
    """Give the action as written and the thought; the action tag goes before bare text, bare text before an answer."""
    outside = _joined(sections.outside)
    if tagged := [piece.strip() for piece in sections.action if piece.strip()]:
        if len(tagged) > 1:
            repairs.append("further action tags dropped")
        found = read(tagged[0], frame, repairs)
        if found is None:
            raise _Unreadable(tagged[0])
        return found[0], thought or outside
    if found := read(outside, frame, repairs, bare=True):
        return found[0], thought or before(outside, found[1])
    if sections.answer:
        repairs.append("answer without an action: taken as Terminate")
        return Raw("terminate"), thought or outside
    last = thought.rpartition("\n")[2]
    unsure: list[str] = []
    if (found := read(last, frame, unsure, bare=True)) and not before(last, found[1]):
        repairs.extend((*unsure, "action taken from the end of the thought"))
        return found[0], thought
    raise _Unreadable(outside)


def _expected(frame: Frame, allow: Collection[str]) -> str:
    point, box = (f"({', '.join(frame.names(count))})" for count in (2, 4))
    return "expected one of: " + ", ".join(_ADVICE[kind].format(point, box) for kind in EVERY_KIND if kind in allow)
