"""The NPZ files of the CVPR MedSAM challenges (2024, 2025): picture, labels, spacing and prompts in one archive.

``imgs`` (H, W, 3), (D, H, W) or (D, H, W, 3) uint8; ``gts`` (H, W) or (D, H, W) whole numbers; ``spacing`` in mm as
(x, y, z); ``text_prompts`` a pickled dictionary from a label to its words.

Why our own reader: `numpy.load` reads those words only with ``allow_pickle``, which runs code of the file's
choice. Nothing is ever unpickled here.
"""

import math
import pickletools
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ibisagent.tools.errors import InputError
from ibisagent.tools.files import printable_text
from ibisagent.tools.imaging.decoding import decode_guard, require_size
from ibisagent.tools.imaging.grids import Grid, Mask, Spacing
from ibisagent.tools.imaging.medical_image import MedicalImage
from ibisagent.tools.imaging.slices import choose_frame, describe_choice
from ibisagent.tools.imaging.window import apply_window, parse_window
from ibisagent.tools.masks.label_values import Label, select_labels

__all__ = ["from_file", "iterate_planes", "list_arrays", "read_mask", "read_prompts"]

_EXPECTED = "a whole NPZ archive of the CVPR MedSAM challenge"
_MAX_BYTES = 4 * 2**30  # of one unpacked array
_MAX_RATIO = 1032  # deflate packs no tighter: an array that claims more costs no memory here
_MAX_PROMPTS = 2**18
_CONSTANTS = {"SHORT_BINUNICODE", "BINUNICODE", "BININT", "BININT1", "BININT2"}
_PUTS, _GETS = {"MEMOIZE", "BINPUT", "LONG_BINPUT"}, {"BINGET", "LONG_BINGET"}


def from_file(path: Path, wanted: str | None, window: str | None) -> MedicalImage:
    """Open the picture, or frame ``wanted`` of a volume, counted from 0 and the middle one by default."""
    name = printable_text(path.name)
    imgs = _read_array(path, "imgs")
    if imgs.dtype != np.uint8 or imgs.ndim not in (2, 3, 4) or (imgs.ndim == 4 and imgs.shape[3] != 3):
        got, expected = f"imgs of {imgs.dtype} {imgs.shape}", "uint8 (H, W, 3) or (D, H, W)"
        raise InputError(f"{name}: got {got}, expected {expected}; save it so")
    several = imgs.ndim == 4 or (imgs.ndim == 3 and imgs.shape[2] != 3)
    count = len(imgs) if several else 1
    require_size(name, *(imgs.shape[1:3] if several else imgs.shape[:2]))
    number = choose_frame(wanted, count, name, default=count // 2)
    pixels = imgs[number] if several else imgs
    if window is not None:
        pixels = _apply_window(pixels, window, name)
    where = str(number) if several or wanted is not None else None
    grid = Grid(pixels.shape[:2])
    notes = tuple(describe_choice(wanted, str(number), count))
    return MedicalImage(
        pixels.copy(), grid, spacing=_read_spacing(path), uri=str(path), slice=where, window=window, notes=notes
    )


def _apply_window(pixels: NDArray[np.uint8], window: str, name: str) -> NDArray[np.uint8]:
    if pixels.ndim == 3:
        raise InputError(f"{name}: got window={window[:40]!r} for a colour picture, expected none; leave it out")
    return apply_window(pixels.astype(np.float32), parse_window(window, name, hounsfield=False))


def read_mask(path: Path, wanted: str | None, values: Label | None) -> Mask:
    """Read where ``gts`` holds ``values``, in frame ``wanted`` where it has several; any value but 0 by default."""
    gts = _read_labels(path)
    if gts.ndim == 3:
        gts = gts[choose_frame(wanted, len(gts), printable_text(path.name), default=None)]
    return select_labels(gts, values)


def iterate_planes(path: Path) -> Iterator[tuple[str | None, NDArray[Any]]]:
    """Yield each frame of ``gts`` with its number; None for a single picture's."""
    gts = _read_labels(path)
    if gts.ndim == 2:
        yield None, gts
    else:
        yield from ((str(number), plane) for number, plane in enumerate(gts))


def list_arrays(path: Path) -> set[str]:
    """List the arrays in an archive."""
    with decode_guard(printable_text(path.name), _EXPECTED), zipfile.ZipFile(path) as archive:
        return {name.removesuffix(".npy") for name in archive.namelist()}


def read_prompts(path: Path) -> dict[str, str | int]:
    """Read ``text_prompts`` without unpickling it; empty when there are none, or they are no flat dictionary."""
    with decode_guard(printable_text(path.name), _EXPECTED), zipfile.ZipFile(path) as archive:
        if "text_prompts.npy" not in archive.namelist() or archive.getinfo("text_prompts.npy").file_size > _MAX_PROMPTS:
            return {}
        with archive.open("text_prompts.npy") as stream:
            _read_header(stream)
            constants = _parse_pickled_constants(stream.read(_MAX_PROMPTS))
    pairs = list(zip(constants[::2], constants[1::2], strict=False))
    sound = len(constants) % 2 == 0 and all(isinstance(key, str) for key, _ in pairs)
    return {str(key): value for key, value in pairs} if sound else {}


def _parse_pickled_constants(pickled: bytes) -> list[str | int]:
    """List the texts and numbers of the first dictionary in a pickle, up to the first thing that is neither."""
    memo: dict[Any, Any] = {}
    found: list[str | int] | None = None
    last: Any = ""
    for code, argument, _ in pickletools.genops(pickled):
        if code.name in _PUTS:
            memo[len(memo) if argument is None else argument] = last
        elif code.name == "EMPTY_DICT":
            found = []
        elif code.name in _CONSTANTS or code.name in _GETS:
            last = memo.get(argument, "") if code.name in _GETS else argument
            if found is not None:
                found.append(last)
        elif found is not None and code.name not in ("MARK", "SETITEM", "SETITEMS"):
            break
    return found or []


def _read_labels(path: Path) -> NDArray[Any]:
    gts = _read_array(path, "gts")
    if gts.dtype.kind not in "biu" or gts.ndim not in (2, 3):
        got = f"gts of {gts.dtype} {gts.shape}"
        raise InputError(
            f"{printable_text(path.name)}: got {got}, expected whole numbers (H, W) or (D, H, W); save it so"
        )
    require_size(printable_text(path.name), *gts.shape[-2:])
    return gts


def _read_spacing(path: Path) -> Spacing | None:
    if "spacing" not in list_arrays(path):
        return None
    try:
        spacing = _read_array(path, "spacing")
    except InputError:  # a pickled None among them
        return None
    known = spacing.ndim == 1 and spacing.size >= 2 and np.isfinite(spacing).all() and (spacing > 0).all()
    return Spacing(row=float(spacing[1]), column=float(spacing[0])) if known else None


def _read_array(path: Path, key: str) -> NDArray[Any]:
    """Read an array of numbers; `InputError` for one that is missing, pickled, too large, or not what it claims."""
    name = printable_text(path.name)
    with decode_guard(name, _EXPECTED), zipfile.ZipFile(path) as archive:
        if f"{key}.npy" not in archive.namelist():
            raise InputError(f"{name}: got no array {key!r}, expected {_EXPECTED}; add it")
        info = archive.getinfo(f"{key}.npy")
        _require_plausible_size(info, name)
        with archive.open(info) as stream:
            shape, fortran, dtype = _read_header(stream)
            if dtype.kind not in "biuf" or 0 in shape:
                raise InputError(f"{name}: got {key} of {dtype} {shape}, expected numbers; save it anew")
            if math.prod(shape) * dtype.itemsize != info.file_size - stream.tell():
                raise InputError(f"{name}: got {key} of another size than {shape}, expected {_EXPECTED}; save it anew")
            return np.frombuffer(stream.read(), dtype).reshape(shape, order="F" if fortran else "C")


def _require_plausible_size(info: zipfile.ZipInfo, name: str) -> None:
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise InputError(f"{name}: got an unusual compression, expected {_EXPECTED}; save it by numpy.savez_compressed")
    if info.file_size > min(_MAX_BYTES, (info.compress_size + 1) * _MAX_RATIO):
        raise InputError(f"{name}: got an array of {info.file_size:,} bytes, expected at most 4 GiB; crop it")


def _read_header(stream: BinaryIO | Any) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(stream)
    return shape, fortran, dtype
