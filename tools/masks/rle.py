"""COCO run lengths of masks, the form in which state, files and messages hold them."""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco
from typing_extensions import TypedDict

from ibisagent.tools.errors import InputError
from ibisagent.tools.imaging.decoding import MAX_PIXELS
from ibisagent.tools.imaging.grids import Mask

__all__ = ["Rle", "area", "as_rle", "decode", "encode", "rle_key"]

_INVALID = "{}: got run lengths that do not fit, expected COCO {{'size': [H, W], 'counts': ...}}; encode the mask anew"


class Rle(TypedDict):
    """COCO run lengths: ``size`` [H, W] and ``counts``, compressed, column by column, in ASCII."""

    size: list[int]
    counts: str


def encode(mask: Mask) -> Rle:
    """Encode an (H, W) mask exactly as pycocotools does.

    >>> encode(np.eye(2, dtype=bool))
    {'size': [2, 2], 'counts': '0120'}
    """
    columns = _transpose(np.asarray(mask, dtype=np.bool_).view(np.uint8))
    counts: bytes = coco.encode(columns.T)["counts"]
    return {"size": [int(length) for length in mask.shape], "counts": counts.decode("ascii")}


def as_rle(given: Mapping[str, Any], name: str = "mask") -> Rle:
    """Return run lengths in any of pycocotools' forms, counts as text, as bytes or as a list of numbers, as an `Rle`.

    Text is not looked into before it is decoded; a list that does not fill its size is an `InputError`.
    """
    try:
        (height, width), counts = (int(length) for length in given["size"]), given["counts"]
        if isinstance(counts, bytes | bytearray | memoryview | str):
            text = str.__str__(counts) if isinstance(counts, str) else bytes(counts).decode("ascii")
            return Rle(size=[height, width], counts=text)
        if any(isinstance(run, bool) for run in counts):  # true and false are numbers to NumPy
            raise ValueError
        return encode(_fill(np.asarray(counts), height, width))
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError):
        raise InputError(_INVALID.format(name)) from None


def _fill(runs: NDArray[Any], height: int, width: int) -> Mask:
    """Return the mask of runs column by column, outside first; raises `ValueError` where they do not fill it."""
    lengths = runs.astype(np.int64)
    sound = runs.ndim == 1 and runs.dtype.kind in "iuf" and bool((lengths == runs).all()) and bool((lengths >= 0).all())
    if not sound or not 0 < height * width <= MAX_PIXELS or min(height, width) < 1:
        raise ValueError
    if sum(lengths.tolist()) != height * width:
        raise ValueError
    inside = np.arange(lengths.size) % 2 == 1
    return np.repeat(inside, lengths).reshape(width, height).T


def decode(rle: Rle, name: str = "mask") -> Mask:
    """Return the (H, W) mask; `InputError` for what is not an `Rle` or does not fill its size.

    pycocotools' own decoder warns under NumPy 2 and leaves the pixels past the last run uninitialised.
    """
    height, width, runs = _check(rle, name)
    inside = np.arange(runs.size, dtype=np.int64) % 2 == 1
    columns = np.repeat(inside.view(np.uint8), runs).reshape(width, height)
    return _transpose(columns).view(np.bool_)


def area(rle: Rle) -> int:
    """Count the mask's pixels without decoding it."""
    return int(_decompress(rle["counts"])[1::2].sum())


def rle_key(rle: Rle) -> str:
    """Name a mask by its content, 16 hexadecimal digits."""
    height, width = rle["size"]
    return hashlib.sha256(f"{height}x{width}:{rle['counts']}".encode()).hexdigest()[:16]


def _transpose(array: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Copy (H, W) to a contiguous (W, H), a few rows at a time so that each cache line is used whole."""
    height, width = array.shape
    out = np.empty((width, height), dtype=np.uint8)
    for row in range(0, height, 32):
        out[:, row : row + 32] = array[row : row + 32].T
    return out


def _check(rle: Rle, name: str) -> tuple[int, int, NDArray[np.int64]]:
    """Return height, width and run lengths of a valid RLE."""
    try:
        height, width = (int(length) for length in rle["size"])
        runs = _decompress(rle["counts"])
    except (AttributeError, KeyError, TypeError, ValueError):
        raise InputError(_INVALID.format(name)) from None
    if min(height, width) < 1 or height * width > MAX_PIXELS or int(runs.sum()) != height * width:
        raise InputError(_INVALID.format(name))
    return height, width, runs


def _decompress(counts: str) -> NDArray[np.int64]:
    """Decompress run lengths: signed numbers of 5 bits a character, from the third on relative to the last but one.

    Raises `ValueError` for text that is no such list.
    """
    codes = np.frombuffer(counts.encode("ascii"), dtype=np.uint8).astype(np.int64) - 48
    if codes.size == 0 or codes.min() < 0 or codes.max() > 63 or codes[-1] & 32:
        raise ValueError
    ends = np.flatnonzero((codes & 32) == 0)
    lengths = np.diff(ends, prepend=-1)
    if lengths.max() > 7:  # more than 32 bits
        raise ValueError
    starts = ends - lengths + 1
    shifts = 5 * (np.arange(codes.size) - np.repeat(starts, lengths))
    runs = np.add.reduceat((codes & 31) << shifts, starts)
    runs -= np.where(codes[ends] & 16, np.int64(1) << (5 * lengths), 0)
    runs[1::2] = runs[1::2].cumsum()
    runs[2::2] = runs[2::2].cumsum()
    if runs.min() < 0:
        raise ValueError
    return runs
