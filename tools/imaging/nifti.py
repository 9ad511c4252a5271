"""NIfTI files, whose header keeps qform, sform, their codes and the units for a mask that goes back.

The content decides, not the name: packed or not, one file or a header (.hdr) with its voxels (.img) beside it.
"""

import gzip
import math
from pathlib import Path
from typing import IO, Any

import numpy as np
from nibabel.arrayproxy import ArrayProxy
from nibabel.filebasedimages import ImageFileError
from nibabel.nifti1 import Nifti1Header, Nifti1PairHeader
from nibabel.nifti2 import Nifti2Header, Nifti2PairHeader
from numpy.typing import NDArray

from ibisagent.tools.errors import InputError
from ibisagent.tools.files import find_paired_file, printable_text
from ibisagent.tools.imaging.volume import Volume, require_volume

__all__ = ["load"]

_TEXTS = ("descrip", "aux_file", "intent_name", "db_name")
_TO_MM = {1: 1000.0, 3: 0.001}  # the header's codes for metre and micron; 2, 0 and what is undefined count as mm
_GZIP = b"\x1f\x8b"
_SINGLE: dict[bytes, Any] = {b"n+1\0": Nifti1Header, b"n+2\0": Nifti2Header}
_PAIRS: dict[bytes, Any] = {b"ni1\0": Nifti1PairHeader, b"ni2\0": Nifti2PairHeader}
_ANALYZE = (b"\x5c\x01\0\0", b"\0\0\x01\x5c")  # 348, the length of its header and of NIfTI-1's, in either order


def load(path: Path) -> Volume:
    """Read and validate a file's header; a fourth axis, such as time, counts volumes."""
    header, data = _read_header(path)
    slope, intercept = header.get_slope_inter()
    shape = tuple(int(length) for length in header.get_data_shape())
    several = len(shape) == 4 and shape[3] > 1
    volume = Volume(
        path=data,
        shape=shape[:3] if several else shape,
        volumes=shape[3] if several else 1,
        affine=header.get_best_affine(),
        zooms=_read_zooms(header),
        dtype=header.get_data_dtype(),
        read=lambda: _read_voxels(data, header),
        slope=1.0 if slope is None else float(slope),
        intercept=0.0 if intercept is None else float(intercept),
        oriented=bool(header["qform_code"] > 0 or header["sform_code"] > 0),
        header=_strip_texts(header),
    )
    require_volume(volume)
    _require_whole(volume)
    return volume


def _read_header(path: Path) -> tuple[Any, Path]:
    """Return the header and the file with the voxels; each of a pair leads to the other."""
    name = printable_text(path.name)
    of_voxels = path.name.lower().endswith((".img", ".img.gz"))
    first = _require_pair(path, ".hdr", name) if of_voxels else path
    with _open(first) as file:
        start = file.read(348)
        magic = next((magic for magic in (start[344:348], start[4:8]) if magic in _SINGLE | _PAIRS), None)
        if magic is None:
            if start[:4] not in _ANALYZE or not first.name.lower().endswith((".hdr", ".hdr.gz")):
                raise ImageFileError
            got = "an Analyze volume, which does not say where left is"
            raise InputError(f"{name}: got {got}, expected a NIfTI one; convert it and check its sides")
        file.seek(0)
        header = (_SINGLE | _PAIRS)[magic].from_fileobj(file)
    return header, first if magic in _SINGLE else path if of_voxels else _require_pair(first, ".img", name)


def _require_pair(path: Path, ending: str, name: str) -> Path:
    half = find_paired_file(path)
    if half is None:
        raise InputError(f"{name}: got one of two files, expected its {ending} beside it; copy that there as well")
    return half


def _open(path: Path) -> IO[bytes]:
    return gzip.open(path) if _is_packed(path) else path.open("rb")  # type: ignore[return-value]


def _is_packed(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == _GZIP


def _read_voxels(path: Path, header: Any) -> NDArray[Any]:
    with _open(path) as file:
        stored: Any = ArrayProxy(file, header, mmap=False)  # type: ignore[no-untyped-call]
        return np.asarray(stored.get_unscaled())


def _require_whole(volume: Volume) -> None:
    """Refuse a header that claims more voxels than the file can hold, before memory is taken for them."""
    ratio = 1032 if _is_packed(volume.path) else 1  # deflate packs no tighter
    if math.prod(volume.shape) * volume.volumes * volume.dtype.itemsize > volume.path.stat().st_size * ratio:
        got = f"got fewer voxels than {volume.shape}"
        raise InputError(f"{printable_text(volume.path.name)}: {got}, expected a whole NIfTI volume; copy it again")


def _read_zooms(header: Any) -> tuple[float, float, float]:
    zooms = [float(zoom) for zoom in (*header.get_zooms(), 1.0)]
    scale = _TO_MM.get(int(header["xyzt_units"]) & 7, 1.0)
    return zooms[0] * scale, zooms[1] * scale, zooms[2] * scale


def _strip_texts(header: Any) -> Any:
    """Copy a header, as that of a single file, without free text and extensions, which can hold a patient's name."""
    kind: Any = Nifti2Header if isinstance(header, Nifti2Header) else Nifti1Header
    clean = kind(header.binaryblock, header.endianness, check=False)
    clean["magic"], clean["vox_offset"] = kind.single_magic, 0
    for key in _TEXTS:
        if key in clean:
            clean[key] = b""
    return clean
