"""The slider of a picture that is one of several: what it counts, and the slice's name for `open_image`."""

import re

from ibisagent.tools.imaging.grids import VolumeGrid
from ibisagent.tools.imaging.medical_image import MedicalImage
from ibisagent.tools.imaging.slices import PLANES
from ibisagent.tools.imaging.window import WINDOWS
from ibisagent.ui.sessions.snapshots import SliceChoice

__all__ = ["list_windows", "read_slices", "slice_name"]

_NAME = re.compile(r"(?P<series>.*/)?(?:(?P<plane>[a-z]+):)?(?P<index>\d+)(?P<volume>@\d+)?")
_COUNT = re.compile(r"slice: took .* of 0\.\.(\d+);")


def read_slices(image: MedicalImage, opened: MedicalImage) -> SliceChoice | None:
    """Return what a slider offers for ``image``; ``opened``: as it was first opened, whose notes count its frames."""
    found = _NAME.fullmatch(image.slice or "")
    if found is None:
        return None
    grid, index = image.grid, int(found["index"])
    if found["plane"] and isinstance(grid, VolumeGrid):
        lengths = (*grid.shape, 1, 1)[:3]
        counts = {plane: lengths[grid.order[axis]] for plane, axis in PLANES.items()}
        return SliceChoice(counts=counts, plane=found["plane"], index=index) if max(counts.values()) > 1 else None
    noted = next((match for note in opened.notes if (match := _COUNT.match(note))), None)
    return SliceChoice(counts={"frame": int(noted[1]) + 1}, plane="frame", index=index) if noted else None


def slice_name(shown: str | None, plane: str, index: int) -> str:
    """Return the name of another slice of the same series and the same volume of a fourth axis.

    >>> slice_name("4/axial:12@3", "coronal", 7), slice_name("2", "frame", 1)
    ('4/coronal:7@3', '1')
    """
    found = _NAME.fullmatch(shown or "")
    series, volume = (found["series"] or "", found["volume"] or "") if found else ("", "")
    return f"{series}{index}" if plane == "frame" else f"{series}{plane}:{index}{volume}"


def list_windows(image: MedicalImage) -> list[str]:
    """List the named windows that suit a picture: on CT alone."""
    return list(WINDOWS) if image.modality == "CT" and image.values is not None else []
