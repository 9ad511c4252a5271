"""DICOM files, also inside zips: a header without the pixels, and one frame's pixels without the others."""

import io
import struct
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.filereader import read_partial
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.utils import iter_pixels, pixel_array
from pydicom.tag import BaseTag
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGExtended12Bit,
)

from ibisagent.tools.errors import InputError, install_hint
from ibisagent.tools.files import printable_text
from ibisagent.tools.imaging.decoding import decode_guard
from ibisagent.tools.imaging.dicom.elements import read_code, read_int, read_items
from ibisagent.tools.imaging.dicom.endless_files import EXPECTED, MAX_ELEMENTS, require_readable, too_many_elements
from ibisagent.tools.imaging.dicom.lossless import DECODER_DEPENDENCIES, build_decoder
from ibisagent.tools.imaging.grids import DicomSource

__all__ = [
    "EXPECTED",
    "SourceFiles",
    "decode_frames",
    "describe_uid",
    "is_counted",
    "list_members",
    "read_full_header",
    "read_header",
    "source_name",
]

_PIXELS = {0x7FE00008, 0x7FE00009, 0x7FE00010}
_INSTALL = f"run in a clone of ibisagent: {install_hint('medical')}, or decompress it"
_MAX_BYTES = 2**30  # of one file inside a zip
_MAX_MEMBERS = 2**16
_UNDEFINED = 2**32 - 1  # the length of encapsulated pixels (PS3.5 A.4)
_ITEM, _END = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"
_COUNTED = "UV"  # the representation of a number of frames that no file holds
_PADDED_BITS = 16  # fewer fill pixels up to an even number of bytes
_MAX_RATIO = 1032  # deflate packs no tighter
# Without GDCM, which may be installed: it ends the process on some broken files.
_PLUGINS = ("pydicom", "pylibjpeg", "pyjpegls", "pillow")


class SourceFiles:
    """A context in which sources can be opened; a zip's directory is read once, nothing is unpacked to the disk."""

    def __init__(self) -> None:
        """Open nothing yet."""
        self._stack = ExitStack()
        self._zips: dict[Path, zipfile.ZipFile] = {}

    def __enter__(self) -> "SourceFiles":
        """Enter the context."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the zips."""
        self._stack.close()

    def open(self, source: DicomSource) -> BinaryIO:
        """Return a seekable file, for the caller to close."""
        if source.member is None:
            return source.path.open("rb")
        archive = self._zip(source.path)
        info = archive.getinfo(source.member)
        if info.file_size > min(_MAX_BYTES, (info.compress_size + 1) * _MAX_RATIO):
            got = f"got a file of {info.file_size:,} bytes in it"
            raise InputError(f"{printable_text(source.path.name)}: {got}, expected at most 1 GiB; unpack it")
        member: Any = archive.open(info)
        return io.BufferedReader(member, 2**16)

    def _zip(self, path: Path) -> zipfile.ZipFile:
        if path not in self._zips:
            self._zips[path] = self._stack.enter_context(zipfile.ZipFile(path))
        return self._zips[path]


def list_members(path: Path) -> Iterator[DicomSource]:
    """Name the files inside a zip; `InputError` for one with absurdly many."""
    with zipfile.ZipFile(path) as archive:
        names = [info.filename for info in archive.infolist() if not info.is_dir()]
    if len(names) > _MAX_MEMBERS:
        raise InputError(
            f"{printable_text(path.name)}: got {len(names):,} files, expected at most {_MAX_MEMBERS:,}; split it"
        )
    return (DicomSource(path, 0, name) for name in names)


def source_name(source: DicomSource) -> str:
    """Name a source as it may stand in an error."""
    return printable_text(
        source.path.name if source.member is None else f"{source.path.name}/{Path(source.member).name}"
    )


def read_header(file: BinaryIO, name: str, tags: list[BaseTag | int] | None = None) -> tuple[Dataset, bool]:
    """Read the elements before the pixels, or only ``tags``, and whether pixels follow; no header is refused.

    A count of several frames is emptied where the pixels are those of one, so that it reads as missing and is noted. A
    count that is missing is that of the pixels (`is_counted`), where these are of several.
    """
    require_readable(file, name)
    reached, size, elements = False, 0, 0

    def at_pixels(tag: BaseTag, vr: str | None, length: int) -> bool:  # noqa: ARG001 - pydicom's signature
        nonlocal reached, size, elements
        reached, size, elements = tag in _PIXELS, length, elements + 1
        if elements > MAX_ELEMENTS:  # a file of zeros reads as one empty element after the other, for minutes
            raise too_many_elements(name)
        return reached

    dataset = read_partial(file, stop_when=at_pixels, specific_tags=tags, force=True)
    if reached and read_int(dataset, "NumberOfFrames", 1) > 1 and _holds_one_frame(file, dataset, size):
        dataset.NumberOfFrames = None
    elif reached and read_int(dataset, "NumberOfFrames") < 1 and (count := _count_frames(file, dataset, size)) > 1:
        dataset.add_new("NumberOfFrames", _COUNTED, count)
    return dataset, reached


def is_counted(head: Dataset) -> bool:
    """Whether the number of frames is that of the pixels, since the file does not say it."""
    return "NumberOfFrames" in head and bool(head["NumberOfFrames"].VR == _COUNTED)


def _count_frames(file: BinaryIO, dataset: Dataset, size: int) -> int:
    """Return how many frames the pixels that come next in a file are; 0 where that is not certain.

    Packed pixels of some number of fragments are certain only with as many items of the frames' own.
    """
    own = len(read_items(dataset, "PerFrameFunctionalGroupsSequence"))
    try:
        if size == _UNDEFINED:
            return own if own and own in _count_fragments(file) else 0
        count, rest = divmod(size * 8, _compute_frame_bits(dataset))
    except Exception:  # a header without these elements, or a file cut short
        return 0
    return count if own in (0, count) and rest < _PADDED_BITS else 0


def _count_fragments(file: BinaryIO) -> tuple[int, int]:
    """Return how many frames an offset table lists, and how many fragments follow it."""
    file.seek(12, io.SEEK_CUR)  # the element's own tag, representation and length
    sizes = []
    while (read := struct.unpack("<4sL", file.read(8)))[0] == _ITEM:
        sizes.append(read[1])
        file.seek(read[1], io.SEEK_CUR)
    return sizes[0] // 4, len(sizes) - 1


def _holds_one_frame(file: BinaryIO, dataset: Dataset, size: int) -> bool:
    """Whether the pixels that come next in a file, ``size`` bytes, are those of one frame."""
    try:
        if size == _UNDEFINED:
            return _has_one_fragment(file)
        frame_bits = _compute_frame_bits(dataset)
        return frame_bits <= size * 8 < 2 * frame_bits
    except Exception:  # a header without these elements, or a file cut short
        return False


def _compute_frame_bits(dataset: Dataset) -> int:
    samples = 2 if "422" in read_code(dataset, "PhotometricInterpretation") else int(dataset.SamplesPerPixel)
    return int(dataset.Rows) * int(dataset.Columns) * samples * int(dataset.BitsAllocated)


def _has_one_fragment(file: BinaryIO) -> bool:
    file.seek(12, io.SEEK_CUR)  # the element's own tag, representation and length
    for _ in ("the offset table", "a fragment"):
        tag, size = struct.unpack("<4sL", file.read(8))
        if tag != _ITEM:
            return False
        file.seek(size, io.SEEK_CUR)
    return file.read(4) == _END


def read_full_header(source: DicomSource) -> Dataset:
    """Read the whole header of a source's file, without its pixels; `InputError` when it cannot be read."""
    with decode_guard(source_name(source), EXPECTED), SourceFiles() as files, files.open(source) as file:
        return read_header(file, source_name(source))[0]


def describe_uid(uid: object) -> str:
    """Name a registered UID; any other text in the file is not repeated."""
    registered = UID(str(uid)).name if uid else ""
    return "a DICOM file" if registered in ("", str(uid)) else registered


def decode_frames(file: BinaryIO, dataset: Dataset, indices: list[int], name: str) -> Iterator[NDArray[Any]]:
    """Decode some frames to (rows, columns) or (rows, columns, 3) stored values, one at a time; YBR comes as RGB."""
    syntax = _find_transfer_syntax(dataset)
    plugin = _choose_plugin(syntax, dataset, name)
    remedy = f"check that it was copied whole, or {_INSTALL}" if syntax.is_compressed else "check its copy"
    with decode_guard(name, f"whole pixel data ({describe_uid(syntax)})", remedy):
        file.seek(0)
        options: dict[str, Any] = {"transfer_syntax_uid": syntax, "decoding_plugin": plugin}
        own = build_decoder(syntax)
        if own is not None:
            read = _read_whole(file, dataset, syntax)
            yield from (own.as_array(read, index=index)[0] for index in indices)
        elif read_code(dataset, "PhotometricInterpretation") == "YBR_PARTIAL_422":
            yield from (_decode_partial_range(file, index, options) for index in indices)
        elif not _has_frames(dataset) or syntax == DeflatedExplicitVRLittleEndian:
            read = _read_whole(file, dataset, syntax)
            yield from (pixel_array(read, index=index, decoding_plugin=plugin) for index in indices)
        else:
            yield from iter_pixels(file, indices=indices, **options)


def _has_frames(dataset: Dataset) -> bool:
    """Whether a file has several frames, and says so as pydicom expects it."""
    return read_int(dataset, "NumberOfFrames", 1) > 1 and dataset["NumberOfFrames"].VR == "IS"


def _read_whole(file: BinaryIO, dataset: Dataset, syntax: UID) -> Dataset:
    """Read a file with its pixels, also where its elements are out of order; its count of frames can be used."""
    read = dcmread(file, force=True)
    read.file_meta.TransferSyntaxUID = syntax
    read.pop("NumberOfFrames", None)
    read.NumberOfFrames = read_int(dataset, "NumberOfFrames", 1)
    return read


def _choose_plugin(syntax: UID, dataset: Dataset, name: str) -> str:
    """Name the decoder to use, empty for pixels that need none; `InputError` where none is installed."""
    kind = describe_uid(syntax)
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        raise InputError(f"{name}: got {kind}, expected a picture's compression; decompress it") from None
    if syntax == JPEGExtended12Bit and int(dataset.get("BitsAllocated") or 8) > 8:
        got = f"got {kind} of more than 8 bits"
        raise InputError(f"{name}: {got}, expected a compression with a free decoder; decompress it")
    plugin = next((plugin for plugin in _PLUGINS if plugin in decoder.available_plugins), "")
    if syntax.is_encapsulated and not plugin and syntax not in DECODER_DEPENDENCIES:
        raise InputError(f"{name}: got {kind}, expected a compression with an installed decoder; {_INSTALL}")
    return plugin


def _decode_partial_range(file: BinaryIO, index: int, options: dict[str, Any]) -> NDArray[np.uint8]:
    """Decode the studio range of ITU-R BT.601 (Y from 16 to 235, C from 16 to 240), which pydicom leaves as it is."""
    full = pixel_array(file, index=index, raw=True, photometric_interpretation="YBR_FULL_422", **options)
    ybr = full.astype(np.float64) - (16, 128, 128)
    to_rgb = np.array([[1, 0, 1.402], [1, -0.344136, -0.714136], [1, 1.772, 0]]) * (255 / 219, 255 / 224, 255 / 224)
    return np.floor(np.clip(ybr @ to_rgb.T, 0, 255) + 0.5).astype(np.uint8)


def _find_transfer_syntax(dataset: Dataset) -> UID:
    """Return the file's transfer syntax; one without a meta header gets the one that it was parsed by."""
    syntax = dataset.file_meta.get("TransferSyntaxUID")
    if syntax is None:
        implicit, little = dataset.original_encoding
        explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        return ImplicitVRLittleEndian if implicit else explicit
    return UID(syntax)
