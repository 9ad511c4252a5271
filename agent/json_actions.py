"""Parse an action from the fields of a JSON object: which keys hold its position, its sign and its target."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from ibisagent.agent.actions import clean_target
from ibisagent.agent.coordinates import CoordinateFrame
from ibisagent.tools.errors import InputError

__all__ = [
    "NUMBER",
    "NUMBERS",
    "WORD_KEYS",
    "RawAction",
    "as_text",
    "flatten",
    "has_position",
    "quote",
    "read_position",
    "swap_xy",
]

NUMBER = r"[-+]?(?:[0-9]++(?:\.[0-9]*+)?+|\.[0-9]++|nan|inf(?:inity)?)(?:e[-+]?[0-9]++)?+(?![\w%]|\.[0-9])"
NUMBERS = re.compile(NUMBER, re.IGNORECASE)
WORD_KEYS = ("action", "type", "name")
"""Keys that may hold an action in words, its sign among them."""

_POINT_KEYS = (
    *("coordinate2d", "coordinates2d", "coordinate", "coordinates", "point2d", "point"),
    *("points", "pointcoords"),
)
_BOX_KEYS = ("bbox2d", "bbox", "box2d", "box")
_BOX_NAMES = ("x0 y0 x1 y1", "x1 y1 x2 y2", "xmin ymin xmax ymax")
_SIGN_KEYS = dict.fromkeys(("attribute", "sign", "polarity", "positive", "ispositive"), True)
_SIGN_KEYS |= dict.fromkeys(("negative", "isnegative"), False)
_FLAG_KEYS = dict.fromkeys(("foreground", "isforeground", "include", "fg", "isfg"), True)
_FLAG_KEYS |= dict.fromkeys(("background", "isbackground", "exclude", "remove", "bg", "isbg"), False)
_KIND_KEYS = ("clicktype", "pointtype", "kind", "mode")
_LABEL_KEYS = ("label", "labels", "pointlabel", "pointlabels", "value")
_CLASS_KEYS = ("label", "class", "classname", "category")
_VERB_KEYS = ("action", "actiontype", "operation", "op", "command", "intent", "tool", "toolname", "function")
_FREE_TEXT_KEYS = (
    *(
        "target",
        "thought",
        "thoughts",
        "think",
        "thinking",
        "reason",
        "reasoning",
        "rationale",
        "answer",
        "explanation",
    ),
    *("description", "comment", "note", "caption", "request", "object", "structure"),
)
_FORMAT_KEYS = ("format", "order", "mode", "boxformat", "bboxformat", "boxmode", "bboxmode", "boxtype", "bboxtype")
_OTHER_FORMAT = re.compile(r"wh\b|cxcy|coco|yolo|cent(?:er|re)", re.IGNORECASE)
_SIZE_KEYS = ("w", "h", "width", "height")
_EXTENT_KEYS = ("w", "h", "width", "height", "x1", "y1", "x2", "y2", "xmin", "ymin", "xmax", "ymax", "isbox")
_SIGNS = dict.fromkeys(("1", "+1", "+", "positive", "true", "foreground"), True)
_SIGNS |= dict.fromkeys(("-1", "0", "-", "negative", "false", "background"), False)
_SIGN_WORDS = dict.fromkeys(("positive", "foreground", "include", "pos", "fg"), True)
_SIGN_WORDS |= dict.fromkeys(
    ("negative", "background", "exclude", "remove", "subtract", "erase", "deselect", "discard", "neg", "bg"), False
)
_SIGN_LIKE = re.compile(
    r"positive|negative|(?:fore|back)ground|exclu|remov|subtract|eras|delet|deselect|right[\s_-]?click"
)
_SIGN_NAME = re.compile(
    rf"(?:(?:add|place)[\s_-]?)?(?:(?:point|click|prompt)[\s_-]?)?({'|'.join(_SIGN_WORDS)})"
    r"(?:[\s_-]?similar)?(?:[\s_-]?(?:point|click|prompt|seed|marker|coord(?:inate)?)s?)?(?:[\s_-]?2d)?s?",
    re.IGNORECASE,
)
_SIMILAR_NAME = re.compile(
    r"(?:(?:positive|negative)[\s_-]?)?similar(?:[\s_-]?(?:point|click|prompt|example)s?)?(?:[\s_-]?2d)?", re.IGNORECASE
)
_CLICK_NAME = re.compile(r"(?:positive|negative)[\s_-]?(?:point|click)", re.IGNORECASE)
_KNOWN_VERB = re.compile(
    r"click|point|box|tap|press|touch|select|add|place|mark|segment|prompt|annotat|locat|ground|detect|draw|expand|grow|"
    r"includ|posit|fore|predict|sam|simil|tool|computer|output|\Ause|\Apos\Z|\Afg\Z",
)
_IMAGE_SIZE_KEY = re.compile(
    r"(?:orig(?:inal)?|input)?(?:image|img|picture|canvas|screen|display)?(?:size|shape|resolution|dim(?:ension)?s?|info|meta"
    r"(?:data)?)?"
)
_AXIS_LABEL = re.compile(r"\b([xy])[012]?\s?[=:]", re.IGNORECASE)
_MAX_DEPTH = 4  # of nested objects


class RawAction(NamedTuple):
    """An action with its numbers as written, in the order of the frame."""

    kind: str
    positive: bool = True
    numbers: tuple[float, ...] = ()
    target: str | None = None
    answer: str | None = None


def flatten(value: object, depth: int = _MAX_DEPTH) -> dict[str, Any] | None:
    """Return the fields of an object and of nested ones under flat keys; None where two values of a key differ.

    The key of a nested object may give its sign, or show that it is a box.
    """
    fields: dict[str, Any] = {}
    pairs = value.items() if isinstance(value, Mapping) else ()
    for key, item in pairs:
        parts = item if isinstance(item, list) else [item]
        if depth and parts and all(isinstance(part, Mapping) for part in parts):
            inner = [flatten(part, depth - 1) for part in parts] + [_fields_of_key(_flat_key(key))]
            if _IMAGE_SIZE_KEY.fullmatch(_flat_key(key)) and not any(each and has_position(each) for each in inner):
                inner = [each and {name: each[name] for name in each if name not in _SIZE_KEYS} for each in inner]
        else:
            inner = [_fields_of_value(_flat_key(key), item)]
        for each in inner:
            if each is None or any(name in fields and fields[name] != each[name] for name in each):
                return None
            fields |= each
    return fields


def _flat_key(key: object) -> str:
    return re.sub(r"[^a-z0-9]", "", str(key).lower())


def _fields_of_key(key: str) -> dict[str, Any]:
    named, similar = _SIGN_NAME.fullmatch(key), {"issimilar": True} if _SIMILAR_NAME.fullmatch(key) else {}
    return similar | ({"positive": _SIGN_WORDS[named[1]]} if named else {"isbox": True} if key in _BOX_KEYS else {})


def _fields_of_value(key: str, item: Any) -> dict[str, Any]:
    """Return the fields of a key whose value is no object; a list under the name of a sign or of Similar is a point."""
    named, similar = _SIGN_NAME.fullmatch(key), _SIMILAR_NAME.fullmatch(key)
    if item is None or ((named or similar) and item == []):
        return {}
    if (named or similar) and isinstance(item, list) and len(NUMBERS.findall(str(item))) > 1:
        return {"point": item} | _fields_of_key(key)
    return {key: item}


def as_text(value: Any) -> str | None:
    """Return a field that is a text, without whitespace around it; None for any other."""
    return value.strip() if isinstance(value, str) else None


def has_position(fields: Mapping[str, Any]) -> bool:
    """Whether a key that names a position is among the fields."""
    return not fields.keys().isdisjoint((*_BOX_KEYS, *_POINT_KEYS, "x", "y", "x0", "y0", "x1", "y1", "xmin", "ymin"))


def read_position(fields: Mapping[str, Any], frame: CoordinateFrame, repairs: list[str]) -> RawAction | None:
    """Return the box or the point that the fields hold, None if there is none; `InputError` for an ambiguous sign."""
    boxes = [names for names in _BOX_NAMES if all(name in fields for name in names.split())]
    for count, keys, names in ((4, _BOX_KEYS, boxes[0] if len(boxes) == 1 else ""), (2, _POINT_KEYS, "x y")):
        first = frame.names(2)[0]
        written = next((str(fields[key]) for key in keys if key in fields), None)
        named = [str(fields[name]) for name in names.split() if name in fields]
        numbers = tuple(map(float, NUMBERS.findall(_AXIS_LABEL.sub(" ", written) if written else " ".join(named))))
        if len(numbers) == count:
            _require_unambiguous(fields, frame, corner=count == 2 and not written)
            axis = _first_axis(written, count, first) if written else "x"
            in_order = numbers if axis == first else swap_xy(numbers)
            if count == 4:
                return RawAction("box", _read_box_sign(fields), in_order, _read_target(fields))
            kind = "similar" if _is_similar(fields) else "point"
            return RawAction(kind, _read_sign(fields, repairs), in_order, _read_target(fields))
    return None


def _is_similar(fields: Mapping[str, Any]) -> bool:
    """Whether the fields are those of an example, by the name of the action or a flag, and not those of a click."""
    named = (as_text(fields.get(key)) or "" for key in (*WORD_KEYS, *_KIND_KEYS, *_VERB_KEYS))
    return any(map(_SIMILAR_NAME.fullmatch, named)) or any(fields.get(key) is True for key in ("similar", "issimilar"))


def _require_unambiguous(fields: Mapping[str, Any], frame: CoordinateFrame, *, corner: bool) -> None:
    """Raise `InputError` for numbers that may not be corners, or an x and y that may be a ``corner`` of a box."""
    for key in _FORMAT_KEYS:
        form = as_text(fields.get(key)) or ""
        if _OTHER_FORMAT.search(form) or (form[:2].lower() == "yx" and frame.names(2)[0] == "x"):
            raise InputError(f"got the {key} {quote(form)}: expected {', '.join(frame.names(4))} of a box")
    is_click = any(_CLICK_NAME.fullmatch(as_text(fields.get(key)) or "") for key in WORD_KEYS)
    extents = [key for key in _EXTENT_KEYS if key in fields and not (is_click and key in _SIZE_KEYS)]
    if corner and (beside := next(iter(extents), None)):
        got = "a box of x and y" if beside == "isbox" else f"x and y beside {beside}"
        raise InputError(f"got {got}: expected a point, or {', '.join(frame.names(4))} of a box")


def _first_axis(written: str, count: int, first: str) -> str:
    """Return the axis, x or y, of the first number of a text: by its own labels, without any ``first``."""
    letters = "".join(_AXIS_LABEL.findall(written)).lower()
    if not letters:
        return first
    if letters not in ("xy" * (count // 2), "yx" * (count // 2)):
        raise InputError(f"got {quote(written)}: expected x and y by turns")
    return letters[0]


def swap_xy(numbers: tuple[float, ...]) -> tuple[float, ...]:
    """Exchange x and y in a point or a box."""
    return tuple(numbers[index ^ 1] for index in range(len(numbers)))


def _parse_sign(value: Any) -> bool | None:
    return _SIGNS.get((str(value).lower().split() or [""])[0].removesuffix(".0"))


def _read_target(fields: Mapping[str, Any]) -> str | None:
    return clean_target(as_text(fields.get("target")) or as_text(fields.get("label")))


def _read_box_sign(fields: Mapping[str, Any]) -> bool:
    if _is_similar(fields):
        raise InputError("got a box for Similar: expected one point, an example of what all targets look like")
    if False in _explicit_signs(fields):
        raise InputError("got a negative box: expected a box around the target, or a negative point")
    return True


def _read_sign(fields: Mapping[str, Any], repairs: list[str]) -> bool:
    """Return the one sign that the fields hold; a label in words names a target, even where it looks like a sign."""
    signs = {*_explicit_signs(fields), *_label_signs(fields)}
    named = (as_text(_single_item(fields.get(key))) or "" for key in _CLASS_KEYS)
    label = next((each for each in named if each.lower() in _SIGNS), None)
    if not signs and label:
        raise InputError(f"got the label {quote(label)}, a sign or a name: expected an attribute of +1 or -1")
    if len(signs) == 2:
        raise InputError("got two signs that differ: expected one attribute of +1 or -1")
    if not signs and not _is_similar(fields):
        repairs.append("no sign: taken as positive")
    return False not in signs


def _explicit_signs(fields: Mapping[str, Any]) -> set[bool]:
    """Return the signs that are given explicitly; `InputError` for a value of a sign's key that is no sign."""
    signs: set[bool] = set()
    for key in _SIGN_KEYS.keys() & fields.keys():
        sign = _parse_sign(fields[key])
        if sign is None:
            raise InputError(f"got the {key} {quote(str(fields[key]))}: expected +1 or -1")
        signs.add(sign == _SIGN_KEYS[key])
    if (as_text(fields.get("button")) or "").lower() == "right":
        raise InputError("got a right click: expected 'positive point' or 'negative point'")
    signs |= {sign == _FLAG_KEYS[key] for key in _FLAG_KEYS if (sign := _parse_sign(fields.get(key))) is not None}
    listed = (*WORD_KEYS, *_KIND_KEYS, *_VERB_KEYS)
    for key in fields.keys() - {*_FREE_TEXT_KEYS, *_LABEL_KEYS, *_CLASS_KEYS, *_SIGN_KEYS}:
        value = str(fields[key]).strip().lower().removesuffix(".0")
        if named := _SIGN_NAME.fullmatch(value):
            signs.add(_SIGN_WORDS[named[1]])
        elif key in listed and key not in ("type", "name") and value in _SIGNS:
            signs.add(_SIGNS[value])
        elif (key in listed and key != "name" and _SIGN_LIKE.search(value)) or (  # another name is that of a target
            key in _VERB_KEYS and value and not _KNOWN_VERB.search(value)
        ):
            raise InputError(f"got the {key} {quote(value)}: expected 'positive point' or 'negative point'")
    return signs


def _label_signs(fields: Mapping[str, Any]) -> set[bool]:
    """Return the signs among the labels: numbers, or texts under a key that labels only points."""
    values = {key: _single_item(fields.get(key)) for key in _LABEL_KEYS}
    numbers = {value == 1 for value in values.values() if isinstance(value, int | float) and value in (-1, 0, 1)}
    words = {_parse_sign(value) for key, value in values.items() if key != "label" and isinstance(value, str)}
    return numbers | {sign for sign in words if sign is not None}


def _single_item(value: Any) -> Any:
    """Return the only item of a list of one; any other value unchanged."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def quote(text: str) -> str:
    """Quote at most 80 characters of a reply on one line."""
    words = "".join(letter if letter.isprintable() else " " for letter in text[:200])
    short = " ".join(words.split())
    if not short:
        return ""
    return repr(short if len(short) <= 80 and len(text) <= 200 else short[:77] + "...")
