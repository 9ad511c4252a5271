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
_SIGN_KEYS = dict.fromkeys(("attribute", "sign", "polarity", "positive", "ispositive"), True)
_SIGN_KEYS |= dict.fromkeys(("negative", "isnegative"), False)
_LABEL_KEYS = ("label", "labels", "pointlabel", "pointlabels")
_SIGNS = dict.fromkeys(("1", "+1", "+", "positive", "true", "foreground"), True)
_SIGNS |= dict.fromkeys(("-1", "0", "-", "negative", "false", "background"), False)
_SIGN = r"(positive|negative|foreground|background)"
_SIGN_NAME = re.compile(
    rf"(?:(?:add|place)[\s_-]?)?(?:(?:point|click)[\s_-]?)?{_SIGN}(?:[\s_-]?(?:point|click)s?)?", re.IGNORECASE
)
_MAX_DEPTH = 4  # of nested objects


class RawAction(NamedTuple):
    """An action with its numbers as written, in the order of the frame."""

    kind: str
    positive: bool = True
    numbers: tuple[float, ...] = ()
    target: str | None = None


def flatten(value: object, depth: int = _MAX_DEPTH) -> dict[str, Any] | None:
    """Return the fields of an object and of nested ones under flat keys; None where two values of a key differ."""
    fields: dict[str, Any] = {}
    pairs = value.items() if isinstance(value, Mapping) else ()
    for key, item in pairs:
        parts = item if isinstance(item, list) else [item]
        if depth and parts and all(isinstance(part, Mapping) for part in parts):
            inner = [flatten(part, depth - 1) for part in parts]
        else:
            inner = [{re.sub(r"[^a-z0-9]", "", str(key).lower()): item} if item is not None else {}]
        for each in inner:
            if each is None or any(name in fields and fields[name] != each[name] for name in each):
                return None
            fields |= each
    return fields


def as_text(value: Any) -> str | None:
    """Return a field that is a text, without whitespace around it; None for any other."""
    return value.strip() if isinstance(value, str) else None


def has_position(fields: Mapping[str, Any]) -> bool:
    """Whether a key that names a position is among the fields."""
    return not fields.keys().isdisjoint((*_BOX_KEYS, *_POINT_KEYS, "x", "y", "x0", "y0", "x1", "y1"))


def read_position(fields: Mapping[str, Any], frame: CoordinateFrame, repairs: list[str]) -> RawAction | None:
    """Return the box or the point that the fields hold, None if there is none; `InputError` for an ambiguous sign."""
    for count, keys, names in ((4, _BOX_KEYS, "x0 y0 x1 y1"), (2, _POINT_KEYS, "x y")):
        written = next((str(fields[key]) for key in keys if key in fields), None)
        named = [str(fields[name]) for name in names.split() if name in fields]
        numbers = tuple(float(number) for number in NUMBERS.findall(written or " ".join(named)))
        if len(numbers) == count:
            in_order = numbers if written or frame.names(2)[0] == "x" else swap_xy(numbers)
            if count == 4:
                return RawAction("box", _read_box_sign(fields), in_order, _read_target(fields))
            return RawAction("point", _read_sign(fields, repairs), in_order, _read_target(fields))
    return None


def swap_xy(numbers: tuple[float, ...]) -> tuple[float, ...]:
    """Exchange x and y in a point or a box."""
    return tuple(numbers[index ^ 1] for index in range(len(numbers)))


def _parse_sign(value: Any) -> bool | None:
    return _SIGNS.get((str(value).lower().split() or [""])[0].removesuffix(".0"))


def _read_target(fields: Mapping[str, Any]) -> str | None:
    return clean_target(as_text(fields.get("target")) or as_text(fields.get("label")))


def _read_box_sign(fields: Mapping[str, Any]) -> bool:
    if False in _explicit_signs(fields):
        raise InputError("got a negative box: expected a box around the target, or a negative point")
    return True


def _read_sign(fields: Mapping[str, Any], repairs: list[str]) -> bool:
    """Return the one sign that the fields hold; a label in words names a target, even where it looks like a sign."""
    signs = {*_explicit_signs(fields), *_label_signs(fields)}
    label = as_text(fields.get("label"))
    if not signs and label and label.lower() in _SIGNS:
        raise InputError(f"got the label {quote(label)}, a sign or a name: expected an attribute of +1 or -1")
    if len(signs) == 2:
        raise InputError("got two signs that differ: expected one attribute of +1 or -1")
    if not signs:
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
    for key in WORD_KEYS:
        value = str(fields.get(key, "")).strip().lower().removesuffix(".0")
        named = _SIGN_NAME.fullmatch(value)
        if named or (key == "action" and value in _SIGNS):
            signs.add(_SIGNS[named[1] if named else value])
        elif key != "name" and re.search(_SIGN, value):  # a name in other words is that of a target
            raise InputError(f"got the {key} {quote(value)}: expected 'positive point' or 'negative point'")
    return signs


def _label_signs(fields: Mapping[str, Any]) -> set[bool]:
    values = [
        value[0] if isinstance(value, list) and len(value) == 1 else value for value in map(fields.get, _LABEL_KEYS)
    ]
    numbers = [value for value in values if isinstance(value, int | float) and value in (-1, 0, 1)]
    return {value == 1 for value in numbers}


def quote(text: str) -> str:
    """Quote at most 80 characters of a reply on one line."""
    words = "".join(letter if letter.isprintable() else " " for letter in text[:200])
    short = " ".join(words.split())
    if not short:
        return ""
    return repr(short if len(short) <= 80 and len(text) <= 200 else short[:77] + "...")
