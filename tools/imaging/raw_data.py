"""Arrays behind a text header (NRRD, MetaImage): in the same file or in one beside it, plain or packed.

No size in a header is trusted: memory is allocated only for what the file can hold.
"""

import bz2
import math
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from ibisagent.tools.errors import InputError
from ibisagent.tools.files import printable_text, require_file
from ibisagent.tools.imaging.decoding import decode_guard

__all__ = ["RawData", "read_text_header", "resolve_data_file"]

_LONGEST = 2**20
_CHUNK = 2**20
_MAX_RATIO = {"raw": 1, "gzip": 1032, "bzip2": 2**20, "text": 1}  # bytes out of one byte in, at best
_EXPECTED = "a whole volume"


class _Unpacker(Protocol):
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class RawData:
    """Where an array is stored: ``skip`` bytes into ``path`` (before unpacking; -1: at its end), first axis fastest.

    ``encoding`` is raw, gzip (or zlib), bzip2 or text; ``lines`` of a packed or plain file are skipped before ``skip``.
    """

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    encoding: str = "raw"
    skip: int = 0
    lines: int = 0

    @property
    def nbytes(self) -> int:
        """Size of the unpacked array."""
        return math.prod(self.shape) * self.dtype.itemsize

    def require_whole(self) -> None:
        """Refuse with `InputError` a header that claims more than the file can hold, before memory is taken."""
        require_file(self.path)
        held = (self.path.stat().st_size - max(self.skip, 0)) * _MAX_RATIO[self.encoding]
        if (math.prod(self.shape) * 2 - 1 if self.encoding == "text" else self.nbytes) > held:
            got = f"got fewer voxels than {self.shape}"
            raise InputError(f"{printable_text(self.path.name)}: {got}, expected {_EXPECTED}; copy it again")

    def read(self) -> NDArray[np.generic]:
        """Decode the array; `InputError` where it is cut short or not what the header says."""
        self.require_whole()
        with decode_guard(printable_text(self.path.name), _EXPECTED), self.path.open("rb") as file:
            flat = (
                self._read_text(file) if self.encoding == "text" else np.frombuffer(self._read_bytes(file), self.dtype)
            )
            return flat.reshape(self.shape, order="F")

    def _read_bytes(self, file: BinaryIO) -> bytes:
        file.seek(-self.nbytes, 2) if self.skip < 0 else self._skip_to_start(file)
        if self.encoding == "raw":
            return file.read(self.nbytes)
        # 32: a gzip or a zlib header, whichever is there.
        unpacker: _Unpacker = zlib.decompressobj(32 + 15) if self.encoding == "gzip" else bz2.BZ2Decompressor()
        return _decompress(file, unpacker, self.nbytes)

    def _skip_to_start(self, file: BinaryIO) -> None:
        for _ in range(self.lines):
            file.readline(_LONGEST)
        file.seek(self.skip, 1)

    def _read_text(self, file: BinaryIO) -> NDArray[np.generic]:
        self._skip_to_start(file)
        return np.array(file.read().split(), dtype=np.float64).astype(self.dtype)


def _decompress(file: BinaryIO, unpacker: _Unpacker, size: int) -> bytes:
    out = bytearray()
    while len(out) < size and (packed := file.read(_CHUNK)):
        out += unpacker.decompress(packed, size - len(out))
    return bytes(out)


def resolve_data_file(header: Path, named: str) -> Path:
    """Return the one data file that a header names; nothing outside the header's own folder is opened."""
    if named != Path(named).name or named in ("", ".", "..", "LIST") or "%" in named:
        got = f"got a data file {printable_text(named)!r}"
        raise InputError(
            f"{printable_text(header.name)}: {got}, expected one beside the header; put it there and name it so"
        )
    return header.parent / named


def read_text_header(path: Path, ends: bytes) -> tuple[list[str], int]:
    """Read the lines up to and with the one that begins with ``ends`` (an empty one for b""); and their length."""
    lines: list[str] = []
    with path.open("rb") as file:
        while file.tell() < _LONGEST and (line := file.readline(_LONGEST)):
            stripped = line.strip()
            lines.append(stripped.decode("utf-8", "replace"))
            if (ends and stripped.startswith(ends)) or not (ends or stripped):
                break
        return lines, file.tell()
