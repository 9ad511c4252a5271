"""Which picture of several: a frame or page by number, a plane of a volume by name and index."""

from dataclasses import dataclass

from ibisagent.tools.errors import InputError

__all__ = ["PLANES", "Plane", "choose_frame", "choose_plane"]

PLANES = {"sagittal": 0, "coronal": 1, "axial": 2}
"""The canonical axis (right, front, head) that each plane is cut across."""


@dataclass(frozen=True, slots=True)
class Plane:
    """A plane across canonical ``axis``, at ``index`` counted from the left, the back or the feet."""

    axis: int
    index: int

    def __str__(self) -> str:
        """Spell it as the ``slice`` option does, such as ``axial:12``."""
        name = next(name for name, axis in PLANES.items() if axis == self.axis)
        return f"{name}:{self.index}"


def choose_frame(wanted: str | None, count: int, name: str, default: int | None = 0) -> int:
    """Read a frame or page number, counted from 0; with no ``default`` one of several must be named."""
    if wanted is None:
        if count == 1:
            return 0
        if default is None:
            raise InputError(f"{name}: got {count} frames, expected one picture; name one by slice=0..{count - 1}")
        return default
    if wanted.strip().isdecimal() and int(wanted) < count:
        return int(wanted)
    raise InputError(f"{name}: got slice={wanted[:40]!r}, expected a number from 0 to {count - 1}; choose one of them")


def choose_plane(wanted: str | None, shape: tuple[int, ...], name: str) -> Plane:
    """Read ``middle``, ``12``, ``axial:12`` or ``coronal:middle`` for a volume of canonical ``shape``.

    Without a plane's name: axial, or across the only axis of length 1 (a single slice stored as a volume).
    """
    plane, _, where = (wanted or "middle").strip().lower().rpartition(":")
    thin = [axis for axis in range(3) if shape[axis] == 1]
    axis = PLANES.get(plane, -1) if plane else thin[0] if len(thin) == 1 else PLANES["axial"]
    if axis >= 0 and where == "middle":
        return Plane(axis, shape[axis] // 2)
    if axis >= 0 and where.isdecimal() and int(where) < shape[axis]:
        return Plane(axis, int(where))
    counts = ", ".join(f"{plane}:0..{shape[axis] - 1}" for plane, axis in reversed(PLANES.items()))
    raise InputError(f"{name}: got slice={(wanted or '')[:40]!r}, expected one of {counts} or PLANE:middle; change it")
