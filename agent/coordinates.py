"""Coordinate profiles: how a family of models writes positions, converted in the parser and in `format_action` only.

Inside the package a position is a unit number: x to the right, y down, in [0, 1] of the displayed picture.

=============  ==================================================================  ==================
profile        numbers as written                                                  order
=============  ==================================================================  ==================
unit           0 to 1, four decimals (the released weights)                        x, y
thousand       0 to 1000, integers (Qwen3-VL)                                      x, y
thousand_yx    0 to 1000, integers (Gemini)                                        y, x
pixels         pixels of the picture as the model sees it (Qwen2.5-VL grounding)    x, y
=============  ==================================================================  ==================
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ibisagent.tools.errors import InputError

__all__ = ["PROFILES", "SLACK", "UNIT", "CoordinateFrame", "Rectangle", "model_profile"]

PROFILES = ("unit", "thousand", "thousand_yx", "pixels")
SLACK = 0.05  # share of the range by which a number may lie outside and still be clamped
_DECIMALS = 4
_NAMES = {2: ("x", "y"), 4: ("x0", "y0", "x1", "y1")}
_NAMES_YX = {2: ("y", "x"), 4: ("y0", "x0", "y1", "x1")}

# The profile that each model family was trained with, by a pattern of the model's name; the first match decides.
_FAMILIES = (
    (re.compile(r"manglu3935/ibis|^ibis"), "unit"),  # a Qwen2.5-VL that was trained otherwise
    (re.compile(r"qwen[-_.]?2[-_.]?5[-_.]?vl"), "pixels"),
    (re.compile(r"qwen[-_.]?3([-_.]?(vl|omni)|\.\d)"), "thousand"),
    (re.compile(r"gemini"), "thousand_yx"),
)


def model_profile(model: str) -> str:
    """Return the profile of a model by its name: that of its family, "unit" for all others.

    >>> model_profile("Qwen/Qwen3-VL-8B-Instruct"), model_profile("gpt-5")
    ('thousand', 'unit')
    """
    return next((profile for family, profile in _FAMILIES if family.search(model.lower())), "unit")


def _are_decimals(numbers: Sequence[float]) -> bool:
    return all(0.0 <= number <= 1.0 for number in numbers) and not all(number.is_integer() for number in numbers)


class Rectangle(NamedTuple):
    """A part of a picture, with sides, in [0, 1] of the whole: x to the right, y down."""

    x0: float
    y0: float
    x1: float
    y1: float

    def to_part(self, units: Sequence[float]) -> tuple[float, ...]:
        """Convert unit numbers x, y, x, y, ... of the whole picture to those of this part; outside it, to its edge.

        >>> Rectangle(0.5, 0.0, 1.0, 0.5).to_part((0.75, 0.125)), Rectangle(0.5, 0.0, 1.0, 0.5).to_part((0.25, 0.125))
        ((0.5, 0.25), (0.0, 0.25))
        """
        scaled = [(unit - low) / (high - low) for unit, (low, high) in self._with_edges(units)]
        return tuple(min(max(number, 0.0), 1.0) for number in scaled)

    def to_whole(self, units: Sequence[float]) -> tuple[float, ...]:
        """Convert unit numbers x, y, x, y, ... of this part to those of the whole picture.

        >>> Rectangle(0.5, 0.0, 1.0, 0.5).to_whole((0.5, 0.25))
        (0.75, 0.125)
        """
        return tuple(low + unit * (high - low) for unit, (low, high) in self._with_edges(units))

    def _with_edges(self, units: Sequence[float]) -> list[tuple[float, tuple[float, float]]]:
        edges = ((self.x0, self.x1), (self.y0, self.y1))
        return [(unit, edges[index % 2]) for index, unit in enumerate(units)]


@dataclass(frozen=True, slots=True)
class CoordinateFrame:
    """How a model writes positions in the picture that it is shown.

    ``profile``: see `PROFILES`; ``pixels`` needs ``width`` and ``height``, in pixels, of the picture as the model sees
    it. ``view``: the part of the picture that is shown, None for all of it: the model's numbers are within it, what is
    read from them refers to the whole picture.

    >>> CoordinateFrame("thousand_yx").read([250, 500])
    ((0.5, 0.25), ())
    >>> CoordinateFrame("thousand_yx").write((0.5, 0.25))
    '(250, 500)'
    >>> CoordinateFrame("thousand", view=Rectangle(0.5, 0.0, 1.0, 0.5)).read([500, 250])
    ((0.75, 0.125), ())
    """

    profile: str = "unit"
    width: int | None = None
    height: int | None = None
    view: Rectangle | None = None

    def __post_init__(self) -> None:
        """Raise `InputError` for an unknown profile, and for ``pixels`` without a size."""
        if self.profile not in PROFILES:
            raise InputError(f"unknown coordinate profile {self.profile!r}: expected one of {', '.join(PROFILES)}")
        if self.profile == "pixels" and not (self.width and self.height and min(self.width, self.height) > 0):
            size = (self.width, self.height)
            raise InputError(f"profile 'pixels' got the size {size}: expected the (width, height) of the picture sent")

    def names(self, count: int) -> tuple[str, ...]:
        """Return the names of the 2 numbers of a point or the 4 of a box in the order of this profile."""
        return (_NAMES_YX if self.profile == "thousand_yx" else _NAMES)[count]

    def read(self, numbers: Sequence[float]) -> tuple[tuple[float, ...], tuple[str, ...]]:
        """Convert 2 or 4 numbers as written into unit (x, y) or (x0, y0, x1, y1), and list what was clamped.

        Raises `InputError` for nan, infinities, a number more than `SLACK` of the range outside it, and for decimals
        from 0 to 1 where a larger range is written: clamping those would be a silent click in a corner.

        >>> UNIT.read([1.03, 0.5])
        ((1.0, 0.5), ('x=1.03 clamped to 1',))
        """
        names, numbers = self.names(len(numbers)), [float(number) for number in numbers]
        if self.profile != "unit" and _are_decimals(numbers):
            written = ", ".join(f"{name}={number:g}" for name, number in zip(names, numbers, strict=True))
            top = self.maximum(names[0])
            raise InputError(f"{written} are decimals from 0 to 1: expected numbers from 0 to {top}")
        kept = {name: self._clamp(name, number) for name, number in zip(names, numbers, strict=True)}
        repairs = tuple(
            f"{name}={number:g} clamped to {kept[name]:g}"
            for name, number in zip(names, numbers, strict=True)
            if kept[name] != number
        )
        units = tuple(self._unit(name, kept[name]) for name in _NAMES[len(numbers)])
        return self.view.to_whole(units) if self.view is not None else units, repairs

    def write(self, units: Sequence[float]) -> str:
        """Write unit (x, y) or (x0, y0, x1, y1) in this profile; a box that rounds to nothing is one step wide.

        What is outside the view is written as its edge.

        >>> UNIT.write((0.1, 0.2, 0.10001, 0.9))
        '(0.1000, 0.2000, 0.1001, 0.9000)'
        """
        units = self.view.to_part(units) if self.view is not None else units
        steps = {name: self._step(name, unit) for name, unit in zip(_NAMES[len(units)], units, strict=True)}
        for low, high in (("x0", "x1"), ("y0", "y1")) if len(units) == 4 else ():
            if steps[low] >= steps[high]:
                steps[high] = min(steps[low] + 1, self._steps(high))
                steps[low] = steps[high] - 1
        return f"({', '.join(self._digits(steps[name]) for name in self.names(len(units)))})"

    def maximum(self, name: str) -> int:
        """Return the largest number that a name of `names` may have."""
        if self.profile == "pixels":
            return (self.width if name[0] == "x" else self.height) or 1
        return 1 if self.profile == "unit" else 1000

    def _clamp(self, name: str, number: float) -> float:
        top = self.maximum(name)
        slack = SLACK * top * (1 + 1e-9)  # so that 1.05 itself, which no float equals, is inside
        if not -slack <= number <= top + slack:  # also true of nan
            raise InputError(f"{name}={number:g} is out of range: expected a number from 0 to {top}")
        return min(max(number, 0.0), float(top)) + 0.0  # + 0.0 makes -0.0 a plain zero

    def _unit(self, name: str, number: float) -> float:
        top = self.maximum(name)
        if self.profile == "pixels" and len(name) == 1 and number.is_integer():
            return (min(number, top - 1) + 0.5) / top  # the pixel's centre: its edge may round into the neighbour
        return number / top

    def _steps(self, name: str) -> int:
        return 10**_DECIMALS if self.profile == "unit" else self.maximum(name)

    def _step(self, name: str, unit: float) -> int:
        steps = self._steps(name)
        if self.profile == "pixels" and len(name) == 1:
            return min(int(unit * steps), steps - 1)
        return round(unit * steps)

    def _digits(self, step: int) -> str:
        return f"{step / 10**_DECIMALS:.{_DECIMALS}f}" if self.profile == "unit" else str(step)


UNIT = CoordinateFrame()
