"""Files that are broken or lie, and the boundary to the decoders."""

import gzip
import io
import logging
import struct
import threading
import warnings
import zipfile
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image
from pydicom.data import get_testdata_file
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    JPEGLSLossless,
    RTStructureSetStorage,
)
from support.image_fixtures import AFFINE, GREY, write_dicom, write_nifti, write_png

from ibisagent.tools.errors import InputError
from ibisagent.tools.imaging.decoding import MAX_PIXELS, decode_guard
from ibisagent.tools.imaging.medical_image import MedicalImage
from ibisagent.tools.imaging.open_image import open_image


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_header(width, height):
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return start + chunk(b"IDAT", zlib.compress(b"\0" * 10)) + chunk(b"IEND", b"")


def nifti_header(shape, dtype=np.int16):
    header = nib.Nifti1Header()
    header.set_data_dtype(dtype)
    header.set_data_shape(shape)
    header["magic"], header["vox_offset"] = b"n+1", 352
    header["srow_x"], header["srow_y"], header["srow_z"], header["sform_code"] = *AFFINE[:3], 1
    return header.binaryblock + b"\0" * 4


def half(content):
    return content[: len(content) // 2]


def encoded(array, kind, **options):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, kind, **options)
    return buffer.getvalue()


def saved(writer, folder, name, *arguments, **options):
    return writer(folder / name, *arguments, **options).read_bytes()


def zipped(*contents):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, content in enumerate(contents):
            archive.writestr(f"{number}.dcm", content)
    return buffer.getvalue()


def claiming(content):
    """Let a zip's only file claim two gigabytes."""
    return zipped(content).replace(struct.pack("<I", len(content)), struct.pack("<I", 2**31))


def deflated(folder, blocks):
    """Begin a deflated DICOM file that inflates to ``blocks`` MiB."""
    plain = saved(write_dicom, folder, "b", GREY[:, :6])
    head = plain[: 144 + struct.unpack_from("<I", plain, 140)[0]]
    syntax, wanted = (uid.encode() + b"\0" for uid in (ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian))
    more = len(wanted) - len(syntax)
    (length,) = struct.unpack_from("<I", head, 140)
    head = head[:140] + struct.pack("<I", length + more) + head[144:]
    field = b"UI" + struct.pack("<H", len(syntax)) + syntax
    head = head.replace(field, b"UI" + struct.pack("<H", len(wanted)) + wanted)
    squeeze = zlib.compressobj(wbits=-15)
    block = squeeze.compress(bytes(2**20)) + squeeze.flush(zlib.Z_FULL_FLUSH)
    return head + block * blocks


def endless_meta(element, start=bytes(128) + b"DICM"):
    """A file whose meta header, group 0002, goes on; without a preamble where ``start`` is empty."""
    return start + element * 20_000


NOISE = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
HOSTILE = {
    "empty.png": lambda folder: b"",
    "empty.nii.gz": lambda folder: b"",
    "text.dcm": lambda folder: b"Dear colleague,\nplease find enclosed\n" * 20,
    "text.png": lambda folder: b"no picture",
    "text.nii": lambda folder: b"no volume" * 100,
    "text.nii.gz": lambda folder: b"no volume" * 100,
    "text.xyz": lambda folder: b"what is this",
    "short.dcm": lambda folder: b"\0" * 128 + b"DICM",
    "half.png": lambda folder: half(encoded(NOISE, "PNG")),
    "half.jpg": lambda folder: half(encoded(NOISE, "JPEG")),
    "half.gif": lambda folder: half(encoded(NOISE, "GIF")),
    "half.bmp": lambda folder: half(encoded(NOISE, "BMP")),
    "half.tif": lambda folder: half(encoded(NOISE, "TIFF")),
    "half_lzw.tif": lambda folder: half(encoded(NOISE, "TIFF", compression="tiff_lzw")),
    "half.dcm": lambda folder: half(saved(write_dicom, folder, "b", NOISE.astype(np.int16))),
    "half.nii": lambda folder: half(saved(write_nifti, folder, "b.nii")),
    "half.nii.gz": lambda folder: half(saved(write_nifti, folder, "b.nii.gz")),
    "head.nii": lambda folder: saved(write_nifti, folder, "b.nii")[:100],
    "rubbish.png": lambda folder: b"\x89PNG\r\n\x1a\n" + bytes(range(256)),
    "rubbish.jpg": lambda folder: b"\xff\xd8\xff" + bytes(range(256)),
    "rubbish.tif": lambda folder: b"II*\0" + bytes(range(256)),
    "huge.png": lambda folder: png_header(60_000, 60_000),
    "large.png": lambda folder: png_header(10_000, 10_000),
    "zero.png": lambda folder: png_header(0, 10),
    "huge.dcm": lambda folder: saved(write_dicom, folder, "b", GREY[:, :6], Rows=60_000, Columns=60_000),
    "zero.dcm": lambda folder: saved(write_dicom, folder, "b", GREY[:, :6], Rows=0),
    "no_pixels.dcm": lambda folder: saved(
        write_dicom, folder, "b", GREY[:, :6], PixelData=None, SOPClassUID=RTStructureSetStorage
    ),
    "no_rows.dcm": lambda folder: saved(write_dicom, folder, "b", GREY[:, :6], Rows=None),
    "jpegls.dcm": lambda folder: saved(write_dicom, folder, "b", GREY[:, :6]).replace(
        ExplicitVRLittleEndian.encode() + b"\0", JPEGLSLossless.encode()[: len(ExplicitVRLittleEndian) + 1]
    ),
    "huge.nii.gz": lambda folder: gzip.compress(nifti_header((30_000, 30_000, 30_000))),
    "claims.nii.gz": lambda folder: gzip.compress(nifti_header((1000, 1000, 1000))),
    "claims.nii": lambda folder: nifti_header((1000, 1000, 1000)),
    "flat.nii.gz": lambda folder: gzip.compress(nifti_header((30_000, 30_000, 1), np.uint8)),
    "5d.nii": lambda folder: saved(write_nifti, folder, "b.nii", volume=np.zeros((2, 2, 2, 1, 3), np.int16)),
    "half.webp": lambda folder: half(encoded(NOISE, "WEBP", lossless=True)),
    "rubbish.webp": lambda folder: b"RIFF\xff\0\0\0WEBPVP8 " + bytes(range(256)),
    "half.zip": lambda folder: half(zipped(saved(write_dicom, folder, "b", NOISE.astype(np.int16)))),
    "empty.zip": lambda folder: zipped(),
    "text.zip": lambda folder: zipped(b"Dear colleague"),
    "rubbish.zip": lambda folder: b"PK\3\4" + bytes(range(256)),
    "claims.zip": lambda folder: claiming(saved(write_dicom, folder, "b", GREY[:, :6])),
    "halves.zip": lambda folder: zipped(half(saved(write_dicom, folder, "b", NOISE.astype(np.int16)))),
    "inflated.dcm": lambda folder: deflated(folder, 300),
    "cut_inflated.dcm": lambda folder: deflated(folder, 1),
    "meta.dcm": lambda folder: endless_meta(b"\2\0\x10\0UI\0\0"),
    "bare_meta.dcm": lambda folder: endless_meta(b"\2\0\x10\0UI\2\0" + b"1\0", b""),
    "long_meta.dcm": lambda folder: endless_meta(b"\2\0\2\1OB\0\0\4\0\0\0" + b"abcd"),
    "implicit_meta.dcm": lambda folder: endless_meta(b"\2\0\x10\0\4\0\0\0" + b"abcd"),
    "meta.zip": lambda folder: zipped(endless_meta(b"\2\0\x10\0UI\0\0")),
    "complex.nii": lambda folder: saved(write_nifti, folder, "b.nii", volume=np.zeros((2, 2, 2), np.complex64)),
    "colour.nii": lambda folder: saved(
        write_nifti, folder, "b.nii", volume=np.zeros((2, 2, 2), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    ),
    "singular.nii": lambda folder: saved(write_nifti, folder, "b.nii")[:280] + b"\0" * 48 + b"\0" * 1000,
}


def refusal(source, **options):
    """Open what cannot be opened; give the line that says so."""
    with pytest.raises(InputError) as caught:
        open_image(source, **options)
    text = str(caught.value)
    assert text.isprintable()
    assert "got" in text
    assert "expected" in text
    assert "Jane" not in text
    return text


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_file_is_refused_in_one_line(tmp_path, name, capfd, caplog):
    path = tmp_path / name
    path.write_bytes(HOSTILE[name](tmp_path))
    with caplog.at_level(logging.WARNING):
        assert name in refusal(path)
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("huge.png", f"60000 x 60000 pixels, expected at most {MAX_PIXELS:,}"),
        ("no_pixels.dcm", "RT Structure Set Storage without pixel data"),
        ("5d.nii", r"5-D data of \(2, 2, 2, 1, 3\)"),
        ("inflated.dcm", "over 256 MiB"),
        *((f"{kind}meta.dcm", "over 16,384 elements") for kind in ("", "bare_", "long_", "implicit_")),
        ("empty.zip", "without DICOM pictures, expected"),
        ("claims.zip", r"without DICOM pictures \(1 files cannot be read\)"),
        ("huge.nii.gz", "4 GiB"),
    ],
)
def test_refusal_says_what_is_wrong(tmp_path, name, says):
    (tmp_path / name).write_bytes(HOSTILE[name](tmp_path))
    with pytest.raises(InputError, match=says):
        open_image(tmp_path / name)


def test_missing_decoder_names_the_compression_and_the_extra():
    path = get_testdata_file("MR_small_jpeg_ls_lossless.dcm")
    if get_decoder(JPEGLSLossless).is_available:
        assert open_image(path).shape == (64, 64)
        return
    with pytest.raises(InputError, match=r"JPEG-LS Lossless.*\.\[medical\]"):
        open_image(path)


@pytest.mark.parametrize(
    "source",
    [
        "http://example.org/a.png",
        "HTTPS://example.org/a.png",
        "s3://bucket/a.png",
        "file://elsewhere/a.png",
        "file://[a/a.png",
        "~nobody/a.png",
        "data:image/png;base64,!!!!",
        "data:image/png,abc",
        "data:text/plain;base64,aGVsbG8=",
        "data:",
        "no/such\nfile.png",
        "a\0b.png",
        "x" * 5000,
        "",
        "/dev/zero",
    ],
)
def test_wrong_address_is_refused_in_one_line(source):
    assert len(refusal(source)) < 400


@pytest.mark.parametrize("source", [None, 3, b"\x89PNG", ["a.png"]])
def test_wrong_kind_of_source_is_refused(source):
    refusal(source)


def test_folder_and_forbidden_file_are_refused(tmp_path):
    assert "folder" in refusal(tmp_path)
    path = write_png(GREY, tmp_path / "a.png")
    path.chmod(0)
    try:
        path.open("rb").close()
    except PermissionError:
        assert "permission" in refusal(path)


def test_large_picture_object_is_refused():
    picture = Image.new("1", (10_000, 10_000))
    assert "10000 x 10000" in refusal(picture)


# The boundary to the decoders


def test_warnings_are_back_after_overlapping_decoders():
    entered, leave = threading.Event(), threading.Event()

    def other():
        with decode_guard("b", "a picture"):
            entered.set()
            leave.wait(5)
            warnings.warn("held back", stacklevel=1)

    before = warnings.filters[:]
    with decode_guard("a", "a picture"):
        thread = threading.Thread(target=other)
        thread.start()
        entered.wait(5)
    leave.set()
    thread.join()
    assert warnings.filters[:] == before


def test_our_own_log_lines_pass_while_another_thread_decodes(caplog):
    entered, leave = threading.Event(), threading.Event()

    def other():
        with decode_guard("b", "a picture"):
            logging.getLogger("pydicom").warning("held back")
            entered.set()
            leave.wait(5)

    thread = threading.Thread(target=other)
    thread.start()
    entered.wait(5)
    logging.getLogger("pydicom").warning("let through")
    leave.set()
    thread.join()
    assert caplog.messages == ["let through"]


def test_image_survives_pickling(tmp_path):
    import pickle

    image = open_image(write_nifti(tmp_path / "a.nii"))
    again = pickle.loads(pickle.dumps(image))
    assert isinstance(again, MedicalImage)
    assert again.sha == image.sha
    assert Path(again.uri) == tmp_path / "a.nii"


@pytest.mark.parametrize("name", ["a.dcm", "b.nii", "c.tif", "d.webp", "e.zip"])
def test_random_damage_is_read_or_refused(tmp_path, name):
    whole = {
        "a.dcm": lambda: saved(
            write_dicom, tmp_path, "x", NOISE.astype(np.int16), WindowCenter=[1, 2], PixelSpacing=[1, 1]
        ),
        "b.nii": lambda: saved(write_nifti, tmp_path, "x.nii"),
        "c.tif": lambda: encoded(NOISE, "TIFF", compression="tiff_lzw"),
        "d.webp": lambda: encoded(NOISE, "WEBP"),
        "e.zip": lambda: zipped(saved(write_dicom, tmp_path, "x", NOISE.astype(np.int16))),
    }[name]()
    random, refused = np.random.default_rng(3), 0
    for _ in range(60):
        content = bytearray(whole)
        for place in random.integers(0, min(len(whole), 2000), random.integers(1, 9)):
            content[place] = random.integers(256)
        (tmp_path / name).write_bytes(content)
        try:
            open_image(tmp_path / name)
        except InputError:
            refused += 1
    assert refused > 0
