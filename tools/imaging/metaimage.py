"""MetaImage volumes (.mha, and .mhd with its data beside it), in LPS mm as ITK writes them.

Why our own reader: SimpleITK (264 MB) gives a file without a matrix the identity, so that unknown sides look known.
"""

from pathlib import Path

import numpy as np

from ibisagent.tools.errors import InputError
from ibisagent.tools.files import printable_text
from ibisagent.tools.imaging.raw_data import RawData, read_text_header, resolve_data_file
from ibisagent.tools.imaging.volume import Volume, require_volume

__all__ = ["load"]

_DTYPES = {
    "MET_CHAR": "i1",
    "MET_UCHAR": "u1",
    "MET_SHORT": "i2",
    "MET_USHORT": "u2",
    "MET_INT": "i4",
    "MET_UINT": "u4",
    "MET_LONG": "i4",
    "MET_ULONG": "u4",
    "MET_LONG_LONG": "i8",
    "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}
_EXPECTED = "a MetaImage volume"


def load(path: Path) -> Volume:
    """Read and validate a file's header; a fourth axis, such as time, counts volumes."""
    name = printable_text(path.name)
    lines, length = read_text_header(path, b"ElementDataFile")
    fields = dict(_parse_field(line) for line in lines if "=" in line)
    if "ElementDataFile" not in fields or "DimSize" not in fields:
        raise InputError(f"{name}: got no MetaImage header, expected {_EXPECTED}; export it anew")
    sizes = tuple(int(size) for size in fields["DimSize"].split())
    if len(sizes) not in (2, 3, 4) or int(fields.get("ElementNumberOfChannels", "1")) != 1:
        got = f"{len(sizes)} axes of {printable_text(fields.get('ElementNumberOfChannels', '1'))} channels"
        raise InputError(f"{name}: got {got}, expected 2 to 4 of one channel; save one volume")
    stored = _locate_data(path, fields, sizes, length, name)
    affine, zooms = _parse_geometry(fields, len(sizes))
    volume = Volume(
        path=path,
        shape=sizes[:3],
        volumes=sizes[3] if len(sizes) == 4 else 1,
        affine=affine,
        zooms=zooms,
        dtype=stored.dtype,
        read=stored.read,
        oriented=_find_matrix(fields) is not None and len(sizes) > 2,
        space="LPS",
    )
    require_volume(volume)
    stored.require_whole()
    return volume


def _parse_field(line: str) -> tuple[str, str]:
    key, _, value = line.partition("=")
    return key.strip(), value.strip()


def _locate_data(path: Path, fields: dict[str, str], sizes: tuple[int, ...], length: int, name: str) -> RawData:
    kind, data = fields.get("ElementType", ""), fields["ElementDataFile"]
    if kind not in _DTYPES:
        raise InputError(f"{name}: got elements {printable_text(kind)!r}, expected numbers; save it so")
    big = fields.get("BinaryDataByteOrderMSB", fields.get("ElementByteOrderMSB", "False")).lower() in ("true", "1")
    local = data.upper() == "LOCAL"
    skip = int(fields.get("HeaderSize", "0"))
    plain = "text" if fields.get("BinaryData", "True").lower() in ("false", "0") else "raw"
    packed = fields.get("CompressedData", "False").lower() in ("true", "1")
    return RawData(
        path=path if local else resolve_data_file(path, data),
        shape=sizes,
        dtype=np.dtype((">" if big else "<") + _DTYPES[kind]),
        encoding="gzip" if packed else plain,
        skip=length if local else skip,
    )


def _find_matrix(fields: dict[str, str]) -> str | None:
    return next((fields[key] for key in ("TransformMatrix", "Rotation", "Orientation") if key in fields), None)


def _parse_numbers(fields: dict[str, str], *keys: str) -> list[float]:
    text = next((fields[key] for key in keys if key in fields), "")
    return [float(number) for number in text.split()]


def _parse_geometry(fields: dict[str, str], count: int) -> tuple[np.ndarray, tuple[float, float, float]]:
    """Return the affine in RAS mm and the voxel edges; the matrix holds the direction of one axis after the other."""
    edges = np.array([*_parse_numbers(fields, "ElementSpacing", "ElementSize"), 1.0, 1.0, 1.0][:3])
    text = _find_matrix(fields)
    turn = np.eye(3)
    if text is not None:
        given = np.array([float(number) for number in text.split()]).reshape(count, count)[:3, :3]
        turn[: len(given), : len(given)] = given.T
    affine = np.eye(4)
    affine[:3, :3] = turn * edges
    affine[:3, 3] = [*_parse_numbers(fields, "Offset", "Position", "Origin"), 0.0, 0.0, 0.0][:3]
    affine[:2] *= -1
    return affine + 0.0, (float(edges[0]), float(edges[1]), float(edges[2]))
