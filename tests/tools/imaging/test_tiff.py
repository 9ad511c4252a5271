"""TIFF files of several pages of different kinds, and samples that Pillow has no mode for."""

import contextlib

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ibisagent.tools.errors import InputError
from ibisagent.tools.imaging.open_image import open_image
from ibisagent.tools.masks.reading import read_mask

RAMP = np.arange(35.0).reshape(5, 7)
GREY = RAMP.astype(np.uint8)
PAGES = {
    "R": Image.fromarray(np.stack([GREY, GREY + 1, GREY + 2], axis=-1)),
    "P": Image.fromarray(np.stack([GREY // 9 * 9, 0 * GREY, 0 * GREY], axis=-1)).quantize(8),
    "L": Image.fromarray(GREY),
    "F": Image.fromarray(RAMP.astype(np.float32)),
    "1": Image.fromarray(RAMP > 10),
    "T": Image.fromarray(GREY.T.copy()),  # of another size
}


@pytest.mark.parametrize("order", ["RPP", "PRP", "LPL", "PLR", "PF1", "FPR", "1PL", "PTR", "TPT"])
@pytest.mark.parametrize("compression", ["tiff_lzw", "raw", "tiff_adobe_deflate"])
def test_a_page_among_others_opens_as_it_does_alone(order, compression, tmp_path):
    first, *others = (PAGES[kind] for kind in order)
    first.save(tmp_path / "all.tif", save_all=True, append_images=others, compression=compression)
    for number, kind in enumerate(order):
        PAGES[kind].save(tmp_path / "one.tif", compression=compression)
        alone = open_image(tmp_path / "one.tif")
        assert np.array_equal(open_image(tmp_path / "all.tif", slice=str(number)).pixels, alone.pixels)


MAP = np.stack([np.arange(256)[::-1], np.arange(256), np.arange(256) // 2]).astype(np.uint16) * 257
LOW = GREY + 50
KINDS = {
    "palette": (GREY, {"photometric": "palette", "colormap": MAP}),
    "grey": (LOW, {"photometric": "minisblack"}),
    "white is zero": (LOW, {"photometric": "miniswhite"}),
    "bilevel": (GREY > 10, {"photometric": "minisblack"}),
    "bilevel, white is zero": (GREY > 10, {"photometric": "miniswhite"}),
    "planes": (np.stack([GREY, GREY + 1, GREY + 2]), {"photometric": "rgb", "planarconfig": "separate"}),
}
DEEP = {"half": RAMP.astype(np.float16), "double": RAMP, "two samples": np.stack([GREY, GREY], axis=-1)}


def write_pages(path, *pages):
    with tifffile.TiffWriter(path) as file:
        for array, options in pages:
            file.write(array, compression="zlib", **options)
    return path


@pytest.mark.parametrize("other", DEEP)
@pytest.mark.parametrize("kind", KINDS)
def test_a_page_beside_one_without_a_mode_opens_as_it_does_alone(kind, other, tmp_path):
    two = {"photometric": "minisblack", "planarconfig": "contig", "extrasamples": ["unspecified"]}
    beside = (DEEP[other], two if other == "two samples" else {"photometric": "minisblack"})
    alone = open_image(write_pages(tmp_path / "one.tif", KINDS[kind]))
    for number, pages in enumerate([(KINDS[kind], beside), (beside, KINDS[kind])]):
        image = open_image(write_pages(tmp_path / "all.tif", *pages), slice=str(number))
        assert np.array_equal(image.pixels, alone.pixels)
        assert image.values is None
        if other != "two samples":
            assert np.array_equal(open_image(tmp_path / "all.tif", slice=str(1 - number)).values, RAMP)
    assert open_image(tmp_path / "all.tif", slice="1").sha == alone.sha


@pytest.mark.parametrize("place", [0, 1])
def test_a_palette_beside_a_deep_page_keeps_its_colours_and_its_indices(place, tmp_path):
    pages = [(RAMP, {"photometric": "minisblack"})]
    pages.insert(place, (GREY, {"photometric": "palette", "colormap": MAP}))
    write_pages(tmp_path / "a.tif", *pages)
    image = open_image(tmp_path / "a.tif", slice=str(place))
    assert np.array_equal(image.pixels, np.moveaxis(MAP[:, GREY] // 257, 0, -1))
    assert np.array_equal(read_mask(tmp_path / "a.tif", image, values=9), GREY == 9)


def test_a_palette_of_sixteen_bits_is_painted(tmp_path):
    colours = np.stack([np.arange(65536), np.arange(65536)[::-1], np.full(65536, 257)]).astype(np.uint16)
    write_pages(tmp_path / "a.tif", ((RAMP * 1800).astype(np.uint16), {"photometric": "palette", "colormap": colours}))
    expected = np.stack([RAMP * 1800, 65535 - RAMP * 1800, 257 + 0 * RAMP], axis=-1) / 257
    assert np.abs(open_image(tmp_path / "a.tif").pixels - expected).max() <= 1


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i1", "i2", "u2", "i4", "u4", "i8", "u8"])
def test_samples_of_every_depth_keep_their_values(order, compression, dtype, tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", RAMP.astype(order + dtype), compression=compression, byteorder=order)
    image = open_image(tmp_path / "a.tif")
    assert np.array_equal(image.values, RAMP)
    assert (image.pixels.min(), image.pixels.max()) == (0, 255)


def test_deep_pages_are_counted_turned_and_inverted_as_others_are(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(np.stack([GREY] * 3, axis=-1))
        file.write(RAMP, extratags=[(274, 3, 1, 6, True)])  # orientation
        file.write(RAMP.astype(np.float16), photometric="miniswhite")
        file.write(np.full_like(RAMP, 1e30))
    pages = [open_image(tmp_path / "a.tif", slice=str(number)) for number in range(4)]
    assert np.array_equal(pages[0].pixels[..., 0], GREY)
    assert np.array_equal(pages[1].values, np.rot90(RAMP, -1))
    assert np.array_equal(pages[2].values, RAMP)
    assert (pages[2].pixels[0, 0], pages[2].pixels[-1, -1]) == (255, 0)
    assert pages[3].slice == "3"
    with pytest.raises(InputError, match="expected"):
        open_image(tmp_path / "a.tif", slice="4")


def test_a_mask_of_whole_numbers_or_floats_is_read(tmp_path):
    for dtype in (np.int64, np.uint64, np.float16, np.float64):
        tifffile.imwrite(tmp_path / "m.tif", (RAMP > 10).astype(dtype) * 3)
        assert np.array_equal(read_mask(tmp_path / "m.tif", open_image(GREY)), RAMP > 10)
        assert np.array_equal(read_mask(tmp_path / "m.tif", open_image(GREY), values=3), RAMP > 10)


@pytest.mark.parametrize("array", [RAMP.astype(np.complex64), np.stack([RAMP.astype(np.float32)] * 3, axis=-1)])
def test_samples_that_are_no_picture_are_refused_with_the_remedy(array, tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="rgb" if array.ndim == 3 else "minisblack")
    with pytest.raises(InputError, match=r"samples of (complex64|float32) a pixel, expected .*; convert it"):
        open_image(tmp_path / "a.tif")


def test_a_compression_that_cannot_be_unpacked_names_the_remedy(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", RAMP)
    content = bytearray((tmp_path / "a.tif").read_bytes())
    place = content.index(np.array([259, 3], "<u2").tobytes() + np.array([1], "<u4").tobytes())
    content[place + 8 : place + 10] = np.array([34887], "<u2").tobytes()  # LERC
    (tmp_path / "a.tif").write_bytes(content)
    with pytest.raises(InputError, match=r"LERC.*save it as float32 or uncompressed"):
        open_image(tmp_path / "a.tif")


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 400), st.integers(0, 255), st.booleans())
def test_no_deep_tiff_crashes_the_reader(tmp_path_factory, place, byte, cut):
    path = tmp_path_factory.mktemp("deep") / "a.tif"
    tifffile.imwrite(path, RAMP)
    content = bytearray(path.read_bytes())
    content[place % len(content)] = byte
    path.write_bytes(content[: place + 8] if cut else content)
    with contextlib.suppress(InputError):
        assert open_image(path).pixels.dtype == np.uint8


def test_numbers_that_32_bits_cannot_hold_are_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", RAMP * 1e300)
    with pytest.raises(InputError, match=r"a\.tif: got numbers beyond 3\.4e38, expected those of 32 bits"):
        open_image(tmp_path / "a.tif")
