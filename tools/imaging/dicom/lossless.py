"""Lossless JPEG as DICOM has it: Huffman coding, predictors 1 to 7 (ITU-T T.81, annex H; process 14).

Why our own decoder: pylibjpeg-libjpeg is under the GPL, and GDCM ends the process on damaged files. The length of the
code at every bit is looked up for all bits at once, so that only the step from code to code is a loop in Python.
"""

import re
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from pydicom.pixels.decoders.base import Decoder, DecodeRunner
from pydicom.uid import UID, JPEGLossless, JPEGLosslessSV1

__all__ = ["DECODER_DEPENDENCIES", "build_decoder", "decode", "decode_frame", "is_available"]

DECODER_DEPENDENCIES: dict[UID, tuple[str, ...]] = {JPEGLossless: (), JPEGLosslessSV1: ()}

_SOF3, _DHT, _SOS, _DRI, _EOI = 0xC3, 0xC4, 0xDA, 0xDD, 0xD9
_FRAMES = {*range(0xC0, 0xD0)} - {_DHT, 0xC8, 0xCC}
_CHUNK = 2**16  # bytes whose bits are looked up at once
_MARGIN = 64  # bytes of look-ahead past a chunk
_RESTART = re.compile(rb"\xff+[\xd0-\xd7]")
_END = re.compile(rb"\xff+[^\x00\xff\xd0-\xd7]")
_NO_CODE = 31 << 5 | 1  # moves on by one bit, and is found out


@dataclass
class _Stream:
    """The state after the markers of one picture read so far; ``planes``: the decoded components by their number."""

    tables: dict[int, NDArray[np.uint16]] = field(default_factory=dict)
    restart: int = 0
    precision: int = 0
    shape: tuple[int, int] = (0, 0)
    components: list[int] = field(default_factory=list)
    planes: dict[int, NDArray[np.int64]] = field(default_factory=dict)


def is_available(uid: str) -> bool:
    """Whether a transfer syntax is decoded here; pydicom calls it."""
    return uid in DECODER_DEPENDENCIES


def build_decoder(syntax: UID) -> Decoder | None:
    """Return a decoder of pydicom's kind for a lossless JPEG syntax, None for another; pydicom's own are left alone."""
    if syntax not in DECODER_DEPENDENCIES:
        return None
    decoder = Decoder(syntax)
    decoder.add_plugin("ibisagent", (__name__, "decode_frame"))
    return decoder


def decode_frame(content: bytes, runner: DecodeRunner) -> bytes:
    """Decode a frame for pydicom."""
    samples = decode(content, (runner.rows, runner.columns))
    runner.set_option("bits_allocated", samples.dtype.itemsize * 8)
    runner.set_option("planar_configuration", 0)
    return samples.tobytes()


def decode(content: bytes, expected: tuple[int, int]) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Decode to (rows, columns, components), unsigned; `ValueError` for what is broken or not of the expected size."""
    stream, at = _Stream(), 2
    while content[at : at + 1] == b"\xff":
        marker, length = content[at + 1], int.from_bytes(content[at + 2 : at + 4])
        body = content[at + 4 : at + 2 + length]
        at += 1 if marker == 0xFF else 2 + length
        if marker == _EOI:
            break
        if marker == _DHT:
            _read_tables(body, stream)
        elif marker == _DRI:
            stream.restart = int.from_bytes(body)
        elif marker in _FRAMES:
            _read_frame(marker, body, stream, expected)
        elif marker == _SOS:
            end = found.start() if (found := _END.search(content, at)) else len(content)
            _read_scan(body, content[at:end], stream)
            at = end
    if not stream.components or set(stream.planes) != set(stream.components):
        raise ValueError("no whole picture")
    samples = np.stack([stream.planes[component] for component in stream.components], axis=-1)
    return samples.astype(np.uint8) if stream.precision <= 8 else samples.astype(np.uint16)


def _read_frame(marker: int, body: bytes, stream: _Stream, expected: tuple[int, int]) -> None:
    stream.precision, stream.shape = body[0], (int.from_bytes(body[1:3]), int.from_bytes(body[3:5]))
    stream.components = list(body[6 : 6 + 3 * body[5] : 3])
    sampling = set(body[7 : 7 + 3 * body[5] : 3])
    if marker != _SOF3 or stream.shape != expected or sampling != {0x11} or not 2 <= stream.precision <= 16:
        raise ValueError("not a lossless picture of this size, sampled alike in all components")


def _read_tables(body: bytes, stream: _Stream) -> None:
    """Read Huffman tables into look-ups of 16 bits: category << 5 | length of the code."""
    while len(body) > 16:
        counts, number = body[1:17], body[0]
        symbols, body = body[17 : 17 + sum(counts)], body[17 + sum(counts) :]
        table, code, used = np.full(2**16, _NO_CODE, dtype=np.uint16), 0, 0
        for length, count in enumerate(counts, 1):
            for symbol in symbols[used : used + count]:
                first = code << (16 - length)
                table[first : first + (1 << (16 - length))] = min(symbol, 31) << 5 | length
                code += 1
            used, code = used + count, code << 1
        stream.tables[number & 15] = table


def _read_scan(head: bytes, coded: bytes, stream: _Stream) -> None:
    components = list(head[1 : 1 + 2 * head[0] : 2])
    tables = [stream.tables[number >> 4] for number in head[2 : 2 + 2 * head[0] : 2]]
    predictor, shift = head[-3], head[-1] & 15
    rows, columns = stream.shape
    step = stream.restart // columns if stream.restart else rows
    if not 1 <= predictor <= 7 or not components or step < 1 or (stream.restart and stream.restart % columns):
        raise ValueError("no lossless scan")
    parts = _RESTART.split(coded) if stream.restart else [coded]
    pieces = []
    for begin, part in zip(range(0, rows, step), parts, strict=True):
        height = min(step, rows - begin)
        flat = _decode_differences(part.replace(b"\xff\x00", b"\xff"), tables, height * columns * len(tables))
        pieces.append(flat.reshape(height, columns, len(tables)))
    for place, component in enumerate(components):
        start = 1 << (stream.precision - shift - 1)
        grown = [_undo_prediction(piece[..., place], predictor, start) for piece in pieces]
        stream.planes[component] = np.concatenate(grown) << shift


def _decode_differences(coded: bytes, tables: list[NDArray[np.uint16]], count: int) -> NDArray[np.int64]:
    """Decode ``count`` differences; the tables alternate."""
    padded = np.frombuffer(coded + b"\xff" * (_MARGIN + 8), dtype=np.uint8)
    starts = _find_code_starts(padded, len(coded), tables, count)
    if len(starts) < count or starts[-1] >= len(coded) * 8:
        raise ValueError("cut short")
    windows = _gather_windows(padded, starts >> 3) >> (8 - (starts & 7)) & 0xFFFFFFFF
    entries = np.empty(count, dtype=np.int64)
    for turn, table in enumerate(tables):
        entries[turn :: len(tables)] = table[windows[turn :: len(tables)] >> 16]
    lengths, categories = entries & 31, entries >> 5
    if categories.max(initial=0) > 16:
        raise ValueError("no such code")
    bits = (windows << lengths & 0xFFFFFFFF) >> (32 - np.minimum(categories, 15))
    values = np.where(bits >> np.maximum(categories - 1, 0) & 1, bits, bits - (1 << categories) + 1)
    return np.where(categories == 0, 0, np.where(categories == 16, 32768, values))


def _gather_windows(padded: NDArray[np.uint8], places: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the 40 bits that begin at each byte."""
    windows = np.zeros(places.shape, dtype=np.int64)
    for further in range(5):
        windows = windows << 8 | padded[places + further]
    return windows


def _find_code_starts(
    padded: NDArray[np.uint8], size: int, tables: list[NDArray[np.uint16]], count: int
) -> NDArray[np.int64]:
    """Return the bits at which the codes begin."""
    found: list[NDArray[np.int64]] = []
    at, held = 0, 0
    for begin in range(0, size, _CHUNK):
        places = np.arange(begin, min(begin + _CHUNK + _MARGIN, len(padded) - 5), dtype=np.int64)
        windows = (_gather_windows(padded, places)[:, None] >> np.arange(24, 16, -1)) & 0xFFFF
        steps = [(entries & 31) + (entries >> 5) % 16 for entries in (table[windows.ravel()] for table in tables)]
        starts = _find_starts_in_chunk(
            at - begin * 8, min(_CHUNK, size - begin) * 8, [step.astype(np.uint8).tobytes() for step in steps]
        )
        at = begin * 8 + starts.pop()
        found.append(np.array(starts, dtype=np.int64) + begin * 8)
        held += len(starts)
        if held >= count:
            break
    return np.concatenate(found)[:count] if found else np.zeros(0, dtype=np.int64)


def _find_starts_in_chunk(at: int, end: int, steps: list[bytes]) -> list[int]:
    """List where codes begin before bit ``end``, whole turns of the tables at a time, and where the next one would."""
    starts: list[int] = []
    if len(steps) == 1:
        (only,) = steps
        while at < end:
            starts.append(at)
            at += only[at]
    while at < end:
        for one in steps:
            starts.append(at)
            at += one[at]
    return [*starts, at]


def _undo_prediction(differences: NDArray[np.int64], predictor: int, start: int) -> NDArray[np.int64]:
    """Undo the prediction of one component, row by row, modulo 2 to the 16."""
    samples = np.empty_like(differences)
    samples[0] = start + np.cumsum(differences[0])
    samples[0] &= 0xFFFF
    for row in range(1, len(samples)):
        above, change = samples[row - 1], differences[row]
        samples[row, 0] = above[0] + change[0]
        b, c = above[1:], above[:-1]
        if predictor in (2, 3):
            samples[row, 1:] = change[1:] + (b if predictor == 2 else c)
        elif predictor in (6, 7):
            samples[row] = _undo_row_prediction(above.tolist(), change.tolist(), predictor)
        else:
            slope = 0 if predictor == 1 else b - c if predictor == 4 else (b - c) >> 1
            samples[row, 1:] = samples[row, 0] + np.cumsum(change[1:] + slope)
        samples[row] &= 0xFFFF
    return samples


def _undo_row_prediction(above: list[int], change: list[int], predictor: int) -> list[int]:
    """Undo predictors 6 and 7, in which the sample before is halved."""
    left = (above[0] + change[0]) & 0xFFFF
    row = [left]
    for column in range(1, len(above)):
        b, c = above[column], above[column - 1]
        left = (change[column] + (b + ((left - c) >> 1) if predictor == 6 else (left + b) >> 1)) & 0xFFFF
        row.append(left)
    return row
