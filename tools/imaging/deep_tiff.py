"""TIFF pages that Pillow has no mode for, such as floats of 16 and 64 bits, or reads with their bytes exchanged."""

from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL import TiffImagePlugin as Tiff

from ibisagent.tools.errors import IbisError, InputError
from ibisagent.tools.imaging.decoding import require_size
from ibisagent.tools.imaging.slices import choose_frame

__all__ = ["WHITE_IS_ZERO", "is_misread", "read_page"]

WHITE_IS_ZERO = "white is zero"
"""Key of a picture's ``info`` where its grey runs from white to black."""

_COMPRESSION, _ORIENTATION = 259, 274
_UNCOMPRESSED, _FIRST_IS_WHITE, _RGB = 1, 0, 2


def is_misread(picture: Image.Image) -> bool:
    """Whether Pillow would exchange the bytes of 32-bit samples twice: packed, in a file that is big-endian."""
    if not isinstance(picture, Tiff.TiffImageFile) or picture.mode not in ("F", "I"):
        return False
    return bool(picture.tag_v2.prefix == b"MM" and picture.tag_v2.get(_COMPRESSION, _UNCOMPRESSED) != _UNCOMPRESSED)


def read_page(file: BinaryIO, name: str, page: str | None) -> tuple[Image.Image, int, int]:
    """Decode a page with its orientation in its EXIF block; return it with its number and the count of pages.

    Whole numbers and floats come in mode I or F, 8-bit colour in RGB. `InputError` for anything else.
    """
    from tifffile import TiffFile

    file.seek(0)
    with TiffFile(file) as tiff:
        count = len(tiff.pages)
        number = choose_frame(page, count, name)
        found: Any = tiff.pages[number]
        require_size(name, found.imagelength, found.imagewidth)
        picture = Image.fromarray(_read_samples(found, name))
        if found.photometric == _FIRST_IS_WHITE:
            picture.info[WHITE_IS_ZERO] = True
        if _ORIENTATION in found.tags:
            picture.getexif()[_ORIENTATION] = int(found.tags[_ORIENTATION].value)
    return picture, number, count


def _read_samples(found: Any, name: str) -> NDArray[Any]:
    colour = found.photometric == _RGB and found.dtype == np.uint8 and found.samplesperpixel == 3
    if found.dtype is None or found.dtype.kind not in "iuf" or not (found.samplesperpixel == 1 or colour):
        got = f"{found.samplesperpixel} samples of {found.dtype} a pixel"
        raise InputError(f"{name}: got {got}, expected one real number or three bytes; convert it")
    try:
        array = found.asarray(maxworkers=1)
    except IbisError:
        raise
    except Exception:  # a compression or predictor that needs a library of its own, or a file cut short
        got = f"{found.dtype} that cannot be unpacked ({found.compression.name})"
        raise InputError(f"{name}: got {got}, expected a whole TIFF; save it as float32 or uncompressed") from None
    return array if colour else _to_32_bits(array.reshape(array.shape[:2]))


def _to_32_bits(array: NDArray[Any]) -> NDArray[Any]:
    """Bring numbers to Pillow's 32 bits: whole ones where they fit, else floats, as they are windowed anyway."""
    limits = np.iinfo(np.int32)
    if array.dtype.kind in "iu" and array.min() >= limits.min and array.max() <= limits.max:
        return array.astype(np.int32)
    with np.errstate(over="ignore", invalid="ignore"):
        return array.astype(np.float32)
