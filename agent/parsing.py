"""Read a model's reply: tolerant by default, exact with ``strict=True``; no string makes it raise.

The steps: split the tags, find the action's text, read it (a line or JSON), translate its numbers. Whatever differs
from `ibisagent.agent.actions.write_reply` is listed as a repair. Every quantifier that a search can restart is
bounded or possessive, so that the time is linear in the length of the reply.
"""

import json
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from ibisagent.agent.actions import KINDS, TAG, Action, Backtrack, Terminate, clean_target
from ibisagent.agent.coordinates import UNIT, Frame
from ibisagent.tools.clicks import Box, Click
from ibisagent.tools.errors import InputError

__all__ = ["ALL_KINDS", "Reply", "parse_reply"]

ALL_KINDS = KINDS
_CLICK_TAGS = ["<think>", "</think>", "<action>", "</action>"]
_STOP_TAGS = [*_CLICK_TAGS, "<answer>", "</answer>"]
_ADVICE = {
    "point": "Positive Point {0}, Negative Point {0}",
    "box": "Box {1}",
    "backtrack": "Backtrack",
    "terminate": "Terminate",
}

_NUMBER = r"[-+]?(?:[0-9]++(?:\.[0-9]*+)?+|\.[0-9]++|nan|inf(?:inity)?)(?:e[-+]?[0-9]++)?+(?![\w%]|\.[0-9])"
_NOUN = r"(?:point|click)(?:s|_2d)?"
_LABEL = r"[xy][012]?\s?[=:]"
_PADDING = r"[\s*`_\"'#>-]{0,16}+"
_ACTION = re.compile(
    rf"\b(?:(?P<sign>positive|negative)[\s_*-]{{0,4}}(?:{_NOUN})?|{_NOUN}|(?P<box>b?box(?:es|_2d)?))"
    rf"[\s:：=*`_\"']{{0,8}}(?:at\b[\s:]{{0,4}})?(?P<run>[(\[（［\s]{{0,8}}(?:{_LABEL}\s?)?{_NUMBER}"
    rf"(?:{_NUMBER}|{_LABEL}|[()\[\]（）［］\s,;，；])*+)"
    rf"|^{_PADDING}(?:action\s?[:：=]{_PADDING})?"
    r"(?:(?P<terminate>terminat(?:e|ed|ion)|(?:stop|finish(?:ed)?|done)(?=\W{0,16}$))|(?P<backtrack>backtrack|undo))\b",
    re.IGNORECASE | re.MULTILINE,
)
_NUMBERS = re.compile(_NUMBER, re.IGNORECASE)
_LABELS = re.compile(r"[xy](?=[012]?\s?[=:])", re.IGNORECASE)
_TARGET = re.compile(r"[)\]）］ \t*`]{0,8}\bfor\b([^\n]{1,500})", re.IGNORECASE)
_LINE_START = re.compile(rf"^{_PADDING}(?:action\s?[:：=])?{_PADDING}\Z", re.IGNORECASE | re.MULTILINE)
_MANY = 1000  # tags, or actions in one text, beyond which a reply is noise and the rest is not looked at


def _shape(number: str) -> re.Pattern[str]:
    """Compile the canonical spelling of an action: what `spell` writes, but for the values."""
    point, box = (rf"\({', '.join([number] * count)}\)" for count in (2, 4))
    head = rf"(?:Positive|Negative) Point {point}|Box {box}|Backtrack|Terminate"
    return re.compile(rf"(?:{head})(?: for ([^\n]{{1,500}}))?")


_DECIMAL_SHAPE = _shape(r"(?:0|[1-9][0-9]*)\.[0-9]{4}")
_WHOLE_SHAPE = _shape(r"(?:0|[1-9][0-9]*)")

_ATTRIBUTES = dict.fromkeys(("1", "+1", "positive", "true", "foreground"), True)
_ATTRIBUTES |= dict.fromkeys(("-1", "0", "negative", "false", "background"), False)
_ATTRIBUTE_KEYS = ("attribute", "sign", "positive", "label", "action")
_POINT_KEYS = ("coordinate2d", "coordinates2d", "coordinate", "coordinates", "point2d", "point")
_BOX_KEYS = ("bbox2d", "bbox", "box2d", "box")
_DECODER = json.JSONDecoder(parse_int=float)


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


class _Raw(NamedTuple):
    """An action with its numbers as written, in the order of the frame."""

    kind: str
    positive: bool = True
    numbers: tuple[float, ...] = ()
    target: str | None = None


def parse_reply(text: str, *, frame: Frame = UNIT, allow: Collection[str] = ALL_KINDS, strict: bool = False) -> Reply:
    r"""Read a reply written in the coordinates of ``frame``; kinds of action outside ``allow`` are refused.

    ``strict`` turns every repair into an error: it accepts what `write_reply` writes, and whitespace around texts.

    >>> parse_reply("<think>Left of it.</think>\n<action>Positive Point (0.25, 0.5)</action>").repairs
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
        action = _translate(raw, frame, repairs)
    except _Unreadable as unread:
        action, error = None, f"got {_quote(str(unread)) or 'no action'}, {_expected(frame, allow)}"
    except InputError as reason:
        action, error = None, str(reason)
    stop = isinstance(action, Terminate) or (error is not None and answer is not None)
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
    found = list(islice(TAG.finditer(text), _MANY))
    last = max((tag.start() for tag in found if _canonical_tag(tag) == "</think>"), default=-1)
    sections = _walk(text, found, last)
    elsewhere = _joined(sections.action + sections.answer) or _ACTION.search(_joined(sections.outside))
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


def _decide(sections: _Sections, thought: str, frame: Frame, repairs: list[str]) -> tuple[_Raw, str]:
    """Give the action as written and the thought; the action tag goes before bare text, bare text before an answer."""
    outside = _joined(sections.outside)
    if tagged := [piece.strip() for piece in sections.action if piece.strip()]:
        if len(tagged) > 1:
            repairs.append("further action tags dropped")
        found = _read(tagged[0], frame, repairs)
        if found is None:
            raise _Unreadable(tagged[0])
        return found[0], thought or outside
    if found := _read(outside, frame, repairs, bare=True):
        return found[0], thought or _before(outside, found[1])
    if sections.answer:
        repairs.append("answer without an action: taken as Terminate")
        return _Raw("terminate"), thought or outside
    last = thought.rpartition("\n")[2]
    unsure: list[str] = []
    if (found := _read(last, frame, unsure, bare=True)) and not _before(last, found[1]):
        repairs.extend((*unsure, "action taken from the end of the thought"))
        return found[0], thought
    raise _Unreadable(outside)


def _before(text: str, start: int) -> str:
    """Give the text before an action, less the label of its line ("Action:", "**")."""
    label = _LINE_START.search(text, max(0, start - 60), start)
    return text[: label.start() if label else start].strip()


def _read(text: str, frame: Frame, repairs: list[str], bare: bool = False) -> tuple[_Raw, int] | None:
    """Read the first action in a text, and where it starts.

    In ``bare`` text, which may be prose, an action at the start of a line goes before one inside a sentence, and a
    word such as Terminate counts alone on its line only.
    """
    matches = [match for match in islice(_ACTION.finditer(text), _MANY) if _counts(match, text, bare)]
    standing = [match for match in matches if _LINE_START.search(text, max(0, match.start() - 60), match.start())]
    first = next(iter((standing if bare else []) + matches), None)
    brace = text.find("{")
    if brace >= 0 and (first is None or brace < first.start()) and (raw := _read_json(text, frame, repairs)):
        repairs.append("JSON in place of an action line")
        return raw, brace
    if first is None:
        return None
    raw, start = _read_line(first, text, frame), first.end() - len(first[0].lstrip())
    if bare and first not in standing:
        raw = raw._replace(target=None)  # in prose, "for better coverage" names no target
    repairs.extend(_line_repairs(first, text[start:].partition("\n")[0] if bare else text, frame))
    if len(matches) > 1:
        repairs.append("further actions dropped")
    return raw, start


def _line_repairs(match: re.Match[str], line: str, frame: Frame) -> Iterator[str]:
    if match["run"] and not (match["sign"] or match["box"]):
        yield "no sign: taken as positive"
    elif not _is_canonical(line, frame):
        yield "spelling of the action"
    if match["run"] and len(_NUMBERS.findall(match["run"])) > (4 if match["box"] else 2):
        yield "further numbers dropped"


def _run(match: re.Match[str]) -> str:
    """Give the numbers of one point or box: up to the first closing bracket, or to the line's end without brackets."""
    run = match["run"].strip()
    return re.split(r"[)\]）］]" if run[0] in "([（［" else r"\n", run, maxsplit=1)[0]


def _numbers(match: re.Match[str]) -> list[str]:
    numbers = _NUMBERS.findall(_run(match))
    # a box may come as two bracketed corners
    return _NUMBERS.findall(match["run"]) if match["box"] and len(numbers) == 2 else numbers


def _counts(match: re.Match[str], text: str, bare: bool) -> bool:
    if match["run"]:
        return len(_numbers(match)) == (4 if match["box"] else 2)
    end = text.find("\n", match.end())
    return not bare or not text[match.end() : end if end >= 0 else len(text)].strip(" \t\r*`_.!\"'")


def _read_line(match: re.Match[str], text: str, frame: Frame) -> _Raw:
    named = _TARGET.match(text, match.end() if not match["run"] else match.start("run") + len(match["run"].rstrip()))
    target = clean_target(named[1]) if named else None
    if not match["run"]:
        return _Raw("terminate" if match["terminate"] else "backtrack", target=target)
    numbers = tuple(float(number) for number in _numbers(match))
    labels = _LABELS.findall(match["run"])
    if labels and labels[0].lower() != frame.names(2)[0]:
        numbers = _swapped(numbers)
    return _Raw("box" if match["box"] else "point", (match["sign"] or "").lower() != "negative", numbers, target)


def _swapped(numbers: tuple[float, ...]) -> tuple[float, ...]:
    """Exchange x and y in a point or a box."""
    return tuple(numbers[index ^ 1] for index in range(len(numbers)))


def _is_canonical(line: str, frame: Frame) -> bool:
    match = (_DECIMAL_SHAPE if frame.profile == "unit" else _WHOLE_SHAPE).fullmatch(line)
    return match is not None and match[1] == clean_target(match[1])


def _read_json(text: str, frame: Frame, repairs: list[str]) -> _Raw | None:
    """Read the paper's triple, a grounding box or `to_plain`'s form out of the first object that holds one."""
    for brace in islice(re.finditer(r"{", text), 8):
        fields = _decoded(text[brace.start() : brace.start() + 4000])
        if fields and (raw := _from_fields(fields, frame, repairs)):
            return raw
    return None


def _decoded(text: str) -> dict[str, str]:
    """Decode one JSON (or Python) object at the start of a text into plain keys and texts; nothing: {}."""
    mended = re.sub(r":\s*\+", ": ", text).translate(str.maketrans("'()", '"[]'))
    for attempt in (text, mended):
        try:
            value = _DECODER.raw_decode(attempt)[0]
            return {
                re.sub(r"[^a-z0-9]", "", key.lower()): str(item).strip()
                for key, item in value.items()
                if item is not None
            }
        except (ValueError, RecursionError):
            continue
    return {}


def _from_fields(fields: dict[str, str], frame: Frame, repairs: list[str]) -> _Raw | None:
    word = _ACTION.match(fields.get("action") or fields.get("type") or "")
    if word and _counts(word, word.string, bare=False):
        return _read_line(word, word.string, frame)._replace(target=clean_target(fields.get("target")))
    for count, keys, names in ((4, _BOX_KEYS, "x0 y0 x1 y1"), (2, _POINT_KEYS, "x y")):
        written = next((fields[key] for key in keys if key in fields), None)
        named = [fields[name] for name in names.split() if name in fields]
        numbers = tuple(float(number) for number in _NUMBERS.findall(written or " ".join(named)))
        if len(numbers) == count:
            in_order = numbers if written or frame.names(2)[0] == "x" else _swapped(numbers)
            if count == 4:
                return _Raw("box", numbers=in_order, target=clean_target(fields.get("target", fields.get("label"))))
            return _Raw("point", _sign(fields, repairs), in_order, clean_target(_named(fields)))
    return None


def _attribute(text: str) -> bool | None:
    return _ATTRIBUTES.get((text.lower().split() or [""])[0].removesuffix(".0"))


def _named(fields: dict[str, str]) -> str | None:
    label = fields.get("label")
    return fields.get("target", label if label and _attribute(label) is None else None)


def _sign(fields: dict[str, str], repairs: list[str]) -> bool:
    signs = (_attribute(fields[key]) for key in _ATTRIBUTE_KEYS if key in fields)
    sign = next((sign for sign in signs if sign is not None), None)
    if sign is None and "attribute" in fields:
        raise InputError(f"got the attribute {_quote(fields['attribute'])}: expected +1 or -1")
    if sign is None:
        repairs.append("no sign: taken as positive")
    return sign is not False


def _translate(raw: _Raw, frame: Frame, repairs: list[str]) -> Action:
    """Make the action in unit coordinates; raises `InputError` for numbers out of range and empty boxes."""
    if raw.kind in ("backtrack", "terminate"):
        return Backtrack(raw.target) if raw.kind == "backtrack" else Terminate(raw.target)
    units, clamped = frame.read(raw.numbers)
    repairs.extend(clamped)
    if raw.kind == "point":
        return Click(units[0], units[1], raw.positive, raw.target)
    (x0, x1), (y0, y1) = sorted(units[0::2]), sorted(units[1::2])
    if (x0, y0, x1, y1) != units:
        repairs.append("box corners sorted")
    return Box(x0, y0, x1, y1, raw.target)


def _quote(text: str) -> str:
    """Quote at most 80 characters of a reply on one line."""
    words = "".join(letter if letter.isprintable() else " " for letter in text[:200])
    short = " ".join(words.split())
    if not short:
        return ""
    return repr(short if len(short) <= 80 and len(text) <= 200 else short[:77] + "...")


def _expected(frame: Frame, allow: Collection[str]) -> str:
    point, box = (f"({', '.join(frame.names(count))})" for count in (2, 4))
    return "expected one of: " + ", ".join(_ADVICE[kind].format(point, box) for kind in ALL_KINDS if kind in allow)
