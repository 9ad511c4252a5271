"""Open a medical image: pixels to show, values to measure, and the way back to the source's grid.

Every reader gives a `MedicalImage`. Each reader's module, and the library behind it, is imported on its first use.
"""

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ibisagent.tools.errors import InputError
from ibisagent.tools.files import VOLUME_ENDINGS, label, local_path, reason_of, require_file
from ibisagent.tools.grids import Grid, Mask, Spacing
from ibisagent.tools.plain import plain

if TYPE_CHECKING:
    import PIL.Image

__all__ = ["MedicalImage", "Spacing", "open_image"]

_DICOM_ENDINGS = {".dcm", ".dicom", ".ima", ""}


@dataclass(frozen=True, slots=True, eq=False)
class MedicalImage:
    """A picture as it is displayed, with its geometry; nothing in it comes from a patient header but the modality.

    A plane of a volume is shown as radiologists look at it: an axial one from the feet with the patient's front at the
    top, a coronal one from the front, so on both the patient's right is at the viewer's left; a sagittal one with the
    front at the left; the head is at the top. A single DICOM file or a frame by its number is shown as it is stored,
    as in every viewer, and a note says where that differs. ``axes`` and ``side_of`` tell where the patient's sides are.

    ``pixels`` (H, W) or (H, W, 3) uint8, read-only. ``values`` (H, W) before windowing (HU on CT), float32 or, where
    that would round DICOM's rescaled values, float64; None for a picture that is stored as it is shown. ``spacing`` in
    mm, None when unknown. ``grid`` takes an (H, W) mask back to the source. ``modality`` is DICOM's code, such as CT.
    ``open_image(uri, slice=slice, window=window)`` opens the same picture again; ``uri`` is None for what did not come
    from a file. ``notes``: remarks of one line on what to bear in mind (spacing at the detector, gaps, burned-in text).
    ``padding`` (H, W) bool: what pads the picture out to its size and is none of it, by default ``values``' NaN from
    the edge inwards (a NaN amid the picture is a pixel like any other); None where there is none. ``sha``, 32
    hexadecimal digits, names the displayed content.
    """

    pixels: NDArray[np.uint8] = field(repr=False)
    grid: Grid = field(repr=False)
    spacing: Spacing | None = None
    values: NDArray[np.float32] | NDArray[np.float64] | None = field(default=None, repr=False)
    modality: str | None = None
    uri: str | None = field(default=None, repr=False)  # a file's name can hold a patient's
    slice: str | None = None
    window: str | None = None
    notes: tuple[str, ...] = ()
    padding: Mask | None = field(default=None, repr=False)
    sha: str = field(init=False)

    def __post_init__(self) -> None:
        """Make the arrays read-only and everything else plain, whatever library it is from; name the content."""
        for name in ("modality", "uri", "slice", "window"):
            object.__setattr__(self, name, plain(getattr(self, name)))
        if self.spacing is not None:
            object.__setattr__(self, "spacing", Spacing(*map(float, self.spacing)))
        object.__setattr__(self, "notes", tuple(plain(note) for note in self.notes))
        object.__setattr__(self, "pixels", _read_only(self.pixels))
        if self.values is not None:
            object.__setattr__(self, "values", _read_only(self.values))
        padding = _outside(self.values) if self.padding is None and self.values is not None else self.padding
        object.__setattr__(self, "padding", None if padding is None else _read_only(padding))
        digest = hashlib.sha256(repr(self.pixels.shape).encode() + b"\n")
        digest.update(self.pixels.data)
        object.__setattr__(self, "sha", digest.hexdigest()[:32])

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the displayed picture in pixels."""
        return self.pixels.shape[0], self.pixels.shape[1]

    @property
    def axes(self) -> tuple[str, str] | None:
        """Where the picture's bottom and its right side lie in the patient: R, L, A, P, H or F; None when unknown."""
        return self.grid.axes

    def side_of(self, x: float, y: float) -> str | None:
        """Give the patient's side, left or right, at a point in [0, 1] of the picture; None when unknown."""
        return self.grid.side_of(x, y)


def _outside(values: NDArray[Any]) -> Mask | None:
    """Return where (H, W) values are NaN from the edge inwards, None where they are nowhere."""
    if not any(np.isnan(edge).any() for edge in (values[0], values[-1], values[:, 0], values[:, -1])):
        return None
    from scipy import ndimage

    # In a frame of NaN one part holds all that an edge leads to.
    parts, _ = ndimage.label(np.pad(np.isnan(values), 1, constant_values=True))
    return np.asarray(parts[1:-1, 1:-1] == parts[0, 0])


def open_image(
    source: "str | os.PathLike[str] | PIL.Image.Image | NDArray[Any] | MedicalImage",
    *,
    slice: str | None = None,
    window: str | None = None,
) -> MedicalImage:
    """Open a path, ``file:`` URI, base64 data URL, PIL picture or array; a `MedicalImage` is returned as it is.

    PNG, JPEG, TIFF, BMP, GIF, WebP, DICOM (a file, or a folder or zip with a series), NIfTI, NRRD, MetaImage and NPZ
    are told apart by their content. ``slice`` is a page or frame from 0, or ``middle``; of a volume also ``axial:12``,
    ``coronal:middle``, ``axial:12@3`` with a fourth axis; ``4/axial:12`` in series 4 of a folder. ``window`` is a CT
    window's name, ``centre,width``, ``p0.5,p99.5``, or ``file:1`` or ``file:NAME`` for one of several that a DICOM file
    brings. Whatever cannot be opened is an `InputError` of one line; nothing is ever fetched from the network.

    >>> open_image(np.zeros((2, 3), np.uint8)).shape
    (2, 3)
    """
    if isinstance(source, MedicalImage):
        return _as_opened(source, slice, window)
    if isinstance(source, str | os.PathLike):
        return _open_text(source, slice, window)
    from ibisagent.tools import raster

    if isinstance(source, np.ndarray):
        return raster.from_array(source, slice, window)
    return raster.from_picture(source, slice, window)


def _as_opened(image: MedicalImage, wanted: str | None, window: str | None) -> MedicalImage:
    if wanted in (None, image.slice) and window in (None, image.window):
        return image
    raise InputError(f"got an opened image with slice={wanted!r}, window={window!r}, expected neither; open it anew")


def _open_text(source: str | os.PathLike[str], wanted: str | None, window: str | None) -> MedicalImage:
    if isinstance(source, str) and source[:5].lower() == "data:":
        from ibisagent.tools import raster

        return raster.from_data_url(source, wanted, window)
    path = local_path(source)
    if os.fspath(source) and os.path.isdir(path):  # false, without an error, for what cannot be looked up
        from ibisagent.tools import dicom

        return dicom.from_folder(path, wanted, window)
    require_file(path)
    return _read(path, wanted, window)


def _read(path: Path, wanted: str | None, window: str | None) -> MedicalImage:
    """Choose the reader by the first bytes, and by the name where these say nothing."""
    from ibisagent.tools import raster

    head, name = _head(path), path.name.lower()
    dicom_header = head[128:132] == b"DICM"
    if raster.recognises(head) and not dicom_header:  # a DICOM preamble may hold a TIFF header (PS3.10 7.1)
        return raster.from_file(path, wanted, window)
    if name.endswith(VOLUME_ENDINGS) and not dicom_header:  # some scanners name their DICOM files .img
        from ibisagent.tools import volumes

        return volumes.from_file(path, wanted, window)
    if name.endswith(".npz"):
        from ibisagent.tools import npz

        return npz.from_file(path, wanted, window)
    if dicom_header or head.startswith(b"PK") or path.suffix.lower() in _DICOM_ENDINGS:
        from ibisagent.tools import dicom

        zipped = head.startswith(b"PK") and not dicom_header
        return (dicom.from_zip if zipped else dicom.from_file)(path, wanted, window)
    formats = "PNG, JPEG, TIFF, BMP, GIF, WebP, DICOM, NIfTI, NRRD, MetaImage or NPZ"
    raise InputError(f"{label(path)}: got an unknown kind of file, expected {formats}; convert it to one of them")


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(132)
    except OSError as error:
        raise InputError(
            f"{label(path)}: could not be read ({reason_of(error)}), expected a readable file; check it"
        ) from error


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view
