"""NIfTI files, whose header keeps qform, sform, their codes and the units for a mask that goes back."""

import math
from pathlib import Path
from typing import Any

import nibabel as nib

from ibisagent.tools.errors import InputError
from ibisagent.tools.files import label
from ibisagent.tools.volumes import Volume, require_volume

__all__ = ["load"]

_TEXTS = ("descrip", "aux_file", "intent_name", "db_name")
_TO_MM = {1: 1000.0, 3: 0.001}  # the header's codes for metre and micron; 2, 0 and what is undefined count as mm


def load(path: Path) -> Volume:
    """Read a file's header and find it acceptable; a fourth axis, such as time, counts volumes."""
    name = label(path.name)
    loaded = nib.load(path, mmap=False)
    if not isinstance(loaded, nib.Nifti1Image):
        raise InputError(f"{name}: got no NIfTI volume, expected a whole one; export it anew")
    source: Any = loaded
    shape = tuple(int(length) for length in source.shape)
    several = len(shape) == 4 and shape[3] > 1
    volume = Volume(
        path=path,
        shape=shape[:3] if several else shape,
        volumes=shape[3] if several else 1,
        affine=source.affine,
        zooms=_zooms(source.header),
        dtype=source.get_data_dtype(),
        read=source.dataobj.get_unscaled,
        slope=float(source.dataobj.slope),
        intercept=float(source.dataobj.inter),
        oriented=bool(source.header["qform_code"] > 0 or source.header["sform_code"] > 0),
        header=_without_texts(source.header),
    )
    require_volume(volume)
    _require_whole(volume)
    return volume


def _require_whole(volume: Volume) -> None:
    """Refuse a header that claims more voxels than the file can hold, before memory is taken for them."""
    ratio = 1032 if volume.path.name.lower().endswith(".gz") else 1  # deflate packs no tighter
    if math.prod(volume.shape) * volume.volumes * volume.dtype.itemsize > volume.path.stat().st_size * ratio:
        got = f"got fewer voxels than {volume.shape}"
        raise InputError(f"{label(volume.path.name)}: {got}, expected a whole NIfTI volume; copy it again")


def _zooms(header: Any) -> tuple[float, float, float]:
    zooms = [float(zoom) for zoom in (*header.get_zooms(), 1.0)]
    scale = _TO_MM.get(int(header["xyzt_units"]) & 7, 1.0)
    return zooms[0] * scale, zooms[1] * scale, zooms[2] * scale


def _without_texts(header: Any) -> Any:
    """Copy a header without free text and extensions, which can hold a patient's name."""
    clean = header.copy()
    clean.extensions.clear()
    for key in _TEXTS:
        if key in clean:
            clean[key] = b""
    return clean
