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
_UNCOMPRESSED, _FIRST_IS_WHITE, _RGB, _PALETTE, _SEPARATE = 1, 0, 2, 3, 2


def is_misread(picture: Image.Image) -> bool:
    """Whether Pillow would exchange the bytes of 32-bit samples twice: packed, in a file that is big-endian."""
    if not isinstance(picture, Tiff.TiffImageFile) or picture.mode not in ("F", "I"):
        return False
    return bool(picture.tag_v2.prefix == b"MM" and picture.tag_v2.get(_COMPRESSION, _UNCOMPRESSED) != _UNCOMPRESSED)


def read_page(file: BinaryIO, name: str, page: str | None) -> tuple[Image.Image, int, int]:
    """Decode a page with its orientation in its EXIF block; return it with its number and the count of pages.

    Whole numbers and floats come in mode I or F; grey of 8 bits and fewer, palettes and colour come as by Pillow.
    `InputError` for anything else.
    """
    from tifffile import TiffFile

    file.seek(0)
    with TiffFile(file) as tiff:
        count = len(tiff.pages)
        number = choose_frame(page, count, name)
        found: Any = tiff.pages[number]
        require_size(name, found.imagelength, found.imagewidth)
        picture = _to_picture(found, _read_samples(found, name), name)
        if found.photometric == _FIRST_IS_WHITE:
            picture.info[WHITE_IS_ZERO] = True
        if _ORIENTATION in found.tags:
            picture.getexif()[_ORIENTATION] = int(found.tags[_ORIENTATION].value)
    return picture, number, count


def _to_picture(found: Any, samples: NDArray[Any], name: str) -> Image.Image:
    """Convert samples to the mode, the colours and the levels that Pillow gives a page of their kind."""
    if found.photometric == _PALETTE and found.colormap is not None:
        colours = (found.colormap // 256).astype(np.uint8).T
        if found.bitspersample > 8:
            return Image.fromarray(colours[samples])
        picture = Image.fromarray(samples)
        picture.putpalette(colours.tobytes())
        return picture
    if samples.ndim == 3:
        return Image.fromarray(np.moveaxis(samples, 0, -1) if found.planarconfig == _SEPARATE else samples)
    if samples.dtype == np.bool_:
        return Image.fromarray(samples ^ (found.photometric == _FIRST_IS_WHITE))
    if samples.dtype == np.uint8:
        levels = samples * np.uint8(255 // (2**found.bitspersample - 1))
        return Image.fromarray(255 - levels if found.photometric == _FIRST_IS_WHITE else levels)
    return Image.fromarray(_to_32_bits(samples, name))


def _read_samples(found: Any, name: str) -> NDArray[Any]:
    colour = found.photometric == _RGB and found.dtype == np.uint8 and found.samplesperpixel == 3
    if found.dtype is None or found.dtype.kind not in "biuf" or not (found.samplesperpixel == 1 or colour):
        got = f"{found.samplesperpixel} samples of {found.dtype} a pixel"
        raise InputError(f"{name}: got {got}, expected one real number or three bytes; convert it")
    try:
        array = found.asarray(maxworkers=1)
    except IbisError:
        raise
    except Exception:  # a compression or predictor that needs a library of its own, or a file cut short
        got = f"{found.dtype} that cannot be unpacked ({found.compression.name})"
        raise InputError(f"{name}: got {got}, expected a whole TIFF; save it as float32 or uncompressed") from None
    samples: NDArray[Any] = array if colour else array.reshape(found.imagelength, found.imagewidth)
    return samples


def _to_32_bits(array: NDArray[Any], name: str) -> NDArray[Any]:
    """Bring numbers to Pillow's 32 bits: whole ones where they fit, else floats, as they are windowed anyway."""
    limits = np.iinfo(np.int32)
    if array.dtype.kind in "iu" and array.min() >= limits.min and array.max() <= limits.max:
        return array.astype(np.int32)
    with np.errstate(over="ignore", invalid="ignore"):
        floats = array.astype(np.float32)
    if (np.isinf(floats) & np.isfinite(array)).any():
        raise InputError(f"{name}: got numbers beyond 3.4e38, expected those of 32 bits; scale them down")
    return floats
