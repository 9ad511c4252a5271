"""Lookup tables for stored values and for the display (PS3.3 C.11.1.1, C.11.2.1.1)."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from ibisagent.tools.imaging.dicom.elements import read_items, read_numbers

__all__ = ["LookupTable", "list_broken_tables", "read_table"]

_WORD = 2**16


class LookupTable(NamedTuple):
    """``entries`` (n) for the values from ``first`` on; values beyond take the ends. They span ``bits``."""

    first: int
    bits: int
    entries: NDArray[np.uint8] | NDArray[np.uint16]

    def apply(self, values: NDArray[Any]) -> NDArray[np.uint8] | NDArray[np.uint16]:
        """Return the entry of each value, in the values' shape."""
        last = self.first + len(self.entries) - 1
        whole = np.nan_to_num(np.clip(np.rint(values.astype(np.float64)), self.first, last), nan=self.first)
        found: NDArray[np.uint8] | NDArray[np.uint16] = self.entries[whole.astype(np.int64) - self.first]
        return found


def read_table(item: Dataset, head: Dataset) -> LookupTable | None:
    """Read an item of a header's sequence, with LUTDescriptor and LUTData; None for one that holds no table."""
    descriptor = read_numbers(item, "LUTDescriptor")
    if not descriptor or any(number != int(number) for number in descriptor):
        return None
    count, first, bits = int(descriptor[0]) % _WORD or _WORD, int(descriptor[1]), int(descriptor[2])
    if first >= _WORD // 2 and head.get("PixelRepresentation") == 1:  # a negative value that was written as unsigned
        first -= _WORD
    entries = _read_entries(item, count, bits, little=head.original_encoding[1] is not False)
    if not 1 <= bits <= 16 or entries is None:
        return None
    narrow = bits <= 8 and entries.max() < 2**8
    return LookupTable(first, bits, entries.astype(np.uint8) if narrow else entries.astype(np.uint16))


def _read_entries(item: Dataset, count: int, bits: int, *, little: bool) -> NDArray[np.int64] | None:
    """Return ``count`` numbers, None when there are fewer; of a byte each only where the bits and the length fit."""
    try:
        data: Any = item.get("LUTData")
        if isinstance(data, bytes):
            narrow = bits <= 8 and len(data) == count + count % 2
            data = np.frombuffer(data, "u1" if narrow else f"{'<' if little else '>'}u2", count)
        entries = np.asarray(data, dtype=np.int64).ravel()[:count] % _WORD
    except Exception:  # too few bytes, or whatever pydicom finds wrong with the element
        return None
    return entries if len(entries) == count else None


def list_broken_tables(head: Dataset) -> list[str]:
    """Name the sequences of tables that hold one which cannot be read."""
    return [
        keyword
        for keyword in ("ModalityLUTSequence", "VOILUTSequence")
        if any(read_table(item, head) is None for item in read_items(head, keyword))
    ]
