"""Read one action out of a text: a line in any of its spellings, or JSON; numbers still as written.

Every quantifier that a search can restart is bounded or possessive, so that the time is linear in the text's length.
"""

import json
import re
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from ibisagent.agent.actions import Action, Backtrack, Decline, Redo, Terminate, clean_target
from ibisagent.agent.coordinates import Frame
from ibisagent.tools.clicks import Box, Click
from ibisagent.tools.errors import InputError

__all__ = ["MANY", "Raw", "before", "has_action", "quote", "read", "translate"]

_NUMBER = r"[-+]?(?:[0-9]++(?:\.[0-9]*+)?+|\.[0-9]++|nan|inf(?:inity)?)(?:e[-+]?[0-9]++)?+(?![\w%]|\.[0-9])"
_NOUN = r"(?:point|click)(?:s|_2d)?"
_LABEL = r"[xy][012]?\s?[=:]"
_PADDING = r"[\s*`_\"'#>-]{0,16}+"
_ACTION = re.compile(
    rf"\b(?:(?P<sign>positive|negative)[\s_*-]{{0,4}}(?:{_NOUN})?|{_NOUN}|(?P<box>b?box(?:es|_2d)?))"
    rf"[\s:：=*`_\"']{{0,8}}(?:at\b[\s:]{{0,4}})?(?P<run>[(\[（［\s]{{0,8}}(?:{_LABEL}\s?)?{_NUMBER}"
    rf"(?:{_NUMBER}|{_LABEL}|[()\[\]（）［］\s,;，；])*+)"
    rf"|^{_PADDING}(?:action\s?[:：=]{_PADDING})?"
    r"(?:(?P<terminate>terminat(?:e|ed|ion)|(?:stop|finish(?:ed)?|done)(?=\W{0,16}$))|(?P<backtrack>backtrack|undo)"
    r"|(?P<decline>declined?)|(?P<redo>redo))\b",
    re.IGNORECASE | re.MULTILINE,
)
_NUMBERS = re.compile(_NUMBER, re.IGNORECASE)
_LABELS = re.compile(r"[xy](?=[012]?\s?[=:])", re.IGNORECASE)
_TARGET = re.compile(r"[)\]）］ \t*`]{0,8}\bfor\b([^\n]{1,500})", re.IGNORECASE)
_LINE_START = re.compile(rf"^{_PADDING}(?:action\s?[:：=])?{_PADDING}\Z", re.IGNORECASE | re.MULTILINE)
MANY = 1000  # tags, or actions in one text, beyond which a reply is noise and the rest is not looked at


def _shape(number: str) -> re.Pattern[str]:
    """Compile the canonical spelling of an action: what `spell` writes, but for the values."""
    point, box = (rf"\({', '.join([number] * count)}\)" for count in (2, 4))
    head = rf"(?:Positive|Negative) Point {point}|Box {box}|Backtrack|Terminate|Decline|Redo"
    return re.compile(rf"(?:{head})(?: for ([^\n]{{1,500}}))?")


_DECIMAL_SHAPE = _shape(r"[01](?:\.[0-9]{1,16})?")
_WHOLE_SHAPE = _shape(r"(?:0|[1-9][0-9]*)")

_ATTRIBUTES = dict.fromkeys(("1", "+1", "positive", "true", "foreground"), True)
_ATTRIBUTES |= dict.fromkeys(("-1", "0", "negative", "false", "background"), False)
_ATTRIBUTE_KEYS = ("attribute", "sign", "positive", "label", "action")
_POINT_KEYS = ("coordinate2d", "coordinates2d", "coordinate", "coordinates", "point2d", "point")
_BOX_KEYS = ("bbox2d", "bbox", "box2d", "box")
_DECODER = json.JSONDecoder(parse_int=float)
_WORDS: dict[str, type[Terminate | Backtrack | Decline | Redo]] = {
    "terminate": Terminate,
    "backtrack": Backtrack,
    "decline": Decline,
    "redo": Redo,
}


class Raw(NamedTuple):
    """An action with its numbers as written, in the order of the frame."""

    kind: str
    positive: bool = True
    numbers: tuple[float, ...] = ()
    target: str | None = None


def has_action(text: str) -> bool:
    """Tell whether anything in the text looks like an action."""
    return _ACTION.search(text) is not None


def before(text: str, start: int) -> str:
    """Give the text before an action, less the label of its line ("Action:", "**")."""
    label = _LINE_START.search(text, max(0, start - 60), start)
    return text[: label.start() if label else start].strip()


def read(text: str, frame: Frame, repairs: list[str], bare: bool = False) -> tuple[Raw, int] | None:
    """Read the first action in a text, and where it starts.

    In ``bare`` text, which may be prose, an action at the start of a line goes before one inside a sentence, and a
    word such as Terminate counts alone on its line only.
    """
    matches = [match for match in islice(_ACTION.finditer(text), MANY) if _counts(match, text, bare)]
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


def _read_line(match: re.Match[str], text: str, frame: Frame) -> Raw:
    named = _TARGET.match(text, match.end() if not match["run"] else match.start("run") + len(match["run"].rstrip()))
    target = clean_target(named[1]) if named else None
    if not match["run"]:
        return Raw(next(kind for kind in _WORDS if match[kind]), target=target)
    numbers = tuple(float(number) for number in _numbers(match))
    labels = _LABELS.findall(match["run"])
    if labels and labels[0].lower() != frame.names(2)[0]:
        numbers = _swapped(numbers)
    return Raw("box" if match["box"] else "point", (match["sign"] or "").lower() != "negative", numbers, target)


def _swapped(numbers: tuple[float, ...]) -> tuple[float, ...]:
    """Exchange x and y in a point or a box."""
    return tuple(numbers[index ^ 1] for index in range(len(numbers)))


def _is_canonical(line: str, frame: Frame) -> bool:
    match = (_DECIMAL_SHAPE if frame.profile == "unit" else _WHOLE_SHAPE).fullmatch(line)
    return match is not None and match[1] == clean_target(match[1])


def _read_json(text: str, frame: Frame, repairs: list[str]) -> Raw | None:
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


def _from_fields(fields: dict[str, str], frame: Frame, repairs: list[str]) -> Raw | None:
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
                return Raw("box", numbers=in_order, target=clean_target(fields.get("target", fields.get("label"))))
            return Raw("point", _sign(fields, repairs), in_order, clean_target(_target_of(fields)))
    return None


def _attribute(text: str) -> bool | None:
    return _ATTRIBUTES.get((text.lower().split() or [""])[0].removesuffix(".0"))


def _target_of(fields: dict[str, str]) -> str | None:
    label = fields.get("label")
    return fields.get("target", label if label and _attribute(label) is None else None)


def _sign(fields: dict[str, str], repairs: list[str]) -> bool:
    signs = (_attribute(fields[key]) for key in _ATTRIBUTE_KEYS if key in fields)
    sign = next((sign for sign in signs if sign is not None), None)
    if sign is None and "attribute" in fields:
        raise InputError(f"got the attribute {quote(fields['attribute'])}: expected +1 or -1")
    if sign is None:
        repairs.append("no sign: taken as positive")
    return sign is not False


def translate(raw: Raw, frame: Frame, repairs: list[str]) -> Action:
    """Make the action in unit coordinates; raises `InputError` for numbers out of range and empty boxes."""
    if raw.kind in _WORDS:
        return _WORDS[raw.kind](raw.target)
    units, clamped = frame.read(raw.numbers)
    repairs.extend(clamped)
    if raw.kind == "point":
        return Click(units[0], units[1], raw.positive, raw.target)
    (x0, x1), (y0, y1) = sorted(units[0::2]), sorted(units[1::2])
    if (x0, y0, x1, y1) != units:
        repairs.append("box corners sorted")
    return Box(x0, y0, x1, y1, raw.target)


def quote(text: str) -> str:
    """Quote at most 80 characters of a reply on one line."""
    words = "".join(letter if letter.isprintable() else " " for letter in text[:200])
    short = " ".join(words.split())
    if not short:
        return ""
    return repr(short if len(short) <= 80 and len(text) <= 200 else short[:77] + "...")
