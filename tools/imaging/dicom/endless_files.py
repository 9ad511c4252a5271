"""What is refused of a DICOM file before pydicom reads it: files that it would read or unpack without end."""

import io
import struct
import zlib
from typing import BinaryIO

from pydicom.uid import DeflatedExplicitVRLittleEndian

from ibisagent.tools.errors import InputError

__all__ = ["EXPECTED", "MAX_ELEMENTS", "require_readable", "too_many_elements"]

EXPECTED = "a whole DICOM image"
MAX_ELEMENTS = 2**14
"""Of a file's meta header, and of its header before the pixels; those inside sequences are not counted."""

_LONG_VRS = {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"}
_MAX_INFLATED = 2**28  # of a deflated data set, which pydicom unpacks at once
_CHUNK = 2**20


def require_readable(file: BinaryIO, name: str) -> None:
    """Raise `InputError` for a file, at its beginning, that is no DICOM or has no end; leave it at its beginning."""
    _require_data_set(file, name)
    _require_short_meta(file, name)
    _require_inflatable(file, name)


def too_many_elements(name: str) -> InputError:
    """Return the error for a file with more elements than a picture has."""
    return InputError(f"{name}: got over {MAX_ELEMENTS:,} elements, expected {EXPECTED}; check its kind")


def _require_data_set(file: BinaryIO, name: str) -> None:
    """Refuse what begins as a network command does, in group 0000: zeros, which pydicom reads for minutes."""
    head = file.read(134)
    file.seek(0)
    if (head[132:134] if head[128:132] == b"DICM" else head[:2]) == bytes(2):
        raise InputError(f"{name}: got a file without DICOM elements, expected {EXPECTED}; check its kind")


def _require_short_meta(file: BinaryIO, name: str) -> None:
    """Refuse endless elements of group 0002, in which pydicom stops at nothing: it would read them for minutes."""
    head = file.read(132)
    file.seek(132 if head[128:] == b"DICM" else 0)
    for _ in range(MAX_ELEMENTS):
        element = file.read(8)
        if len(element) < 8 or element[:2] != b"\x02\x00":
            break
        vr, size = element[4:6], int.from_bytes(element[6:], "little")
        if vr in _LONG_VRS:
            size = int.from_bytes(file.read(4), "little")
        elif not vr.isalpha():  # implicit, which pydicom takes there as well
            size = int.from_bytes(element[4:], "little")
        file.seek(size, io.SEEK_CUR)
    else:
        raise too_many_elements(name)
    file.seek(0)


def _require_inflatable(file: BinaryIO, name: str) -> None:
    """Refuse a deflated data set that inflates without bound, which pydicom would hold in memory."""
    head = file.read(1024)
    file.seek(0)
    if head[128:132] != b"DICM" or DeflatedExplicitVRLittleEndian.encode() not in head:
        return
    file.seek(144 + struct.unpack_from("<I", head, 140)[0])  # (0002,0000), the length of the file meta group
    inflating, size = zlib.decompressobj(-zlib.MAX_WBITS), 0
    while not inflating.eof and (packed := inflating.unconsumed_tail or file.read(_CHUNK)):
        size += len(inflating.decompress(packed, _CHUNK))
        if size > _MAX_INFLATED:
            raise InputError(f"{name}: got a deflated file of over 256 MiB, expected {EXPECTED}; save it plain")
    file.seek(0)
