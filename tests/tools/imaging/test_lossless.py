"""Lossless JPEG in DICOM: every predictor, and streams that are broken."""

import itertools
import struct

import numpy as np
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGLossless, JPEGLosslessSV1
from support.image_fixtures import COLOUR, GREY, write_dicom

from ibisagent.tools.errors import InputError
from ibisagent.tools.imaging.dicom.lossless import decode
from ibisagent.tools.imaging.open_image import open_image

WALK = np.random.default_rng(0).normal(0, 40, (23, 31)).cumsum(axis=1).cumsum(axis=0)


def predicted(x, row, column, predictor, start, first):
    """The prediction of one sample (ITU-T T.81, table H.1)."""
    if row == first:
        return x[row][column - 1] if column else start
    if not column:
        return x[row - 1][0]
    a, b, c = x[row][column - 1], x[row - 1][column], x[row - 1][column - 1]
    return (a, b, c, a + b - c, a + ((b - c) >> 1), b + ((a - c) >> 1), (a + b) >> 1)[predictor - 1]


def bits_of(difference):
    """Category and further bits of a difference, each category as a code of 5 bits."""
    difference = (difference + 32768) % 65536 - 32768
    if difference == -32768:
        return f"{16:05b}"
    category = abs(difference).bit_length()
    value = difference if difference > 0 else difference + (1 << category) - 1
    return f"{category:05b}" + (f"{value:0{category}b}" if category else "")


def segment(marker, body):
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


def scan(planes, numbers, predictor, shift, precision, rows_a_restart):
    height, width = planes[0].shape
    coded = b""
    for count, first in enumerate(range(0, height, rows_a_restart)):
        told = "".join(
            bits_of(x[row][column] - predicted(x, row, column, predictor, 1 << (precision - shift - 1), first))
            for row, column in itertools.product(range(first, min(first + rows_a_restart, height)), range(width))
            for x in planes
        )
        told += "1" * (-len(told) % 8)
        content = int(told, 2).to_bytes(len(told) // 8).replace(b"\xff", b"\xff\0")
        coded += (bytes([0xFF, 0xD0 + (count - 1) % 8]) if count else b"") + content
    head = bytes([len(planes), *(part for number in numbers for part in (number, 0x10)), predictor, 0, shift])
    return segment(0xDA, head) + coded


def jpeg(samples, predictor=1, precision=16, shift=0, rows_a_restart=None, interleaved=True):
    """Write (rows, columns, components) as one scan, or one a component."""
    height, width, count = samples.shape
    planes = [np.array(samples[..., component].astype(int) >> shift).tolist() for component in range(count)]
    arrays = [np.array(plane, dtype=object) for plane in planes]
    frame = bytes([precision, *struct.pack(">HH", height, width), count])
    frame += bytes(part for number in range(count) for part in (number + 1, 0x11, 0))
    table = bytes([0x01, 0, 0, 0, 0, 17, *[0] * 11, *range(17)])
    out = b"\xff\xd8" + segment(0xC3, frame) + segment(0xC4, table)
    if rows_a_restart:
        out += segment(0xDD, struct.pack(">H", rows_a_restart * width))
    groups = [range(count)] if interleaved else [[number] for number in range(count)]
    for group in groups:
        some = [arrays[number] for number in group]
        numbers = [number + 1 for number in group]
        out += scan(some, numbers, predictor, shift, precision, rows_a_restart or height)
    return out + b"\xff\xd9"


@pytest.mark.parametrize("predictor", range(1, 8))
@pytest.mark.parametrize("precision", [8, 12, 16])
@pytest.mark.parametrize("rows_a_restart", [None, 5])
def test_every_predictor_comes_back(predictor, precision, rows_a_restart):
    samples = (WALK.astype(int) % (1 << precision))[..., None]
    decoded = decode(jpeg(samples, predictor, precision, 0, rows_a_restart), WALK.shape)
    assert np.array_equal(decoded, samples)
    assert decoded.dtype == (np.uint8 if precision == 8 else np.uint16)


@pytest.mark.parametrize("interleaved", [True, False])
@pytest.mark.parametrize("predictor", [1, 4])
def test_colours_come_in_one_scan_or_three(interleaved, predictor):
    assert np.array_equal(decode(jpeg(COLOUR, predictor, 8, interleaved=interleaved), COLOUR.shape[:2]), COLOUR)


def test_shifted_samples_lose_their_lowest_bits():
    samples = GREY[..., None].astype(int) * 9
    assert np.array_equal(decode(jpeg(samples, 1, 12, shift=2), GREY.shape), samples >> 2 << 2)


def test_long_streams_are_decoded_in_pieces():
    samples = np.random.default_rng(1).integers(0, 2**16, (300, 400, 1))
    assert np.array_equal(decode(jpeg(samples, 2), (300, 400)), samples)


@pytest.mark.parametrize("syntax", [JPEGLossless, JPEGLosslessSV1])
def test_signed_pixels_of_a_file(tmp_path, syntax):
    stored = (GREY.astype(np.int16) - 100) * 7
    content = encapsulate([jpeg((stored % 4096)[..., None], 1, 12)])
    elements = {"PixelData": content, "BitsStored": 12, "HighBit": 11, "RescaleSlope": 1, "RescaleIntercept": 5}
    image = open_image(write_dicom(tmp_path / "a", stored, syntax=syntax, **elements))
    assert np.array_equal(image.values, stored + 5)


def test_frames_of_a_file(tmp_path):
    frames = np.stack([GREY, GREY[::-1], 255 - GREY])
    content = encapsulate([jpeg(frame[..., None], 1, 8) for frame in frames])
    path = write_dicom(tmp_path / "a", frames, syntax=JPEGLosslessSV1, PixelData=content, NumberOfFrames=3)
    assert [np.array_equal(open_image(path, slice=str(n)).pixels, frames[n]) for n in range(3)] == [True] * 3


def refusal(path):
    try:
        open_image(path)
    except InputError as error:
        return str(error)


def test_broken_streams_are_refused_in_one_line(tmp_path, capfd):
    whole, random = jpeg(GREY[..., None], 1, 8), np.random.default_rng(2)
    broken = [whole[:length] for length in range(0, len(whole), 3)]
    broken += [jpeg(GREY[:, 1:, None], 1, 8), whole.replace(b"\xff\xc3", b"\xff\xc1"), whole[:2] + whole[40:]]
    for _ in range(300):
        content = bytearray(whole)
        for place in random.integers(2, len(whole), 3):
            content[place] = random.integers(256)
        broken.append(bytes(content))
    refused = 0
    for content in broken:
        path = write_dicom(
            tmp_path / "a.dcm", GREY, syntax=JPEGLosslessSV1, PixelData=encapsulate([content or b"\0\0"])
        )
        told = refusal(path)
        refused += told is not None
        assert told is None or told.startswith("a.dcm: got data that cannot be decoded")
    assert refused > 100
    assert capfd.readouterr() == ("", "")
