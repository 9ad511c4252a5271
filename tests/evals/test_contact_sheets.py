import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ibisagent.evals.contact_sheets import (
    FALSE_NEGATIVE,
    FALSE_POSITIVE,
    TRUE_POSITIVE,
    Panel,
    draw_contact_sheet,
    error_map,
)
from ibisagent.evals.contact_sheets.crop import crop_window, to_crop
from ibisagent.evals.contact_sheets.layout import _legend_entries
from ibisagent.evals.contact_sheets.markers import NEGATIVE, POSITIVE, Area, draw_prompts
from ibisagent.evals.contact_sheets.text import TextLine, draw_line, fitting_size, text_width, to_drawable, wrap_text
from ibisagent.tools.clicks import Box, Click, PixelBox, Similar, click_to_pixel
from ibisagent.tools.errors import InputError

WHITE = (255, 255, 255)


def disc(height, width, row, column, radius):
    rows, columns = np.mgrid[:height, :width]
    return (rows - row) ** 2 + (columns - column) ** 2 < radius**2


def panel(height=64, width=64, **changes):
    mask = disc(height, width, height / 2, width / 2, min(height, width) / 4)
    overlay = np.full((height, width, 3), 120, np.uint8)
    overlay[mask] = (86, 128, 86)
    values = {
        "heading": "3  Negative Point (0.4512, 0.4238)",
        "thought": "The mask leaks to the left.",
        "facts": "score 0.83   area 1234 mm²   IoU 0.84   0.12 s",
        "overlay": overlay,
        "prompts": (Click(0.5, 0.5), Click(0.25, 0.25, positive=False)),
        "mask": mask,
    }
    return Panel(**(values | changes))


def pixels(sheet):
    assert sheet.mode == "RGB"
    return np.asarray(sheet)


def is_blank(part):
    return bool((part == 255).all())


@pytest.mark.parametrize("count", [1, 2, 4, 9, 25])
@pytest.mark.parametrize("known", [False, True])
def test_every_number_of_panels_gives_a_bounded_page_with_white_margins(count, known):
    first = panel()
    sheet = draw_contact_sheet("Liver", "request", [first] * count, first.mask if known else None)
    shown = pixels(sheet)
    assert sheet.width * sheet.height <= 40_000_000
    assert 0.4 < sheet.width / sheet.height < 2.2
    for edge in (shown[:24], shown[-24:], shown[:, :24], shown[:, -24:]):
        assert is_blank(edge)


def test_no_panel_gives_a_sheet_with_its_title():
    sheet = draw_contact_sheet("Nothing came of it", "", [])
    assert not is_blank(pixels(sheet))
    assert sheet.width >= 400
    assert draw_contact_sheet("", "", []).height > 0


def test_the_same_run_gives_the_same_bytes():
    first = panel()
    once, again = (draw_contact_sheet("a", "b", [first, panel(undone_by=3)], first.mask).tobytes() for _ in range(2))
    assert once == again


def test_an_undone_step_is_paler_and_framed_in_red():
    kept, undone = (pixels(draw_contact_sheet("", "", [panel(undone_by=number)])) for number in (None, 5))
    assert kept.shape == undone.shape
    assert not (kept == (190, 40, 20)).all(axis=-1).any()
    assert (undone == (190, 40, 20)).all(axis=-1).sum() > 4 * 400
    assert (undone == (194, 194, 194)).all(axis=-1).sum() > 10_000
    assert pixels(draw_contact_sheet("", "", [panel(undone_by=6)])).tobytes() != undone.tobytes()


def test_an_error_is_told_in_red_and_changes_the_sheet():
    shown = pixels(draw_contact_sheet("", "", [panel(error="no action in the reply")]))
    assert (shown == (190, 40, 20)).all(axis=-1).sum() > 100


def test_error_map_colours_are_exact():
    picture = np.full((2, 2), 101, np.uint8)
    mask, truth = np.array([[True, False], [True, False]]), np.array([[True, True], [False, False]])
    shown = error_map(picture, mask, truth)
    assert shown.dtype == np.uint8
    assert shown.tolist() == [[[54, 128, 54], [198, 190, 77]], [[173, 115, 147], [61, 61, 61]]]


@pytest.mark.parametrize(
    ("colour", "mask", "truth"),
    [(TRUE_POSITIVE, True, True), (FALSE_NEGATIVE, False, True), (FALSE_POSITIVE, True, False)],
)
def test_error_map_is_three_tenths_grey_and_seven_tenths_colour(colour, mask, truth):
    ramp = np.arange(256, dtype=np.uint8)[None]
    shown = error_map(ramp, np.full((1, 256), mask), np.full((1, 256), truth))
    expected = np.floor((3 * ramp[..., None].astype(int) + 7 * np.array(colour)) / 10 + 0.5)
    np.testing.assert_array_equal(shown, expected)


def test_error_map_takes_the_grey_of_a_coloured_picture():
    picture = np.zeros((3, 4, 3), np.uint8)
    picture[...] = (255, 0, 0)
    nothing = np.zeros((3, 4), bool)
    assert np.unique(error_map(picture, nothing, nothing)).tolist() == [46]


def test_a_truth_of_another_shape_is_refused():
    with pytest.raises(InputError, match=r"truth \(8, 8\)"):
        draw_contact_sheet("", "", [panel(64, 64)], np.zeros((8, 8), bool))


def test_the_error_map_stands_on_the_sheet_only_when_the_truth_is_known():
    first = panel(100, 100, prompts=())
    expected = tuple((3 * 120 + 7 * np.array(FALSE_NEGATIVE) + 5) // 10)
    truth = ~first.mask
    clean = np.full((100, 100), 120, np.uint8)
    assert (pixels(draw_contact_sheet("", "", [first], truth, pixels=clean)) == expected).all(axis=-1).sum() > 100_000
    assert not (pixels(draw_contact_sheet("", "", [first])) == expected).all(axis=-1).any()


def test_the_error_map_of_a_large_picture_keeps_its_proportions():
    left = np.zeros((1600, 1600), bool)
    left[:, :400] = True
    plain = panel(1600, 1600, mask=~left, prompts=(), overlay=np.full((1600, 1600, 3), 120, np.uint8))
    shown = pixels(draw_contact_sheet("", "", [plain], left))
    counts = [
        int((shown == (3 * 120 + 7 * np.array(colour) + 5) // 10).all(axis=-1).sum())
        for colour in (FALSE_NEGATIVE, FALSE_POSITIVE)
    ]
    assert counts == pytest.approx([100 * 400, 300 * 400], rel=0.05)


@pytest.mark.parametrize("shape", [(1, 1), (16, 16), (8, 1000), (1000, 8), (1, 700), (1500, 1300)])
@pytest.mark.parametrize("known", [False, True])
def test_pictures_of_any_shape_fit(shape, known):
    first = panel(*shape)
    sheet = draw_contact_sheet("t", "s", [first, first], first.mask if known else None)
    assert sheet.width < 2000
    assert sheet.height < 2000


def test_a_tiny_picture_is_enlarged_without_new_colours():
    chequer = np.indices((16, 16)).sum(axis=0) % 2 * np.uint8(255)
    overlay = np.repeat(chequer[..., None], 3, axis=2).astype(np.uint8)
    overlay[..., 1] = 77
    shown = pixels(draw_contact_sheet("", "", [panel(16, 16, overlay=overlay, prompts=())]))
    assert (shown == (255, 77, 255)).all(axis=-1).sum() == (shown == (0, 77, 0)).all(axis=-1).sum() == 400 * 400 / 2


def test_a_panel_of_extreme_text_stays_inside_its_cell():
    long = {"thought": "x" * 5000 + " word" * 900, "heading": "W" * 300, "facts": "W" * 900, "error": "W" * 900}
    shown = pixels(draw_contact_sheet("W" * 500, "W" * 3000, [panel(**long), panel()], footer="W" * 5000))
    between = shown.shape[1] // 2
    assert shown.shape[1] == 2 * 440 + 2 * 24
    assert is_blank(shown[:, -44:])
    assert is_blank(shown[:, :44])
    assert is_blank(shown[320:-240, between - 20 : between + 20])  # below the head, above the footer


def test_text_beyond_the_last_line_ends_in_an_ellipsis():
    lines = wrap_text("one two three four five six seven", 20, 100, 2)
    assert len(lines) == 2
    assert lines[-1].endswith("…")
    assert all(text_width(line, 20) <= 100 for line in lines)
    assert wrap_text("", 20, 100, 2) == []
    assert wrap_text("short", 20, 100, 2) == ["short"]


def test_facts_break_between_measurements_first():
    assert wrap_text("score 0.83   area 12 mm²   IoU 0.84", 20, 240, 3) == ["score 0.83   area 12 mm²", "IoU 0.84"]


def test_an_unbreakable_word_loses_nothing_over_enough_lines():
    word = "abcdefghij" * 20
    assert "".join(wrap_text(word, 20, 150, 50)) == word


def test_a_heading_shrinks_to_its_width():
    assert fitting_size("short", 24, 18, 400) == 24
    assert fitting_size("w" * 300, 24, 18, 400) == 18


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("naïve Läsion, Łódź", "naive Lasion, Lodz"),
        ("12 mm² ≥ 3 µm → ok", "12 mm² >= 3 um -> ok"),
        ("α ≥ 0.5", "alpha >= 0.5"),
        ("肝臓", "??"),
        ("a\tb\u200bc\x00", "a bc"),
        ("·…“”", "·…“”"),
    ],
)
def test_what_the_font_lacks_becomes_plain(text, plain):
    assert to_drawable(text) == plain


def test_no_missing_glyph_box_is_drawn():
    def drawn(text):
        paper = Image.new("RGB", (300, 40), WHITE)
        draw_line(paper, (0, 0), TextLine(to_drawable(text), 24))
        return paper.tobytes()

    assert drawn("é肝→") == drawn("e?->")


def test_other_scripts_do_not_raise():
    odd = "腫瘍 опухоль ورم 🫀 \ud800 \n\t"
    draw_contact_sheet(odd, odd, [panel(heading=odd, thought=odd, facts=odd, error=odd)], footer=odd)


def test_markers_show_sign_and_recency():
    def drawn(*prompts):
        paper = Image.new("RGB", (120, 120), (90, 90, 90))
        draw_prompts(paper, Area(10, 10, 101, 101), prompts)
        return np.asarray(paper)

    def inked(shown, colour):
        return int((shown == colour).all(axis=-1).sum())

    positive, negative, box = Click(0.2, 0.2), Click(0.8, 0.8, positive=False), Box(0.3, 0.3, 0.7, 0.7)
    both = drawn(positive, negative)
    assert both[30, 30].tolist() == both[90, 90].tolist() == [255, 255, 255]  # in the middle of either sign
    assert inked(both, NEGATIVE) > inked(both, POSITIVE) > 50
    assert inked(drawn(negative, positive), POSITIVE) > inked(both, POSITIVE)
    assert inked(drawn(box), (255, 214, 10)) > inked(drawn(box, positive), (255, 214, 10)) > 100


def test_an_example_has_a_shape_of_its_own_in_two_signs_and_its_lines_in_the_legend():
    def drawn(*prompts):
        paper = Image.new("RGB", (120, 120), (90, 90, 90))
        draw_prompts(paper, Area(10, 10, 101, 101), prompts)
        return np.asarray(paper)

    def shape(shown, colour):
        rows, columns = np.nonzero((shown == colour).all(axis=-1))
        return len(rows) / ((rows.max() - rows.min() + 1) * (columns.max() - columns.min() + 1))

    later = Box(0.9, 0.9, 1.0, 1.0)
    for positive, colour in ((True, POSITIVE), (False, NEGATIVE)):
        example, click = drawn(Similar(0.4, 0.4, positive), later), drawn(Click(0.4, 0.4, positive), later)
        assert shape(example, colour) < 0.8 * shape(click, colour)  # a diamond fills half of its box
        assert example[50, 50].tolist() == [255, 255, 255]
    panels = [panel(prompts=(kind(0.5, 0.5, sign),)) for kind in (Click, Similar) for sign in (True, False)]
    assert [name for name, _ in _legend_entries(panels, maps=False)] == [
        "positive click",
        "negative click",
        "all like this",
        "none like this",
        "mask",
    ]
    draw_contact_sheet("", "", panels)


def test_a_click_on_the_corner_is_drawn_whole():
    shown = pixels(draw_contact_sheet("", "", [panel(prompts=(Click(0.0, 0.0),))]))
    middle = pixels(draw_contact_sheet("", "", [panel(prompts=(Click(0.5, 0.5),), mask=np.zeros((64, 64), bool))]))
    assert (shown == POSITIVE).all(axis=-1).sum() == (middle == POSITIVE).all(axis=-1).sum()


def test_a_small_run_is_shown_large_and_a_large_one_whole():
    small, large = np.zeros((300, 400), bool), np.zeros((300, 400), bool)
    small[100:130, 200:220] = True
    large[10:290, 50:350] = True
    part = crop_window([small], [Click(0.5, 0.35)], (300, 400))
    assert (part.bottom - part.top, part.right - part.left) == (79, 79)
    assert part.top < 100 < 130 < part.bottom
    assert part.left < 200 < 220 < part.right
    assert crop_window([small, large], [], (300, 400)) == PixelBox(0, 0, 299, 399)
    assert crop_window([np.zeros((8, 9), bool)], [], (8, 9)) == PixelBox(0, 0, 7, 8)
    corner = crop_window([], [Box(0.99, 0.0, 1.0, 0.01)], (300, 400))
    assert (corner.top, corner.right) == (0, 399)


@given(st.floats(0, 1), st.floats(0, 1), st.integers(2, 60), st.integers(2, 60), st.sampled_from([Click, Similar]))
def test_a_prompt_keeps_its_pixel_in_the_part(x, y, height, width, kind):
    shape = (height * 10, width * 10)
    click = kind(x, y)
    part = crop_window([], [click], shape)
    row, column = click_to_pixel(click, shape)
    size = (part.bottom - part.top + 1, part.right - part.left + 1)
    moved = click_to_pixel(to_crop(click, part, shape), size)
    assert type(to_crop(click, part, shape)) is kind
    assert abs(moved.row + part.top - row) <= 1
    assert abs(moved.column + part.left - column) <= 1
