"""NRRD (.nrrd), format definition 5 of teem: text fields, an empty line, the voxels packed by gzip."""

import gzip
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ibisagent.tools.export.provenance import Provenance
from ibisagent.tools.export.volume_grid import get_volume_grid, require, to_voxels
from ibisagent.tools.imaging.grids import Mask, VolumeGrid
from ibisagent.tools.imaging.medical_image import MedicalImage

__all__ = ["require", "write"]

_SPACES = {
    "RAS": ("right-anterior-superior", (1, 1, 1)),
    "LAS": ("left-anterior-superior", (-1, 1, 1)),
    "LPS": ("left-posterior-superior", (-1, -1, 1)),
}


def write(path: Path, mask: Mask, image: MedicalImage, _provenance: Provenance) -> None:
    """Write uint8 with the directions and the origin that the source has, in the space in which it counts."""
    grid = get_volume_grid(image)
    voxels = to_voxels(mask, grid)
    space, directions, origin = _to_file_space(grid)
    fields = {
        "type": "uint8",
        "dimension": "3",
        **space,
        "sizes": " ".join(map(str, voxels.shape)),
        "space directions": " ".join(map(_format_vector, directions)),
        "kinds": "domain domain domain",
        "encoding": "gzip",
        "space origin": _format_vector(origin),
    }
    header = "\n".join(["NRRD0005", *(f"{key}: {value}" for key, value in fields.items())])
    packed = gzip.compress(voxels.tobytes(order="F"), mtime=0)
    path.write_bytes(header.encode("ascii") + b"\n\n" + packed)


def _to_file_space(grid: VolumeGrid) -> tuple[dict[str, str], Iterable[Iterable[float]], Iterable[float]]:
    """Return the field that names the space, a direction for each axis, and the origin; in mm.

    A source that names no space is counted as readers count it, to the left and to the back, and named none again.
    """
    name, signs = _SPACES[grid.space if grid.codes is not None else "LPS"]
    placed = np.array(signs)[:, None] * grid.affine[:3] + 0.0  # no negative zeros
    space = {"space": name} if grid.codes is not None else {"space dimension": "3"}
    return space, placed[:, :3].T.tolist(), placed[:, 3].tolist()


def _format_vector(numbers: Iterable[float]) -> str:
    return f"({','.join(repr(float(number)) for number in numbers)})"
