"""The choice of one picture of several: a frame or page by number, a plane of a volume by name and index."""

from dataclasses import dataclass

from ibisagent.tools.errors import InputError

__all__ = ["PLANES", "Plane", "choose_frame", "choose_plane", "describe_choice"]

PLANES = {"sagittal": 0, "coronal": 1, "axial": 2}
"""The canonical axis (right, front, head) that each plane is cut across."""


@dataclass(frozen=True, slots=True)
class Plane:
    """A plane across canonical ``axis``, at ``index`` counted from the left, the back or the feet.

    ``volume`` counts a fourth axis from 0 (time, channel); None where there is none.
    """

    axis: int
    index: int
    volume: int | None = None

    def __str__(self) -> str:
        """Spell it as the ``slice`` option does, such as ``axial:12`` or ``axial:12@3``."""
        name = next(name for name, axis in PLANES.items() if axis == self.axis)
        return f"{name}:{self.index}" + ("" if self.volume is None else f"@{self.volume}")


def choose_frame(wanted: str | None, count: int, name: str, default: int | None = 0) -> int:
    """Read a frame or page number, counted from 0, or ``middle``; with no ``default`` one of several must be named."""
    if wanted is None:
        if count == 1:
            return 0
        if default is None:
            raise InputError(f"{name}: got {count} frames, expected one picture; name one by slice=0..{count - 1}")
        return default
    index = _parse_index(wanted.strip().lower(), count)
    if index is not None:
        return index
    got = f"{name}: got slice={wanted[:40]!r}"
    if count == 1:
        raise InputError(f"{got} of a single picture, expected none; leave it out")
    raise InputError(f"{got}, expected a number from 0 to {count - 1}, or middle; choose one of them")


def choose_plane(
    wanted: str | None, shape: tuple[int, ...], name: str, *, volumes: int = 1, across: int | None = None
) -> Plane:
    """Read ``middle``, ``12``, ``axial:12``, ``coronal:middle`` or ``axial:12@3`` for a volume of canonical ``shape``.

    Without a plane's name: ``across`` that axis; by default axial, or across the only axis of length 1 (a single slice
    stored as a volume). Without ``@`` the first of several ``volumes``.
    """
    where, at, number = (wanted or "middle").strip().lower().partition("@")
    plane, _, where = where.rpartition(":")
    thin = [axis for axis in range(3) if shape[axis] == 1]
    usual = across if across is not None else thin[0] if len(thin) == 1 else PLANES["axial"]
    axis = PLANES.get(plane, -1) if plane else usual
    index = _parse_index(where, shape[axis]) if axis >= 0 else None
    volume = _parse_index(number, volumes) if at else 0
    if index is None or volume is None or (at and volumes == 1):
        counts = ", ".join(f"{plane}:0..{shape[axis] - 1}" for plane, axis in reversed(PLANES.items()))
        several = f" with @0..{volumes - 1}" if volumes > 1 else ""
        expected = f"expected one of {counts} or PLANE:middle{several}"
        raise InputError(f"{name}: got slice={(wanted or '')[:40]!r}, {expected}; change it")
    return Plane(axis, index, volume if volumes > 1 else None)


def describe_choice(wanted: str | None, took: str, count: int) -> list[str]:
    """Return the note on which one of ``count`` was taken where the caller named none; empty where one was named.

    >>> describe_choice(None, "axial:12", 24)
    ['slice: took the middle one, axial:12 of 0..23; choose with slice (--slice)']
    """
    if wanted or count == 1:
        return []
    return [f"slice: took the middle one, {took} of 0..{count - 1}; choose with slice (--slice)"]


def _parse_index(text: str, count: int) -> int | None:
    if text == "middle":
        return count // 2
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 and int(text) < count else None
