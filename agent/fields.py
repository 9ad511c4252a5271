"""Read an action out of the fields of a JSON object: which keys hold its position, its sign and its target."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from ibisagent.agent.actions import clean_target
from ibisagent.agent.coordinates import Frame
from ibisagent.tools.errors import InputError

__all__ = ["NUMBER", "NUMBERS", "WORD_KEYS", "Raw", "flat", "has_position", "located", "quote", "swapped", "text_of"]

NUMBER = r"[-+]?(?:[0-9]++(?:\.[0-9]*+)?+|\.[0-9]++|nan|inf(?:inity)?)(?:e[-+]?[0-9]++)?+(?![\w%]|\.[0-9])"
NUMBERS = re.compile(NUMBER, re.IGNORECASE)
WORD_KEYS = ("action", "type", "name")
"""Keys under which an action may stand in words, its sign among them."""

_POINT_KEYS = (
    *("coordinate2d", "coordinates2d", "coordinate", "coordinates", "point2d", "point"),
    *("points", "pointcoords"),
)
_BOX_KEYS = ("bbox2d", "bbox", "box2d", "box")
_STATED = dict.fromkeys(("attribute", "sign", "polarity", "positive", "ispositive"), True)
_STATED |= dict.fromkeys(("negative", "isnegative"), False)
_FLAGS = dict.fromkeys(("foreground", "isforeground", "include"), True)
_FLAGS |= dict.fromkeys(("background", "isbackground", "exclude", "remove"), False)
_KIND_KEYS = ("clicktype", "pointtype", "kind", "mode")
_LABEL_KEYS = ("label", "labels", "pointlabel", "pointlabels")
_CLASS_KEYS = ("label", "class", "classname", "category")
_FORMAT_KEYS = ("format", "order", "mode", "boxformat", "bboxformat", "boxmode", "bboxmode", "boxtype", "bboxtype")
_FORMAT = re.compile(r"wh\b|cxcy|coco|yolo|cent(?:er|re)", re.IGNORECASE)
_EXTENT = ("w", "h", "width", "height", "x1", "y1", "x2", "y2", "xmin", "ymin", "xmax", "ymax", "isbox")
_SIGNS = dict.fromkeys(("1", "+1", "+", "positive", "true", "foreground"), True)
_SIGNS |= dict.fromkeys(("-1", "0", "-", "negative", "false", "background"), False)
_NAMED = dict.fromkeys(("positive", "foreground", "include", "pos"), True)
_NAMED |= dict.fromkeys(("negative", "background", "exclude", "remove", "subtract", "erase", "deselect", "neg"), False)
_SIGN = re.compile(r"positive|negative|(?:fore|back)ground|exclu|remov|subtract|eras|delet|deselect|right[\s_-]?click")
_SIGN_NAME = re.compile(
    rf"(?:(?:add|place)[\s_-]?)?(?:(?:point|click)[\s_-]?)?({'|'.join(_NAMED)})(?:[\s_-]?(?:point|click))?s?",
    re.IGNORECASE,
)
_ORDER = re.compile(r"\b([xy])[012]?\s?[=:]", re.IGNORECASE)
_DEPTH = 4  # of nested objects


class Raw(NamedTuple):
    """An action with its numbers as written, in the order of the frame."""

    kind: str
    positive: bool = True
    numbers: tuple[float, ...] = ()
    target: str | None = None


def flat(value: object, depth: int = _DEPTH) -> dict[str, Any] | None:
    """Give the fields of an object and of those inside it by plain keys; None where two of them differ.

    The key of an object inside may tell its sign, or that it is a box.
    """
    fields: dict[str, Any] = {}
    pairs = value.items() if isinstance(value, Mapping) else ()
    for key, item in pairs:
        parts = item if isinstance(item, list) else [item]
        if depth and parts and all(isinstance(part, Mapping) for part in parts):
            inner = [flat(part, depth - 1) for part in parts] + [_told_by(_plain(key))]
        else:
            inner = [{_plain(key): item} if item is not None else {}]
        for each in inner:
            if each is None or any(name in fields and fields[name] != each[name] for name in each):
                return None
            fields |= each
    return fields


def _plain(key: object) -> str:
    return re.sub(r"[^a-z0-9]", "", str(key).lower())


def _told_by(key: str) -> dict[str, Any]:
    named = _SIGN_NAME.fullmatch(key)
    return {"positive": _NAMED[named[1]]} if named else {"isbox": True} if key in _BOX_KEYS else {}


def text_of(value: Any) -> str | None:
    """Give a field that is a text, without whitespace around it; None for every other."""
    return value.strip() if isinstance(value, str) else None


def has_position(fields: Mapping[str, Any]) -> bool:
    """Whether a key that names a position is among the fields."""
    return not fields.keys().isdisjoint((*_BOX_KEYS, *_POINT_KEYS, "x", "y", "x0", "y0", "x1", "y1"))


def located(fields: Mapping[str, Any], frame: Frame, repairs: list[str]) -> Raw | None:
    """Give the box or the point that the fields hold, None where there is none; `InputError` for a doubtful sign."""
    for count, keys, names in ((4, _BOX_KEYS, "x0 y0 x1 y1"), (2, _POINT_KEYS, "x y")):
        first = frame.names(2)[0]
        written = next((str(fields[key]) for key in keys if key in fields), None)
        named = [str(fields[name]) for name in names.split() if name in fields]
        numbers = tuple(map(float, NUMBERS.findall(_ORDER.sub(" ", written) if written else " ".join(named))))
        if len(numbers) == count:
            _require_plain(fields, frame, corner=count == 2 and not written)
            told = _order(written, count, first) if written else "x"
            in_order = numbers if told == first else swapped(numbers)
            if count == 4:
                return Raw("box", _box_sign(fields), in_order, _target(fields))
            return Raw("point", _sign(fields, repairs), in_order, _target(fields))
    return None


def _require_plain(fields: Mapping[str, Any], frame: Frame, *, corner: bool) -> None:
    """Refuse with `InputError` numbers that may be no corners, or x and y that may be a ``corner`` of a box."""
    for key in _FORMAT_KEYS:
        told = text_of(fields.get(key)) or ""
        if _FORMAT.search(told) or (told[:2].lower() == "yx" and frame.names(2)[0] == "x"):
            raise InputError(f"got the {key} {quote(told)}: expected {', '.join(frame.names(4))} of a box")
    if corner and (beside := next((key for key in _EXTENT if key in fields), None)):
        got = "a box of x and y" if beside == "isbox" else f"x and y beside {beside}"
        raise InputError(f"got {got}: expected a point, or {', '.join(frame.names(4))} of a box")


def _order(written: str, count: int, first: str) -> str:
    """Give which of x and y the numbers of a text begin with: what it says of them itself, else ``first``."""
    letters = "".join(_ORDER.findall(written)).lower()
    if not letters:
        return first
    if letters not in ("xy" * (count // 2), "yx" * (count // 2)):
        raise InputError(f"got {quote(written)}: expected x and y by turns")
    return letters[0]


def swapped(numbers: tuple[float, ...]) -> tuple[float, ...]:
    """Exchange x and y in a point or a box."""
    return tuple(numbers[index ^ 1] for index in range(len(numbers)))


def _attribute(value: Any) -> bool | None:
    return _SIGNS.get((str(value).lower().split() or [""])[0].removesuffix(".0"))


def _target(fields: Mapping[str, Any]) -> str | None:
    return clean_target(text_of(fields.get("target")) or text_of(fields.get("label")))


def _box_sign(fields: Mapping[str, Any]) -> bool:
    if False in _stated(fields):
        raise InputError("got a negative box: expected a box around the target, or a negative point")
    return True


def _sign(fields: Mapping[str, Any], repairs: list[str]) -> bool:
    """Give the one sign that the fields tell; a label in words names a target, even where it sounds like a sign."""
    signs = {*_stated(fields), *_labelled(fields)}
    named = (text_of(_alone(fields.get(key))) or "" for key in _CLASS_KEYS)
    label = next((each for each in named if each.lower() in _SIGNS), None)
    if not signs and label:
        raise InputError(f"got the label {quote(label)}, a sign or a name: expected an attribute of +1 or -1")
    if len(signs) == 2:
        raise InputError("got two signs that differ: expected one attribute of +1 or -1")
    if not signs:
        repairs.append("no sign: taken as positive")
    return False not in signs


def _stated(fields: Mapping[str, Any]) -> set[bool]:
    """Give the signs that are told in so many words; what a key says of a sign and is none, is refused."""
    signs: set[bool] = set()
    for key in _STATED.keys() & fields.keys():
        sign = _attribute(fields[key])
        if sign is None:
            raise InputError(f"got the {key} {quote(str(fields[key]))}: expected +1 or -1")
        signs.add(sign == _STATED[key])
    if (text_of(fields.get("button")) or "").lower() == "right":
        raise InputError("got a right click: expected 'positive point' or 'negative point'")
    signs |= {sign == _FLAGS[key] for key in _FLAGS if (sign := _attribute(fields.get(key))) is not None}
    for key in (*WORD_KEYS, *_KIND_KEYS):
        value = str(fields.get(key, "")).strip().lower().removesuffix(".0")
        named = _SIGN_NAME.fullmatch(value)
        if named or (key not in ("type", "name") and value in _SIGNS):
            signs.add(_NAMED[named[1]] if named else _SIGNS[value])
        elif key != "name" and _SIGN.search(value):  # a name in other words is that of a target
            raise InputError(f"got the {key} {quote(value)}: expected 'positive point' or 'negative point'")
    return signs


def _labelled(fields: Mapping[str, Any]) -> set[bool]:
    """Give the signs among the labels: numbers, or texts under a key that names none but those of points."""
    values = {key: _alone(fields.get(key)) for key in _LABEL_KEYS}
    numbers = {value == 1 for value in values.values() if isinstance(value, int | float) and value in (-1, 0, 1)}
    words = {_attribute(value) for key, value in values.items() if key != "label" and isinstance(value, str)}
    return numbers | {sign for sign in words if sign is not None}


def _alone(value: Any) -> Any:
    """Return the one item of a list; anything else as it is."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def quote(text: str) -> str:
    """Quote at most 80 characters of a reply on one line."""
    words = "".join(letter if letter.isprintable() else " " for letter in text[:200])
    short = " ".join(words.split())
    if not short:
        return ""
    return repr(short if len(short) <= 80 and len(text) <= 200 else short[:77] + "...")
