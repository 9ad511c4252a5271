"""Parse one action from a text: a line in any of its spellings, or JSON; numbers still as written.

An action counts where it is alone, at the start of a line and followed only by its target, an explanation or further
actions; one mentioned in a sentence does not. It has to be complete: at the end of the reply it may be cut.

Every quantifier that a search can restart is bounded or possessive, so that the time is linear in the text's length.
"""

import json
import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

from ibisagent.agent.action_spans import (
    LINE_START,
    TARGET,
    ActionMatch,
    TextEnd,
    TruncatedAction,
    has_words,
    is_complete,
    is_in_json_object,
    is_only_mentioned,
    is_standalone,
    match_action,
)
from ibisagent.agent.action_spans import PADDING as _PADDING
from ibisagent.agent.actions import Action, Backtrack, Decline, Redo, Terminate, clean_target
from ibisagent.agent.coordinates import CoordinateFrame
from ibisagent.agent.json_actions import NUMBER as _NUMBER
from ibisagent.agent.json_actions import (
    NUMBERS,
    WORD_KEYS,
    RawAction,
    as_text,
    flatten,
    has_position,
    read_position,
    swap_xy,
)
from ibisagent.tools.clicks import Box, Click, Similar

__all__ = ["MAX_MATCHES", "STOP_KINDS", "contains_position", "has_action", "read_action", "text_before", "to_action"]

_NOUN = r"(?:point|click)(?:s|_2d)?"
_SIMILAR = rf"similar(?:[\s_*-]{{1,4}}{_NOUN})?"
_LABEL = r"[xy][012]?\s?[=:]"
_ACTION = re.compile(
    rf"\b(?:(?P<sign>positive|negative)[\s_*-]{{0,4}}(?:(?P<similar>{_SIMILAR})|{_NOUN})?"
    rf"|(?P<alike>{_SIMILAR})|{_NOUN}|(?P<box>b?box(?:es|_2d)?))"
    rf"[\s:：=*`_\"']{{0,8}}(?:at\b[\s:]{{0,4}})?(?P<run>[(\[（［\s]{{0,8}}(?:{_LABEL}\s?)?{_NUMBER}"
    rf"(?:{_NUMBER}|{_LABEL}|[()\[\]（）［］\s,;，；])*+)"
    rf"|^{_PADDING}(?:action\s?[:：=]{_PADDING})?"
    r"(?:(?P<terminate>terminat(?:e|ed|ion)|(?:stop|finish(?:ed)?|done)(?=\W{0,16}$))|(?P<backtrack>backtrack|undo)"
    r"|(?P<decline>declined?)|(?P<redo>redo))\b",
    re.IGNORECASE | re.MULTILINE,
)
_LABELS = re.compile(r"[xy](?=[012]?\s?[=:])", re.IGNORECASE)
_TOOL_CALL = re.compile(r"<\|?/?tool_call\|?>", re.IGNORECASE)
_JSON_START = re.compile(
    rf"^{_PADDING}(?:<\|?tool_call\|?>)?(?:json)?(?:action\s?[:：=])?[\s\[`]{{0,16}}\Z", re.IGNORECASE | re.MULTILINE
)
_VALUE = r"[-+]?(?:[0-9]{1,9}(?:\.[0-9]{0,17})?|\.[0-9]{1,17})\s?%?"
_NEXT_VALUE = rf"(?:\s{{0,4}}[,;，；]\s{{0,4}}|\s{{1,4}}){_VALUE}"
_AXIS_VALUE = rf"[012]?\s{{0,2}}[=:]?\s{{0,2}}[\"']?{_VALUE}[\"']?"
_POSITION_WORD = (
    r"\b(?:at|here|click|point|b?box|coordinates?|coords?|position|location|located|pixels?|cent(?:er|re))\b[\s:=]{0,6}"
    r"(?:(?:about|around|approximately|roughly|near|pixels?)\s{1,4}){0,2}"
)
_ROW = r"\b(?:row|col(?:umn)?)\s{0,2}[=:]?\s{0,2}"
_NO_UNIT = r"(?!\s{0,2}(?:[cm]?m|ml|cc|hu|px|pixels?|slices?|years?)\b)"
_POSITION = re.compile(
    rf"[(\[（［{{]\s{{0,4}}{_VALUE}(?:{_NEXT_VALUE}|(?:{_NEXT_VALUE}){{3}})\s{{0,4}}[)\]）］}}](?!\s{{0,2}}(?:[cm]?m|ml|cc|hu)\b)"
    rf"|<\|?(?:b?box|points?|click|quad|poly(?:gon)?|loc|coords?)(?:_?[0-9]{{1,4}}|_start|_2d)?[\s|>]"
    rf"|\bx{_AXIS_VALUE}[\s,;]{{1,6}}(?:and\s{{1,4}})?y{_AXIS_VALUE}"
    rf"|\by{_AXIS_VALUE}[\s,;]{{1,6}}(?:and\s{{1,4}})?x{_AXIS_VALUE}"
    rf"|{_ROW}{_VALUE}[\s,;]{{1,6}}(?:and\s{{1,4}})?{_ROW}{_VALUE}"
    rf"|\b(?:left|right)\s?[=:]\s?{_VALUE}[\s,;]{{1,6}}(?:top|bottom)\s?[=:]\s?{_VALUE}"
    rf"|\b(?:top|bottom)\s?[=:]\s?{_VALUE}[\s,;]{{1,6}}(?:left|right)\s?[=:]\s?{_VALUE}"
    rf"|{_POSITION_WORD}[01]?\.[0-9]{{1,9}}\s?/\s?[01]?\.[0-9]{{1,9}}"
    rf"|(?:\A\W{{0,8}}|{_POSITION_WORD}){_VALUE}{_NEXT_VALUE}(?:{_NEXT_VALUE}{_NEXT_VALUE})?(?!\w|\.[0-9]){_NO_UNIT}",
    re.IGNORECASE,
)
_NO_PLACE = re.compile(  # a bracket behind a word that its numbers belong to
    r"\b(?:refs?|references?|slices?|frames?|series|levels?|segments?|grades?|range|interval|CI|HU|intensit(?:y|ies)|values?|"
    r"scores?|weeks?|years?|ages?)\.?\s{0,2}[(\[][^()\[\]\n]{0,60}[)\]]",
    re.IGNORECASE,
)
_OUTLINE_KEYS = ("counts", "rle", "polygon", "polygons", "segmentation", "contour")
STOP_KINDS = ("terminate", "decline")
MAX_MATCHES = 1000  # tags, or actions in one text; the rest of a longer reply is ignored


def _compile_canonical(number: str) -> re.Pattern[str]:
    """Compile the canonical spelling of an action: what `format_action` writes, with any values."""
    point, box = (rf"\({', '.join([number] * count)}\)" for count in (2, 4))
    head = rf"(?:Positive|Negative) Point {point}|(?:Negative )?Similar {point}|Box {box}"
    head += "|Backtrack|Terminate|Decline|Redo"
    return re.compile(rf"(?:{head})(?: for ([^\n]{{1,500}}))?")


_CANONICAL_DECIMAL = _compile_canonical(r"[01](?:\.[0-9]{1,16})?")
_CANONICAL_INTEGER = _compile_canonical(r"(?:0|[1-9][0-9]*)")

_DECODER = json.JSONDecoder(parse_int=float)
_PYTHON = re.compile(  # what Python writes otherwise than JSON: strings first, so that nothing inside one is changed
    r"\"(?:[^\"\\]|\\.)*+\"|'(?:[^'\\]|\\.)*+'|\b(?:None|True|False)\b|[()]|,(?=\s{0,16}[}\])])|\+(?=[0-9.])|(?<![\w.])\.(?=[0-9])",
    re.DOTALL,
)
_MAX_BRACES = 200
_IN_JSON = {"None": "null", "True": "true", "False": "false", "(": "[", ")": "]", ".": "0."}
_ESCAPES = {"\\'": "'", '"': '\\"'}
_WORDS: dict[str, type[Terminate | Backtrack | Decline | Redo]] = {
    "terminate": Terminate,
    "backtrack": Backtrack,
    "decline": Decline,
    "redo": Redo,
}


def has_action(text: str) -> bool:
    """Whether anything in the text looks like an action."""
    return _ACTION.search(text) is not None


def text_before(text: str, start: int) -> str:
    """Return the text before an action, less the label of its line ("Action:", "**")."""
    label = LINE_START.search(text, max(0, start - 60), start)
    return text[: label.start() if label else start].strip()


def read_action(
    text: str, frame: CoordinateFrame, repairs: list[str], *, end: TextEnd = TextEnd.TAG, bare: bool = False
) -> tuple[RawAction, int] | None:
    """Parse the first standalone action of a text, and where it starts; raises `TruncatedAction` if it is incomplete.

    In ``bare`` text, which may be prose, it is the action that the text ends with, on a line of its own. A stop beside
    another action is no action: it is ambiguous which of them was meant.
    """
    found = list(filter(None, map(match_action, islice(_ACTION.finditer(text), MAX_MATCHES))))
    standing = [each for each in found if is_standalone(each, bare)]
    brace = text.find("{")
    if 0 <= brace < (standing[0].match.start() if standing else len(text)) and (
        given := _read_json(text, brace, frame, repairs, bare)
    ):
        return given
    first = next(iter(standing[-1:] if bare else standing), None)
    if first is None or is_in_json_object(first) or (bare and has_words(text[first.line_end :])):
        return None
    if not is_complete(first, end):
        raise TruncatedAction
    raw, start = _read_line(first, frame), first.match.end() - len(first.match[0].lstrip())
    if raw.kind in STOP_KINDS and len({each.match[0].strip().lower() for each in (standing if bare else found)}) > 1:
        return None
    repairs.extend(_line_repairs(first, (text[start:].partition("\n")[0] if bare else text).strip(), frame))
    if len(found) > 1:
        repairs.append("further actions dropped")
    return raw, start


def _line_repairs(found: ActionMatch, line: str, frame: CoordinateFrame) -> Iterator[str]:
    run, box = found.match["run"], found.match["box"]
    if run and not (found.match["sign"] or found.match["alike"] or box):
        yield "no sign: taken as positive"
    elif not _is_canonical(line, frame):
        yield "spelling of the action"
    if run and len(NUMBERS.findall(run)) > (4 if box else 2):
        yield "further numbers dropped"


def _read_line(found: ActionMatch, frame: CoordinateFrame) -> RawAction:
    match = found.match
    named = TARGET.match(match.string, found.after)
    target = clean_target(named[1]) if named else None
    if not match["run"]:
        return RawAction(next(kind for kind in _WORDS if match[kind]), target=target)
    numbers = tuple(float(number[0]) for number in found.numbers)
    labels = _LABELS.findall(match["run"])
    if labels and labels[0].lower() != frame.names(2)[0]:
        numbers = swap_xy(numbers)
    kind = "box" if match["box"] else "similar" if match["similar"] or match["alike"] else "point"
    return RawAction(kind, (match["sign"] or "").lower() != "negative", numbers, target)


def _is_canonical(line: str, frame: CoordinateFrame) -> bool:
    match = (_CANONICAL_DECIMAL if frame.profile == "unit" else _CANONICAL_INTEGER).fullmatch(line)
    return match is not None and match[1] == clean_target(match[1])


def _read_json(
    text: str, brace: int, frame: CoordinateFrame, repairs: list[str], bare: bool
) -> tuple[RawAction, int] | None:
    """Parse the paper's triple, a grounding box or `to_plain`'s form from the first object, which has to be closed."""
    fields, length = _decode_object(text[brace : brace + 4000])
    behind, _, more = text[brace + length :].partition("{")
    behind = _TOOL_CALL.sub("", behind)
    line_start = _JSON_START.search(text, max(0, brace - 60), brace)
    if not fields or not line_start or has_words(behind if bare else behind.partition("\n")[0]):
        return None
    if is_only_mentioned(text[max(0, line_start.start() - 400) : line_start.start()], line_start[0]):
        return None
    raw = _read_fields(fields, frame, repairs)
    if raw is None or (more and (bare or raw.kind in STOP_KINDS)):
        return None
    repairs.append("JSON in place of an action line")
    if more:
        repairs.append("further actions dropped")
    return raw, brace


def _decode_object(text: str) -> tuple[dict[str, Any], int]:
    """Decode the JSON (or Python) object at the start of a text into flat keys, {} if none; also return its length."""
    for attempt in (text, _PYTHON.sub(_python_token_to_json, text)):
        try:
            value, length = _DECODER.raw_decode(attempt)
            return flatten(value) or {}, length if attempt is text else _original_length(text, length)
        except (ValueError, RecursionError):
            continue
    return {}, 0


def _python_token_to_json(token: re.Match[str]) -> str:
    """Convert one token of Python to JSON; a comma before a closing bracket and a plus sign are dropped."""
    written = token[0]
    if written[0] == "'":
        return '"' + re.sub(r"\\(.)|(\")", lambda found: _ESCAPES.get(found[0], found[0]), written[1:-1]) + '"'
    return _IN_JSON.get(written, "" if written[0] in ",+" else written)


def _original_length(text: str, length: int) -> int:
    """Return how much of a text ``length`` characters of its JSON spelling are; it ends with a closing brace."""
    ends = (brace.end() for brace in islice(re.finditer("}", text), _MAX_BRACES))
    return next((end for end in ends if len(_PYTHON.sub(_python_token_to_json, text[:end])) == length), len(text))


def _read_fields(fields: dict[str, Any], frame: CoordinateFrame, repairs: list[str]) -> RawAction | None:
    """Parse the fields: an action in words or a position; both together are no action."""
    worded = [read_action(words, frame, []) for key in WORD_KEYS if (words := as_text(fields.get(key)))]
    raws = {each[0] for each in worded if each}
    if not raws:
        return read_position(fields, frame, repairs)
    alone = len(raws) == 1 and not has_position(fields)
    target, answer = clean_target(as_text(fields.get("target"))), as_text(fields.get("answer"))
    return raws.pop()._replace(target=target, answer=answer or None) if alone else None


def contains_position(text: str) -> bool:
    """Whether a text that should be words contains a click, a box or an outline, in any spelling."""
    found = islice(_ACTION.finditer(text), MAX_MATCHES)
    runs = (match["run"] or "" for match in found if not match["alike"])  # "nodules of similar 11 and 12 mm" are words
    if _POSITION.search(_NO_PLACE.sub(" ", text)) or any(len(NUMBERS.findall(run)) >= 2 for run in runs):
        return True
    brace = text.find("{")
    fields = _decode_object(text[brace : brace + 4000])[0] if brace >= 0 else {}
    return has_position(fields) or any(name in fields for name in _OUTLINE_KEYS)


def to_action(raw: RawAction, frame: CoordinateFrame, repairs: list[str]) -> Action:
    """Convert to an action in unit coordinates; raises `InputError` for numbers out of range and empty boxes."""
    if raw.kind in _WORDS:
        return _WORDS[raw.kind](raw.target)
    units, clamped = frame.read(raw.numbers)
    repairs.extend(clamped)
    if raw.kind in ("point", "similar"):
        at: type[Click | Similar] = Click if raw.kind == "point" else Similar
        return at(units[0], units[1], raw.positive, raw.target)
    (x0, x1), (y0, y1) = sorted(units[0::2]), sorted(units[1::2])
    if (x0, y0, x1, y1) != units:
        repairs.append("box corners sorted")
    return Box(x0, y0, x1, y1, raw.target)
