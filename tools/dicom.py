"""One picture of a DICOM file, as its own display rules say (PS3.3 C.7.6.3, C.11.1, C.11.2).

Order: decode, modality LUT or rescale, VOI LUT or window, and MONOCHROME1 inverted last. Without a window in the file
a CT gets the abdominal one, an 8-bit picture is shown as stored, anything else its 0.5 to 99.5 percentiles.
"""

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_voi
from pydicom.pixels.utils import pixel_array
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from ibisagent.tools.decoding import decoding, require_size
from ibisagent.tools.errors import InputError
from ibisagent.tools.files import label
from ibisagent.tools.grids import Grid, Spacing
from ibisagent.tools.images import MedicalImage
from ibisagent.tools.slices import choose_frame
from ibisagent.tools.window import DEFAULT_CT, DEFAULT_OTHER, Window, parse_window, render

__all__ = ["from_file"]

_EXPECTED = "a whole DICOM image"
_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_INSTALL = "run: pip install 'ibisagent[medical]', or decompress it"


def from_file(path: Path, frame: str | None, window: str | None) -> MedicalImage:
    """Open a single-frame file, or the frame that ``frame`` counts from 0; a file without a preamble is read too."""
    name = label(path.name)
    with decoding(name, _EXPECTED):
        dataset = dcmread(path, force=True)
        _require_pixels(dataset, name)
        count = int(dataset.get("NumberOfFrames") or 1)
        index = choose_frame(frame, count, name, default=None)
        stored = _decode(dataset, name, index)
        pixels, values = _display(stored, dataset, name, window)
        return MedicalImage(
            pixels,
            Grid(pixels.shape[:2]),
            spacing=_spacing(dataset),
            values=values,
            modality=_modality(dataset),
            uri=str(path),
            slice=None if count == 1 and frame is None else str(index),
            window=window,
        )


def _require_pixels(dataset: Dataset, name: str) -> None:
    """Check what the header says, before any pixel is decoded."""
    if not any(keyword in dataset for keyword in ("SOPClassUID", "Rows", *_PIXELS)):
        raise InputError(f"{name}: got a file without DICOM elements, expected {_EXPECTED}; check its kind")
    if not any(keyword in dataset for keyword in _PIXELS):
        kind = _known(dataset.get("SOPClassUID"))
        raise InputError(f"{name}: got {kind} without pixel data, expected {_EXPECTED}; choose an image file")
    require_size(name, int(dataset.Rows), int(dataset.Columns))


def _known(uid: object) -> str:
    """Name a registered UID; any other text in the file is not repeated."""
    registered = UID(str(uid)).name if uid else ""
    return "a DICOM file" if registered in ("", str(uid)) else registered


def _decode(dataset: Dataset, name: str, index: int) -> NDArray[Any]:
    """Decode one frame to (H, W) or (H, W, 3) stored values; YBR comes as RGB."""
    syntax = _transfer_syntax(dataset)
    known = _known(syntax)
    try:
        available = get_decoder(syntax).is_available
    except NotImplementedError:
        available = False
    if not available:
        raise InputError(f"{name}: got {known}, expected a compression with an installed decoder; {_INSTALL}")
    remedy = f"check that it was copied whole, or {_INSTALL}" if syntax.is_compressed else "check its copy"
    with decoding(name, f"whole pixel data ({known})", remedy):
        return pixel_array(dataset, index=index)


def _transfer_syntax(dataset: Dataset) -> UID:
    """Give the file's transfer syntax; one without a meta header gets the one that it was parsed by."""
    if "TransferSyntaxUID" not in dataset.file_meta:
        implicit, little = dataset.original_encoding
        explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else explicit
    return dataset.file_meta.TransferSyntaxUID


def _display(
    stored: NDArray[Any], dataset: Dataset, name: str, window: str | None
) -> tuple[NDArray[np.uint8], NDArray[np.float32] | None]:
    """Give the displayed picture, and the (H, W) values behind a grey one."""
    photometric = str(dataset.get("PhotometricInterpretation", "")).upper()
    if photometric == "PALETTE COLOR" or stored.ndim == 3:
        if window is not None:
            raise InputError(f"{name}: got window={window[:40]!r} for a colour picture, expected none; leave it out")
        return _colour(stored, dataset, photometric), None
    rescaled = apply_modality_lut(stored, dataset)
    if stored.dtype == np.uint8 and np.array_equal(rescaled, stored):  # many writers add slope 1 and intercept 0
        rescaled = stored
    pixels = _grey(rescaled, dataset, name, window)
    return (255 - pixels if photometric == "MONOCHROME1" else pixels), rescaled.astype(np.float32)


def _colour(stored: NDArray[Any], dataset: Dataset, photometric: str) -> NDArray[np.uint8]:
    if photometric == "PALETTE COLOR":
        table: NDArray[Any] = apply_color_lut(stored, dataset)[..., :3]
        # Some writers keep 8-bit entries in a table declared as 16-bit.
        return np.asarray(table >> 8 if table.max() > 255 else table, dtype=np.uint8)
    if stored.dtype == np.uint8 and int(dataset.BitsStored) == 8:
        return stored
    highest = 2 ** int(dataset.BitsStored) - 1
    return np.asarray(np.floor(np.clip(stored / highest, 0, 1) * 255 + 0.5), dtype=np.uint8)


def _grey(rescaled: NDArray[Any], dataset: Dataset, name: str, window: str | None) -> NDArray[np.uint8]:
    ct = _modality(dataset) == "CT"
    values = rescaled.astype(np.float64)
    if window is not None:
        return render(values, parse_window(window, name, hounsfield=ct))
    if dataset.get("VOILUTSequence"):
        return _by_table(rescaled, dataset)
    own = _file_window(dataset)
    if own is None and rescaled.dtype == np.uint8 and dataset.get("BitsStored") == 8:
        return rescaled
    return render(values, own or parse_window(DEFAULT_CT if ct else DEFAULT_OTHER, name, hounsfield=ct))


def _by_table(rescaled: NDArray[Any], dataset: Dataset) -> NDArray[np.uint8]:
    """Apply the first VOI LUT; its outputs span the bits that its descriptor names (PS3.3 C.11.2.1.1)."""
    shown = apply_voi(np.rint(rescaled).astype(np.int64), dataset)
    highest = max(2 ** int(dataset.VOILUTSequence[0].LUTDescriptor[2]) - 1, int(shown.max()))
    return np.asarray(np.floor(shown / highest * 255 + 0.5), dtype=np.uint8)


def _file_window(dataset: Dataset) -> Window | None:
    """Give the first of the file's windows, None when it has no valid one."""
    centres, widths = _numbers(dataset, "WindowCenter"), _numbers(dataset, "WindowWidth")
    function = str(dataset.get("VOILUTFunction") or "LINEAR").upper()
    if function not in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        function = "LINEAR"
    if not centres or not widths or widths[0] <= 0 or (function == "LINEAR" and widths[0] < 1):
        return None
    return Window(centres[0], widths[0], function)


def _numbers(dataset: Dataset, keyword: str) -> list[float]:
    """Give an element's values, one or several, without what is no finite number."""
    element = dataset.get(keyword)
    several = [] if element is None or element == "" else element if hasattr(element, "__iter__") else [element]
    numbers = [float(value) for value in several]
    return numbers if all(math.isfinite(number) for number in numbers) else []


def _spacing(dataset: Dataset) -> Spacing | None:
    """Give PixelSpacing, else the detector's ImagerPixelSpacing (which ignores magnification), else None."""
    for keyword in ("PixelSpacing", "ImagerPixelSpacing"):
        numbers = _numbers(dataset, keyword)
        if len(numbers) == 2 and min(numbers) > 0:
            return Spacing(*numbers)
    return None


def _modality(dataset: Dataset) -> str | None:
    code = str(dataset.get("Modality") or "").strip()
    return code if re.fullmatch(r"[A-Z]{2,16}", code) else None
