"""Raster pictures, arrays and every way of naming one."""

import base64

import numpy as np
import pytest
from PIL import Image
from support.image_fixtures import COLOUR, GREY, UPRIGHT, write_png

from ibisagent.tools.errors import InputError
from ibisagent.tools.imaging.open_image import open_image


def test_webp_opens_by_its_content(tmp_path):
    path = write_png(COLOUR, tmp_path / "a.jpg", format="WEBP", lossless=True)
    assert np.array_equal(open_image(path).pixels, COLOUR)
    second = Image.fromarray(COLOUR[::-1].copy())
    Image.fromarray(COLOUR).save(tmp_path / "b.webp", save_all=True, append_images=[second], lossless=True)
    assert np.array_equal(open_image(tmp_path / "b.webp", slice="1").pixels, COLOUR[::-1])


@pytest.mark.parametrize("ending", ["png", "tif", "bmp"])
@pytest.mark.parametrize("array", [GREY, COLOUR], ids=["grey", "colour"])
def test_lossless_picture_comes_as_it_is_stored(tmp_path, ending, array):
    image = open_image(write_png(array, tmp_path / f"a.{ending}"))
    assert np.array_equal(image.pixels, array)
    assert image.pixels.dtype == np.uint8
    assert (image.values, image.spacing, image.modality, image.slice) == (None, None, None, None)


def test_content_counts_not_the_name(tmp_path):
    assert np.array_equal(open_image(write_png(GREY, tmp_path / "a.jpg", format="PNG")).pixels, GREY)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_exif_orientation_is_obeyed(tmp_path, orientation, kind):
    stored = Image.fromarray(np.kron(GREY, np.ones((8, 8), np.uint8)))
    exif = stored.getexif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "a", format=kind, exif=exif)
    expected = np.asarray(stored.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else stored)
    shown = open_image(tmp_path / "a").pixels
    assert shown.shape == expected.shape == ((56, 40) if orientation > 4 else (40, 56))
    assert np.abs(shown.astype(int) - expected).max() <= 3  # JPEG
    if kind != "TIFF":  # Pillow does not turn a TIFF that it opens by name
        with Image.open(tmp_path / "a") as picture:
            assert np.array_equal(open_image(picture).pixels, shown)


def test_alpha_is_composited_on_black(tmp_path):
    alpha = np.full(GREY.shape, 255, np.uint8)
    alpha[0], alpha[1, 0] = 0, 128
    rgba = np.dstack([np.full((*GREY.shape, 3), 200, np.uint8), alpha])
    pixels = open_image(write_png(rgba, tmp_path / "a.png")).pixels
    assert (pixels[0] == 0).all()
    assert (pixels[2:] == 200).all()
    assert (pixels[1, 0] == 100).all()
    assert np.array_equal(open_image(rgba).pixels, pixels)


def test_palette_is_expanded(tmp_path):
    picture = Image.frombytes("P", (7, 5), (GREY % 3).tobytes())
    picture.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    picture.save(tmp_path / "a.png")
    colours = np.array([[10, 20, 30], [40, 50, 60], [70, 80, 90]], np.uint8)
    assert np.array_equal(open_image(tmp_path / "a.png").pixels, colours[GREY % 3])


@pytest.mark.parametrize("mode", ["1", "CMYK", "LA", "YCbCr"])
def test_other_modes_become_grey_or_colour(mode):
    picture = Image.fromarray(COLOUR).convert(mode)
    expected = np.asarray(picture.convert("L" if mode in ("1", "LA") else "RGB"))
    assert np.array_equal(open_image(picture).pixels, expected)


def test_sixteen_bits_are_kept_until_windowing(tmp_path):
    deep = (np.arange(35, dtype=np.uint16) * 1000).reshape(5, 7)
    image = open_image(write_png(deep, tmp_path / "a.png"), window="p0,p100")
    assert np.array_equal(image.values, deep)
    assert np.array_equal(image.pixels, np.floor(deep / 34000 * 255 + 0.5))
    assert np.array_equal(open_image(deep, window="p0,p100").pixels, image.pixels)


def test_float_tiff_keeps_its_values(tmp_path):
    values = GREY.astype(np.float32) / 100 - 1
    image = open_image(write_png(values, tmp_path / "a.tif"), window="0,1")
    assert np.array_equal(image.values, values)
    assert np.array_equal(image.pixels, np.floor(np.clip(values.astype(np.float64) + 0.5, 0, 1) * 255 + 0.5))


def test_deep_tiff_whose_white_is_zero_is_shown_so(tmp_path):
    path = write_png(GREY.astype(np.uint16) * 9, tmp_path / "a.tif")
    with Image.open(path) as picture:
        picture.save(tmp_path / "b.tif", tiffinfo={262: 0})
    plain, inverted = (open_image(tmp_path / name, window="p0,p100") for name in ("a.tif", "b.tif"))
    assert np.array_equal(inverted.pixels, 255 - plain.pixels)
    assert np.array_equal(inverted.values, GREY * 9.0)


def test_signed_bytes_of_a_tiff_are_signed(tmp_path):
    Image.fromarray((GREY.astype(np.int16) - 128).astype(np.int8).view(np.uint8)).save(
        tmp_path / "a.tif", tiffinfo={339: 2}
    )
    assert np.array_equal(open_image(tmp_path / "a.tif").values, GREY.astype(float) - 128)


def test_slice_chooses_a_page(tmp_path):
    first, second = Image.fromarray(GREY), Image.fromarray(GREY[::-1].copy())
    first.save(tmp_path / "a.tif", save_all=True, append_images=[second])
    assert np.array_equal(open_image(tmp_path / "a.tif").pixels, GREY)
    image = open_image(tmp_path / "a.tif", slice="1")
    assert open_image(tmp_path / "a.tif", slice="middle").sha == image.sha
    assert np.array_equal(image.pixels, GREY[::-1])
    assert image.slice == "1"
    with pytest.raises(InputError, match="from 0 to 1"):
        open_image(tmp_path / "a.tif", slice="2")


def test_every_way_of_naming_a_picture_gives_the_same(tmp_path):
    path = write_png(COLOUR, tmp_path / "a b.png")
    data = "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
    sources = [path, str(path), path.as_uri(), data, Image.open(path), COLOUR]
    images = [open_image(source) for source in sources]
    assert len({image.sha for image in images}) == 1
    assert [image.uri for image in images] == [str(path)] * 3 + [None] * 3
    assert open_image(images[0]) is images[0]
    assert open_image(images[0], slice=images[0].slice) is images[0]
    with pytest.raises(InputError, match="opened image"):
        open_image(images[0], window="40,400")


def test_pixels_are_read_only_and_the_source_is_left_alone():
    array = GREY.copy()
    image = open_image(array)
    with pytest.raises(ValueError, match="read-only"):
        image.pixels[0, 0] = 1
    array[0, 0] = 99
    assert image.pixels[0, 0] == 0
    picture = Image.fromarray(GREY)
    open_image(picture)
    assert np.array_equal(np.asarray(picture), GREY)


def test_content_hash_depends_on_pixels_and_shape():
    shas = [open_image(array).sha for array in (GREY, GREY.reshape(7, 5), GREY + 1, COLOUR)]
    assert len(set(shas)) == 4
    assert all(len(sha) == 32 and int(sha, 16) >= 0 for sha in shas)


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (GREY > 100, (GREY > 100) * 255),
        ((COLOUR.astype(np.uint16) * 257), COLOUR),
        ((COLOUR / 255.0), COLOUR),
        (np.array([[0, np.nan], [np.inf, 10.0]]), [[0, 0], [0, 255]]),
        (np.full((2, 2), np.nan), [[0, 0], [0, 0]]),
        (np.full((2, 2), 5, np.int16), [[0, 0], [0, 0]]),
        (GREY[..., None], GREY),
    ],
    ids=["bool", "uint16 colour", "float colour", "not finite", "nothing finite", "constant", "one channel"],
)
def test_arrays(array, expected):
    window = "p0,p100" if array.dtype.kind == "f" and array.ndim == 2 else None
    assert np.array_equal(open_image(array, window=window).pixels, expected)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((2, 2, 2)),
        np.zeros(4),
        np.zeros((0, 4)),
        np.zeros((2, 2), complex),
        COLOUR.astype(float),
        np.array("a"),
    ],
    ids=["two channels", "1-D", "empty", "complex", "float colour to 255", "text"],
)
def test_wrong_array_is_refused(array):
    with pytest.raises(InputError, match="got"):
        open_image(array)
