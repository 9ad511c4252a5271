"""NRRD volumes (.nrrd, and .nhdr with its data beside it): header fields as teem's format definition 5 has them.

Why our own reader: SimpleITK (264 MB) turns every space into LPS, so that a mask could not be written in the file's own
space, and takes 7.7 GB of memory for a header of 200 bytes that claims 8 GB of voxels (2.5.7).
"""

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ibisagent.tools.errors import InputError
from ibisagent.tools.files import printable_text
from ibisagent.tools.imaging.raw_data import RawData, read_text_header, resolve_data_file
from ibisagent.tools.imaging.volume import Volume, require_volume

__all__ = ["load"]

_TYPES = {
    "i1": ("signed char", "int8", "int8_t"),
    "u1": ("uchar", "unsigned char", "uint8", "uint8_t"),
    "i2": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
    "u2": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    "i4": ("int", "signed int", "int32", "int32_t"),
    "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
    "i8": ("longlong", "long long", "long long int", "signed long long", "signed long long int", "int64", "int64_t"),
    "u8": ("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"),
    "f4": ("float",),
    "f8": ("double",),
}
_DTYPES = {name: dtype for dtype, names in _TYPES.items() for name in names}
_ENCODINGS = {
    **dict.fromkeys(("gzip", "gz"), "gzip"),
    **dict.fromkeys(("bzip2", "bz2"), "bzip2"),
    **dict.fromkeys(("text", "txt", "ascii"), "text"),
    "raw": "raw",
}
_SPACES = {"right-anterior-superior": "RAS", "left-anterior-superior": "LAS", "left-posterior-superior": "LPS"}
_SIGNS = {"RAS": (1, 1), "LAS": (-1, 1), "LPS": (-1, -1)}
_TO_MM = {"m": 1000.0, "cm": 10.0, "um": 0.001, "µm": 0.001, "nm": 1e-6}
_VECTOR = re.compile(r"none|\(([^)]*)\)")
_EXPECTED = "an NRRD volume"


def load(path: Path) -> Volume:
    """Read and validate a file's header; an axis without a direction counts volumes."""
    name = printable_text(path.name)
    lines, length = read_text_header(path, b"")
    if not lines[0].startswith("NRRD000"):
        raise InputError(f"{name}: got no NRRD header, expected {_EXPECTED}; export it anew")
    fields = dict(_parse_field(line) for line in lines[1:] if ": " in line and not line.startswith("#"))
    sizes = tuple(int(size) for size in fields["sizes"].split())
    directions = _parse_vectors(fields.get("space directions", ""))
    apart = _find_nonspatial_axis(fields, directions, len(sizes), name)
    spatial = [axis for axis in range(len(sizes)) if axis != apart]
    stored = _locate_data(path, fields, sizes, length, name)
    affine, zooms, space = _parse_geometry(fields, [directions[axis] if directions else None for axis in spatial])
    shape = tuple(sizes[axis] for axis in spatial)
    volume = Volume(
        path=path,
        shape=shape,
        volumes=1 if apart is None else sizes[apart],
        affine=affine,
        zooms=zooms,
        dtype=stored.dtype,
        read=lambda: _read_voxels(stored, apart),
        oriented=space is not None,
        space=space or "RAS",
    )
    require_volume(volume)
    stored.require_whole()
    return volume


def _parse_field(line: str) -> tuple[str, str]:
    key, _, value = line.partition(": ")
    return key.strip().lower().replace("datafile", "data file"), value.strip()


def _parse_vectors(text: str) -> list[list[float] | None]:
    """Read ``none (1,0,0) (0,1,0)``."""
    return [[float(one) for one in part.split(",")] if part else None for part in _VECTOR.findall(text)]


def _find_nonspatial_axis(
    fields: dict[str, str], directions: list[list[float] | None], count: int, name: str
) -> int | None:
    """Find the one axis that is no direction in space."""
    if directions and len(directions) != count:
        raise InputError(f"{name}: got {len(directions)} directions, expected one an axis ({count}); repair its header")
    kinds = fields.get("kinds", "").lower().split()
    outside = [axis for axis, direction in enumerate(directions) if direction is None] or [
        axis for axis, kind in enumerate(kinds) if kind not in ("domain", "space", "???", "none")
    ]
    outside = outside or ([3] if count == 4 else [])
    plain = ("list", "time", "domain", "space", "???", "none")
    wrong = [kinds[axis] for axis in outside if axis < len(kinds) and kinds[axis] not in plain]
    if len(outside) > 1 or count - len(outside) not in (2, 3) or wrong:
        got = f"{count} axes{f' with {printable_text(wrong[0])}' if wrong else ''}"
        raise InputError(f"{name}: got {got}, expected two or three in space and at most one of time; save one volume")
    return outside[0] if outside else None


def _locate_data(path: Path, fields: dict[str, str], sizes: tuple[int, ...], length: int, name: str) -> RawData:
    kind, encoding = _DTYPES.get(fields["type"].lower()), _ENCODINGS.get(fields["encoding"].lower())
    if kind is None or encoding is None:
        got = f"type {printable_text(fields['type'])!r} in encoding {printable_text(fields['encoding'])!r}"
        raise InputError(f"{name}: got {got}, expected numbers, raw, gzip, bzip2 or text; save it so")
    order = ">" if fields.get("endian", "little").lower() == "big" else "<"
    apart = fields.get("data file")
    skip = int(fields.get("byte skip", fields.get("byteskip", "0")))
    return RawData(
        path=path if apart is None else resolve_data_file(path, apart),
        shape=sizes,
        dtype=np.dtype(order + kind),
        encoding=encoding,
        skip=skip if apart is not None or skip < 0 else length + skip,
        lines=int(fields.get("line skip", fields.get("lineskip", "0"))) if apart is not None else 0,
    )


def _read_voxels(stored: RawData, apart: int | None) -> NDArray[np.generic]:
    voxels = stored.read()
    if apart is None:
        return voxels
    moved = np.moveaxis(voxels, apart, -1)
    return moved.reshape((*moved.shape[:-1], 1)[:3] + moved.shape[-1:])


def _parse_geometry(
    fields: dict[str, str], directions: list[list[float] | None]
) -> tuple[NDArray[np.float64], tuple[float, float, float], str | None]:
    """Return the affine in RAS mm, the voxel edges, and the space that the file counts in, None for an unknown one.

    Without a known space a volume is shown as it is stored.
    """
    named = fields.get("space", "").lower().removesuffix("-time")
    space = _SPACES.get(named, named[:3].upper() if named.rstrip("t").upper() in _SIGNS else None)
    affine = np.eye(4)
    for axis, direction in enumerate(directions):
        affine[:3, axis] = (*(direction or ()), 0.0, 0.0, 0.0)[:3]
    edges = np.linalg.norm(affine[:3, :3], axis=0)
    if None in directions:
        spacings = [abs(float(text)) for text in fields.get("spacings", "").split()] or [np.nan]
        edges = np.array([*spacings, np.nan, np.nan, np.nan])[:3]
        affine[:3, :3] = np.diag(np.where(np.isfinite(edges) & (edges > 0), edges, 1.0))
    origin = _parse_vectors(fields.get("space origin", ""))
    affine[:3, 3] = (*((origin and origin[0]) or ()), 0.0, 0.0, 0.0)[:3]
    known = len(directions) == 3 and None not in directions
    scale = _TO_MM.get(fields.get("space units" if known else "units", "").split(" ")[0].strip('"'), 1.0)
    signs = np.array([*_SIGNS[space or "LPS"], 1])[:, None]
    affine[:3] = affine[:3] * scale * signs + 0.0  # no negative zeros
    return affine, (edges[0] * scale, edges[1] * scale, edges[2] * scale), space if known else None
