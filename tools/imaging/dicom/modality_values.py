"""From stored values to modality values: modality LUT or rescale, and which pixels are padding."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from ibisagent.tools.imaging.dicom.elements import is_readable, read_items, read_numbers
from ibisagent.tools.imaging.dicom.lookup_tables import read_table
from ibisagent.tools.imaging.grids import Mask

__all__ = ["apply_modality_lut", "fill_missing_values", "find_missing_values", "find_padding", "list_absent_scale"]

_PADDING = {"i": "", "u": "", "f4": "Float", "f8": "DoubleFloat"}
_SCALE_KEYWORDS = ("RescaleSlope", "RescaleIntercept")
_VALUE_KEYWORDS = (
    *_SCALE_KEYWORDS,
    *(f"{kind}PixelPadding{which}" for kind in ("", "Float", "DoubleFloat") for which in ("Value", "RangeLimit")),
)


def list_absent_scale(heads: Sequence[Dataset]) -> list[str]:
    """Name what of the rescale some planes' headers have, once for each that has neither it nor a modality LUT."""
    known = [keyword for keyword in _SCALE_KEYWORDS if any(read_numbers(head, keyword) for head in heads)]
    return [keyword for head in heads for keyword in known if _lacks_scale(head, keyword)]


def _lacks_scale(head: Dataset, keyword: str) -> bool:
    if keyword not in _SCALE_KEYWORDS or keyword in head:
        return False
    return all(read_table(item, head) is None for item in read_items(head, "ModalityLUTSequence"))


def _is_missing(head: Dataset, keyword: str) -> bool:
    return not is_readable(head, keyword) or _lacks_scale(head, keyword)


def find_missing_values(heads: Sequence[Dataset]) -> dict[str, list[float]]:
    """Return by its keyword what is missing in some planes' headers and the same in all the others.

    Missing is what cannot be read, and also an element of the rescale that at least half of the planes have.
    """
    found: dict[str, list[float]] = {}
    for keyword in _VALUE_KEYWORDS:
        known = [value for head in heads if (value := read_numbers(head, keyword))]
        missing = any(_is_missing(head, keyword) for head in heads)
        common = sum(_lacks_scale(head, keyword) for head in heads) <= len(known)
        if missing and common and known and known.count(known[0]) == len(known):
            found[keyword] = known[0]
    return found


def fill_missing_values(heads: Sequence[Dataset]) -> list[Dataset]:
    """Return the headers of one volume's planes with what `find_missing_values` finds, so that all have one scale."""
    found = find_missing_values(heads)
    return [
        _set_values(head, {keyword: value for keyword, value in found.items() if _is_missing(head, keyword)})
        for head in heads
    ]


def _set_values(head: Dataset, values: dict[str, list[float]]) -> Dataset:
    if not values:
        return head
    filled = Dataset()
    filled.update(head)
    for keyword, (value,) in values.items():
        filled.add_new(keyword, "FD", value)
    return filled


def apply_modality_lut(stored: NDArray[Any], head: Dataset) -> NDArray[Any]:
    """Apply the modality LUT, or the rescale slope and intercept, of which one alone counts as well (PS3.3 C.11.1)."""
    table = next((read_table(item, head) for item in read_items(head, "ModalityLUTSequence")), None)
    if table is not None:
        return table.apply(stored)
    slope, intercept = read_numbers(head, "RescaleSlope"), read_numbers(head, "RescaleIntercept")
    if not slope and not intercept:
        return stored
    values: NDArray[Any] = stored.astype(np.float64) * (slope or [1.0])[0] + (intercept or [0.0])[0]
    # Many writers add slope 1 and intercept 0, which says nothing and costs the type.
    return stored if stored.dtype == np.uint8 and np.array_equal(values, stored) else values


def find_padding(stored: NDArray[Any], head: Dataset) -> Mask:
    """Return where grey (rows, columns) stored values pad the picture out to its size (PS3.3 C.7.5.1.1.2).

    That is PixelPaddingValue, or all from there to PixelPaddingRangeLimit, whichever of the two is lower.
    """
    kind = _PADDING[stored.dtype.kind if stored.dtype.kind in "iu" else stored.dtype.str[1:]]
    value = read_numbers(head, f"{kind}PixelPaddingValue")
    if not value:
        return np.zeros(stored.shape, dtype=np.bool_)
    limit = read_numbers(head, f"{kind}PixelPaddingRangeLimit") or value
    low, high = sorted(_wrap_to_stored(number, stored.dtype) for number in (value[0], limit[0]))
    return np.asarray((stored >= low) & (stored <= high), dtype=np.bool_)


def _wrap_to_stored(number: float, dtype: np.dtype[Any]) -> float:
    """Read a number with the sign that stored pixels have, since writers give -2000 of 16 bits as 63536 as well."""
    if dtype.kind == "f":
        return float(np.asarray(number).astype(dtype))
    limits = np.iinfo(dtype)
    turn = 2**limits.bits
    return number + turn if number < limits.min else number - turn if number > limits.max else number
