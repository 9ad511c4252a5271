import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ibisagent.agent.coordinates import PROFILES, UNIT, CoordinateFrame
from ibisagent.tools.clicks import Click, Pixel, click_to_pixel, pixel_to_click
from ibisagent.tools.errors import InputError

PIXELS = CoordinateFrame("pixels", 512, 384)
FRAMES = [UNIT, CoordinateFrame("thousand"), CoordinateFrame("thousand_yx"), PIXELS]
quick = settings(database=None, deadline=None)


@pytest.mark.parametrize("frame", FRAMES, ids=PROFILES)
@given(x=st.floats(0, 1), y=st.floats(0, 1))
@quick
def test_a_written_point_reads_back_within_half_a_step(frame: CoordinateFrame, x: float, y: float) -> None:
    numbers = [float(number) for number in frame.write((x, y)).strip("()").split(", ")]
    (x_back, y_back), repairs = frame.read(numbers)
    half = {"unit": 0.5e-4, "pixels": 0.5 / 384}.get(frame.profile, 0.5e-3)
    assert repairs == ()
    assert x_back == pytest.approx(x, abs=half + 1e-12)
    assert y_back == pytest.approx(y, abs=half + 1e-12)


@given(width=st.integers(1, 3000), column=st.integers(0, 2999))
@quick
def test_a_pixel_written_and_read_is_the_same_pixel(width: int, column: int) -> None:
    pixel = Pixel(0, min(column, width - 1))
    frame = CoordinateFrame("pixels", width, 1)
    click = pixel_to_click(pixel, (1, width))
    assert frame.write((click.x, click.y)) == f"({pixel.column}, 0)"
    (x, y), _ = frame.read([pixel.column, 0])
    assert click_to_pixel(Click(x, y), (1, width)) == pixel


@pytest.mark.parametrize(
    ("frame", "written", "units"),
    [
        (UNIT, (0.25, 1.0), (0.25, 1.0)),
        (CoordinateFrame("thousand"), (250, 1000), (0.25, 1.0)),
        (CoordinateFrame("thousand_yx"), (250, 1000), (1.0, 0.25)),
        (CoordinateFrame("thousand_yx"), (100, 200, 300, 400), (0.2, 0.1, 0.4, 0.3)),
        (PIXELS, (0, 384), (0.5 / 512, 383.5 / 384)),
        (PIXELS, (128, 96, 512, 384), (0.25, 0.25, 1.0, 1.0)),
    ],
)
def test_each_profile_has_its_range_and_order(
    frame: CoordinateFrame, written: tuple[float, ...], units: tuple[float, ...]
) -> None:
    assert frame.read(written) == (units, ())


@pytest.mark.parametrize(
    ("frame", "written", "units", "repairs"),
    [
        (UNIT, (1.05, -0.05), (1.0, 0.0), ("x=1.05 clamped to 1", "y=-0.05 clamped to 0")),
        (UNIT, (-0.0, 0.5), (0.0, 0.5), ()),
        (CoordinateFrame("thousand"), (1050, 3), (1.0, 0.003), ("x=1050 clamped to 1000",)),
        (CoordinateFrame("thousand_yx"), (-50, 500), (0.5, 0.0), ("y=-50 clamped to 0",)),
        (PIXELS, (128, 100, 537, 384), (0.25, 100 / 384, 1.0, 1.0), ("x1=537 clamped to 512",)),
    ],
)
def test_five_percent_outside_is_clamped_and_listed(
    frame: CoordinateFrame, written: tuple[float, ...], units: tuple[float, ...], repairs: tuple[str, ...]
) -> None:
    read, listed = frame.read(written)
    assert (read, listed) == (units, repairs)
    assert all(math.copysign(1, unit) == 1 for unit in read)


@pytest.mark.parametrize(
    ("frame", "written", "reason"),
    [
        (UNIT, (451, 0.5), "x=451 is out of range: expected a number from 0 to 1"),
        (UNIT, (0.5, 1.0501), "y=1.0501 is out of range: expected a number from 0 to 1"),
        (UNIT, (math.nan, 0.5), "x=nan is out of range: expected a number from 0 to 1"),
        (UNIT, (0.5, -math.inf), "y=-inf is out of range: expected a number from 0 to 1"),
        (CoordinateFrame("thousand_yx"), (1051, 5), "y=1051 is out of range: expected a number from 0 to 1000"),
        (PIXELS, (5, 404), "y=404 is out of range: expected a number from 0 to 384"),
        (
            CoordinateFrame("thousand"),
            (0.45, 0.5),
            "x=0.45, y=0.5 are decimals from 0 to 1: expected numbers from 0 to 1000",
        ),
    ],
)
def test_other_numbers_are_refused_with_what_was_expected(
    frame: CoordinateFrame, written: tuple[float, ...], reason: str
) -> None:
    with pytest.raises(InputError) as caught:
        frame.read(written)
    assert str(caught.value) == reason


@pytest.mark.parametrize(
    ("frame", "box", "written"),
    [
        (UNIT, (0.5, 0.5, 0.50001, 0.50001), "(0.5000, 0.5000, 0.5001, 0.5001)"),
        (UNIT, (0.99999, 0.1, 1.0, 0.2), "(0.9999, 0.1000, 1.0000, 0.2000)"),
        (CoordinateFrame("thousand_yx"), (0.1, 0.2, 0.1001, 0.3), "(200, 100, 300, 101)"),
        (CoordinateFrame("pixels", 1, 1), (0.6, 0.0, 0.9, 0.3), "(0, 0, 1, 1)"),
    ],
)
def test_a_box_that_rounds_to_nothing_is_written_one_step_wide(
    frame: CoordinateFrame, box: tuple[float, ...], written: str
) -> None:
    assert frame.write(box) == written


def test_an_unknown_profile_is_refused_with_the_names() -> None:
    with pytest.raises(InputError, match="'percent': expected one of unit, thousand, thousand_yx, pixels"):
        CoordinateFrame("percent")


@pytest.mark.parametrize("size", [(None, None), (512, None), (0, 5), (512, -1)])
def test_pixels_without_a_size_are_refused(size: tuple[int | None, int | None]) -> None:
    with pytest.raises(InputError, match="expected the \\(width, height\\) of the picture sent"):
        CoordinateFrame("pixels", *size)
