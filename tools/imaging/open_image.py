"""Open a medical image: pixels to show, values to measure, and the way back to the source's grid.

Every reader gives a `MedicalImage`. pydicom and nibabel are imported on their first use.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ibisagent.tools.errors import InputError
from ibisagent.tools.files import VOLUME_ENDINGS, describe_os_error, local_path, printable_text, require_file
from ibisagent.tools.imaging import npz, raster, volume_files
from ibisagent.tools.imaging.medical_image import MedicalImage

if TYPE_CHECKING:
    import PIL.Image

__all__ = ["open_image"]

_DICOM_ENDINGS = {".dcm", ".dicom", ".ima", ""}


def open_image(
    source: "str | os.PathLike[str] | PIL.Image.Image | NDArray[Any] | MedicalImage",
    *,
    slice: str | int | None = None,
    window: str | None = None,
) -> MedicalImage:
    """Open a path, ``file:`` URI, base64 data URL, PIL picture or array; a `MedicalImage` is returned as it is.

    PNG, JPEG, TIFF, BMP, GIF, WebP, DICOM (a file, or a folder or zip with a series), NIfTI, NRRD, MetaImage and NPZ
    are recognized by their content. ``slice`` is a page or frame from 0, or ``middle``; of a volume also ``axial:12``,
    ``coronal:middle``, ``axial:12@3`` with a fourth axis; ``4/axial:12`` in series 4 of a folder. ``window`` is a CT
    window's name, ``centre,width``, ``p0.5,p99.5``, or ``file:1`` or ``file:NAME`` for one of several that a DICOM file
    brings. Whatever cannot be opened is an `InputError` of one line; nothing is ever fetched from the network.

    >>> open_image(np.zeros((2, 3), np.uint8)).shape
    (2, 3)
    """
    number = isinstance(slice, int | np.integer) and not isinstance(slice, bool)
    wanted = _require_text("slice", str(slice) if number else slice)
    window = _require_text("window", window)
    if isinstance(source, MedicalImage):
        return _require_unchanged(source, wanted, window)
    if isinstance(source, str | os.PathLike):
        return _open_source(source, wanted, window)
    if isinstance(source, np.ndarray):
        return raster.from_array(source, wanted, window)
    return raster.from_picture(source, wanted, window)


def _require_text(what: str, given: Any) -> str | None:
    if given is None or isinstance(given, str):
        return given
    kinds = {"slice": "a number or text such as 'axial:12'", "window": "text such as '40,400'"}
    raise InputError(f"{what}: got {type(given).__name__}, expected {kinds[what]}; write it so")


def _require_unchanged(image: MedicalImage, wanted: str | None, window: str | None) -> MedicalImage:
    if wanted in (None, image.slice) and window in (None, image.window):
        return image
    raise InputError(f"got an opened image with slice={wanted!r}, window={window!r}, expected neither; open it anew")


def _open_source(source: str | os.PathLike[str], wanted: str | None, window: str | None) -> MedicalImage:
    if isinstance(source, str) and source[:5].lower() == "data:":
        return raster.from_data_url(source, wanted, window)
    path = local_path(source)
    if os.fspath(source) and os.path.isdir(path):  # false, without an error, for what cannot be looked up
        from ibisagent.tools.imaging import dicom

        return dicom.from_folder(path, wanted, window)
    require_file(path)
    return _read(path, wanted, window)


def _read(path: Path, wanted: str | None, window: str | None) -> MedicalImage:
    """Choose the reader by the first bytes, and by the name where these do not decide."""
    head, name = _read_head(path), path.name.lower()
    dicom_header = head[128:132] == b"DICM"
    if raster.is_raster(head) and not dicom_header:  # a DICOM preamble may hold a TIFF header (PS3.10 7.1)
        return raster.from_file(path, wanted, window)
    if name.endswith(VOLUME_ENDINGS) and not dicom_header:  # some scanners name their DICOM files .img
        return volume_files.from_file(path, wanted, window)
    if name.endswith(".npz"):
        return npz.from_file(path, wanted, window)
    if dicom_header or head.startswith(b"PK") or path.suffix.lower() in _DICOM_ENDINGS:
        from ibisagent.tools.imaging import dicom

        zipped = head.startswith(b"PK") and not dicom_header
        return (dicom.from_zip if zipped else dicom.from_file)(path, wanted, window)
    formats = "PNG, JPEG, TIFF, BMP, GIF, WebP, DICOM, NIfTI, NRRD, MetaImage or NPZ"
    got = "got an unknown kind of file"
    raise InputError(f"{printable_text(path)}: {got}, expected {formats}; convert it to one of them")


def _read_head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(132)
    except OSError as error:
        got = f"could not be read ({describe_os_error(error)})"
        raise InputError(f"{printable_text(path)}: {got}, expected a readable file; check it") from error
