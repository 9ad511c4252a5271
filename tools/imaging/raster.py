"""PNG, JPEG, TIFF, BMP, GIF and WebP files, data URLs, PIL pictures and arrays.

The displayed grid of a raster picture is the upright one: EXIF orientation is obeyed, as every viewer does. Alpha is
composited on black. Grey of more than 8 bits keeps its values until it is windowed; RGB stays RGB.
"""

import base64
import binascii
import contextlib
import io
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import BmpImagePlugin, GifImagePlugin, Image, ImageFile, ImageOps, JpegImagePlugin, PngImagePlugin
from PIL import TiffImagePlugin as Tiff
from PIL import WebPImagePlugin as WebP

from ibisagent.tools.errors import InputError
from ibisagent.tools.files import printable_text
from ibisagent.tools.imaging import deep_tiff
from ibisagent.tools.imaging.decoding import decode_guard, require_size
from ibisagent.tools.imaging.grids import Grid
from ibisagent.tools.imaging.medical_image import MedicalImage
from ibisagent.tools.imaging.slices import choose_frame
from ibisagent.tools.imaging.window import DEFAULT_OTHER, apply_window, parse_window

__all__ = [
    "decode_data_url",
    "from_array",
    "from_data_url",
    "from_file",
    "from_picture",
    "is_raster",
    "read_exif",
    "read_picture",
    "turn_upright",
]

# Pillow's own Image.open warns about large pictures before their size can be looked at.
_DECODERS: dict[bytes, type[ImageFile.ImageFile]] = {
    b"\x89PNG\r\n\x1a\n": PngImagePlugin.PngImageFile,
    b"\xff\xd8\xff": JpegImagePlugin.JpegImageFile,
    b"GIF8": GifImagePlugin.GifImageFile,
    b"BM": BmpImagePlugin.BmpImageFile,
} | dict.fromkeys([b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"], Tiff.TiffImageFile)
_EXPECTED = "a whole PNG, JPEG, TIFF, BMP, GIF or WebP picture"
_PHOTOMETRIC, _SAMPLE_FORMAT = 262, 339  # TIFF tags
_WHITE_IS_ZERO, _SIGNED = 0, 2


def is_raster(head: bytes) -> bool:
    """Whether this module reads a file that begins with ``head``."""
    return _find_decoder(head) is not None


def _find_decoder(head: bytes) -> type[ImageFile.ImageFile] | None:
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return WebP.WebPImageFile
    return next((decoder for magic, decoder in _DECODERS.items() if head.startswith(magic)), None)


def from_file(path: Path, page: str | None, window: str | None) -> MedicalImage:
    """Open a picture file; ``page`` counts from 0 and is the first by default."""
    picture, number = read_picture(path, page)
    name = printable_text(path.name)
    image = _build_image(_to_array(picture, name), name, window, str(path), number, inverted=_is_inverted(picture))
    return _add_page_note(image, page)


def _add_page_note(image: MedicalImage, page: str | None) -> MedicalImage:
    """Add a note on which page was taken where there are several and the caller named none."""
    if page is not None or image.slice is None:
        return image
    return replace(image, notes=(f"page: took the first one, {image.slice}, of several; choose with slice (--slice)",))


def read_picture(path: Path, page: str | None = None) -> tuple[Image.Image, str | None]:
    """Decode a file upright, in its stored mode; with it the page's number where the file has several."""
    with decode_guard(printable_text(path.name), _EXPECTED), path.open("rb") as file:
        return _load(file, printable_text(path.name), page)


def read_exif(file: BinaryIO) -> Image.Exif:
    """Read a picture's EXIF block without decoding the picture; raises whatever Pillow does about a broken one."""
    decoder = _find_decoder(file.read(16))
    file.seek(0)
    return decoder(file).getexif() if decoder is not None else Image.Exif()


def from_data_url(url: str, page: str | None, window: str | None) -> MedicalImage:
    """Open ``data:image/png;base64,...``; the media type is ignored, the content decides."""
    picture, number = decode_data_url(url, page)
    return _add_page_note(_build_image(_to_array(picture, "data URL"), "data URL", window, slice=number), page)


def decode_data_url(url: str, page: str | None = None) -> tuple[Image.Image, str | None]:
    """Decode a base64 data URL as `read_picture` does a file."""
    prefix, _, payload = url.partition(",")
    name = "data URL"
    try:
        content = base64.b64decode(payload, validate=True) if prefix.lower().endswith(";base64") else b""
    except (binascii.Error, ValueError):
        content = b""
    if not is_raster(content):
        raise InputError(f"{name}: got no base64 picture, expected data:image/png;base64,...; encode a PNG or JPEG")
    with decode_guard(name, _EXPECTED):
        return _load(io.BytesIO(content), name, page)


def from_picture(picture: Image.Image, page: str | None, window: str | None) -> MedicalImage:
    """Take a PIL picture as if it came from a file; the caller's object is left as it is."""
    if not isinstance(picture, Image.Image):
        kind = type(picture).__name__
        raise InputError(f"image: got {kind}, expected a path, URI, data URL, PIL picture, array or MedicalImage")
    name = "picture"
    number = choose_frame(page, 1, name)
    where = None if page is None else str(number)
    return _build_image(_to_array(turn_upright(picture, name), name), name, window, slice=where)


def turn_upright(picture: Image.Image, name: str) -> Image.Image:
    """Return a copy of a PIL picture, turned as its EXIF orientation says."""
    require_size(name, picture.height, picture.width)
    with decode_guard(name, _EXPECTED):
        turned = picture.copy()
        _transpose_in_place(turned)
    return turned


def from_array(array: NDArray[Any], page: str | None, window: str | None) -> MedicalImage:
    """Take (H, W), or (H, W, 3 or 4) uint8, bool, uint16, or float in [0, 1]; the array is copied."""
    choose_frame(page, 1, "array")
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.dtype.kind not in "biuf" or array.ndim not in (2, 3) or array.shape[2:] not in ((), (3,), (4,)):
        expected = "(H, W) or (H, W, 3) of numbers"
        raise InputError(f"array: got {array.shape} of {array.dtype}, expected {expected}; take one slice of it")
    require_size("array", *array.shape[:2])
    if array.ndim == 3:
        array = _composite_on_black(_to_8_bits(array))
    return _build_image(array.copy(), "array", window)


def _load(file: BinaryIO, name: str, page: str | None) -> tuple[Image.Image, str | None]:
    head = file.read(16)
    file.seek(0)
    decoder = _find_decoder(head)
    if decoder is None:
        raise InputError(f"{name}: got no picture, expected {_EXPECTED}; convert it to one of them")
    try:
        picture, number, pages = _decode_with_pillow(decoder, file, name, page)
    except SyntaxError:  # Pillow's word for samples that it has no mode for
        if decoder is not Tiff.TiffImageFile:
            raise
        picture, number, pages = deep_tiff.read_page(file, name, page)
    _transpose_in_place(picture)
    return picture, None if pages == 1 and page is None else str(number)


def _decode_with_pillow(
    decoder: type[ImageFile.ImageFile], file: BinaryIO, name: str, page: str | None
) -> tuple[Image.Image, int, int]:
    """Decode a page; return it with its number and the count of pages."""
    picture = decoder(file)
    require_size(name, picture.height, picture.width)
    pages = _count_pages(picture)
    number = choose_frame(page, pages, name)
    if pages > 1:
        picture.seek(number)
        if picture.mode not in ("P", "PA"):
            picture.palette = None  # Pillow keeps that of a page it passed, and paints this one with it
        require_size(name, picture.height, picture.width)
    if deep_tiff.is_misread(picture):
        return deep_tiff.read_page(file, name, page)
    picture.load()
    return picture, number, pages


def _count_pages(picture: ImageFile.ImageFile) -> int:
    """Count pages, including those that Pillow has no mode for; the picture is at its first page afterwards."""
    if not isinstance(picture, Tiff.TiffImageFile):
        return getattr(picture, "n_frames", 1)
    count = 0
    while not count:
        with contextlib.suppress(SyntaxError):  # raised for each such page, which Pillow then regards as read
            count = picture.n_frames
    picture.seek(0)
    return count


def _transpose_in_place(picture: Image.Image) -> None:
    # With a broken EXIF block the picture is shown as it is stored, as viewers do.
    with contextlib.suppress(Exception):
        ImageOps.exif_transpose(picture, in_place=True)


def _is_inverted(picture: Image.Image) -> bool:
    """Whether a picture is a deep TIFF whose white is zero; Pillow inverts only those of 8 bits and fewer."""
    stored = isinstance(picture, Tiff.TiffImageFile) and picture.tag_v2.get(_PHOTOMETRIC) == _WHITE_IS_ZERO
    return _is_deep(picture) and (stored or deep_tiff.WHITE_IS_ZERO in picture.info)


def _is_deep(picture: Image.Image) -> bool:
    return picture.mode == "F" or picture.mode.startswith("I")


def _to_array(picture: Image.Image, name: str) -> NDArray[Any]:
    """Return (H, W) of the stored depth or (H, W, 3) uint8."""
    with decode_guard(name, _EXPECTED):
        if _is_deep(picture):
            return np.array(picture)
        if isinstance(picture, Tiff.TiffImageFile) and picture.tag_v2.get(_SAMPLE_FORMAT) == (_SIGNED,):
            return np.array(picture).view(np.int8)  # which Pillow takes for unsigned
        grey = picture.mode in ("1", "L", "LA", "La")
        if picture.has_transparency_data:
            ground = Image.new("RGBA", picture.size, (0, 0, 0, 255))
            picture = Image.alpha_composite(ground, picture.convert("RGBA"))
        return np.array(picture.convert("L" if grey else "RGB"))


def _to_8_bits(array: NDArray[Any]) -> NDArray[np.uint8]:
    """Bring (H, W, 3 or 4) of any depth to 0..255."""
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.uint16:
        scaled = array / 257
    elif array.dtype.kind in "bf" and not (np.nan_to_num(array) < 0).any() and not (np.nan_to_num(array) > 1).any():
        scaled = np.nan_to_num(array.astype(np.float64)) * 255
    else:
        expected = "uint8, uint16, or float from 0 to 1"
        raise InputError(f"array: got colour of {array.dtype}, expected {expected}; convert it to uint8")
    return np.floor(scaled + 0.5).astype(np.uint8)


def _composite_on_black(array: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Composite (H, W, 4) on black; (H, W, 3) comes back as it is."""
    return array if array.shape[2] == 3 else _to_array(Image.fromarray(array), "array")


def _build_image(
    array: NDArray[Any],
    name: str,
    window: str | None,
    uri: str | None = None,
    slice: str | None = None,
    *,
    inverted: bool = False,
) -> MedicalImage:
    grid = Grid(array.shape[:2])
    if array.ndim == 3:
        if window is not None:
            raise InputError(f"{name}: got window={window[:40]!r} for a colour picture, expected none; leave it out")
        return MedicalImage(array, grid, uri=uri, slice=slice)
    if array.dtype == np.bool_:
        array = array.astype(np.uint8) * 255
    hounsfield = array.dtype.kind in "if"  # an unsigned picture cannot hold air
    chosen = parse_window(window or DEFAULT_OTHER, name, hounsfield=hounsfield)
    with np.errstate(over="ignore", invalid="ignore"):
        values = array.astype(np.float32)
    if array.dtype == np.uint8:
        pixels = array if window is None else apply_window(values, chosen)
        return MedicalImage(pixels, grid, uri=uri, slice=slice, window=window)
    pixels = apply_window(values, chosen)
    pixels = 255 - pixels if inverted else pixels
    return MedicalImage(pixels, grid, values=values, uri=uri, slice=slice, window=window)
