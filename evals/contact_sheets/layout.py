"""The contact sheet: every step of a run on one picture, for papers and for error analysis."""

import math
from collections.abc import Sequence

from PIL import Image, ImageDraw

from ibisagent.evals.contact_sheets.markers import Area, draw_prompts, draw_sign
from ibisagent.evals.contact_sheets.panels import (
    BLACK,
    GREY,
    GUTTER,
    MARGIN,
    SMALL_SIZE,
    WHITE,
    Panel,
    choose_layout,
    draw_panel,
    stack_vertically,
)
from ibisagent.evals.contact_sheets.text import Color, TextLine, draw_line, render_lines, text_width, wrap_lines
from ibisagent.evals.contact_sheets.tiles import FALSE_NEGATIVE, FALSE_POSITIVE, TRUE_POSITIVE, error_map
from ibisagent.tools.clicks import Box, Click, Prompt, Similar
from ibisagent.tools.segmenters.base import Mask, Pixels

__all__ = [
    "FALSE_NEGATIVE",
    "FALSE_POSITIVE",
    "TRUE_POSITIVE",
    "Panel",
    "draw_contact_sheet",
    "draw_legend",
    "error_map",
    "frame_sheet",
]

_MASK_COLOR: Color = (90, 132, 90)  # the overlay's mask over medium grey
_MARGIN = 24
_TITLE, _SUBTITLE = 36, 21
_MAX_PIXELS = 40_000_000


def _choose_columns(count: int, width: int, height: int) -> int:
    """Choose the number of columns by the aspect of the page and the number of empty cells."""
    page = 1.25 if count <= 6 else 0.8  # width / height: a few panels share a page with text, many fill one

    def cost(columns: int) -> float:
        rows = math.ceil(count / columns)
        return abs(math.log(columns * width / (rows * height * page))) + (columns * rows - count) / count

    return min(range(1, count + 1), key=cost, default=1)


def _build_rows(cells: Sequence[Image.Image], columns: int, width: int) -> list[Image.Image]:
    rows = []
    for start in range(0, len(cells), columns):
        row = cells[start : start + columns]
        paper = Image.new("RGB", (width, max(cell.height for cell in row) + GUTTER), WHITE)
        for number, cell in enumerate(row):
            paper.paste(cell, (number * cell.width, 0))
        rows.append(paper)
    return rows


def _legend_entries(panels: Sequence[Panel], maps: bool) -> list[tuple[str, Prompt | Color]]:
    """Return the names of what occurs on the sheet, each with its sample."""
    prompts = [prompt for panel in panels for prompt in panel.prompts]
    kinds = {(type(prompt), None if isinstance(prompt, Box) else prompt.positive) for prompt in prompts}
    samples: list[tuple[bool, str, Prompt | Color]] = [
        ((Click, True) in kinds, "positive click", Click(0.5, 0.5, True)),
        ((Click, False) in kinds, "negative click", Click(0.5, 0.5, False)),
        ((Similar, True) in kinds, "all like this", Similar(0.5, 0.5, True)),
        ((Similar, False) in kinds, "none like this", Similar(0.5, 0.5, False)),
        ((Box, None) in kinds, "box", Box(0.0, 0.0, 1.0, 1.0)),
        (bool(panels), "mask", _MASK_COLOR),
        (maps, "true positive", TRUE_POSITIVE),
        (maps, "false negative", FALSE_NEGATIVE),
        (maps, "false positive", FALSE_POSITIVE),
    ]
    return [(name, sample) for occurs, name, sample in samples if occurs]


def draw_legend(width: int, panels: Sequence[Panel], maps: bool) -> Image.Image:
    """Draw the samples and their names, wrapped into rows of ``width`` pixels."""
    entries = _legend_entries(panels, maps)
    paper, left, top = Image.new("RGB", (width, 8 + 34 * len(entries)), WHITE), MARGIN, 8
    for name, sample in entries:
        reach = round(text_width(name, SMALL_SIZE)) + 34
        if left + reach > width - MARGIN:
            left, top = MARGIN, top + 34
        if isinstance(sample, Click | Similar):
            draw_sign(paper, (left + 12, top + 13), sample)
        elif isinstance(sample, Box):
            draw_prompts(paper, Area(left + 1, top + 3, 22, 20), (sample,))
        else:
            ImageDraw.Draw(paper).rectangle((left + 1, top + 2, left + 22, top + 23), fill=sample, outline=GREY)
        draw_line(paper, (left + 32, top + 2), TextLine(name, SMALL_SIZE, GREY))
        left += reach + 26
    return paper.crop((0, 0, width, top + 34))


def draw_contact_sheet(
    title: str,
    subtitle: str,
    panels: Sequence[Panel],
    truth: Mask | None = None,
    footer: str = "",
    *,
    pixels: Pixels | None = None,
) -> Image.Image:
    """Draw all steps of a run as one RGB picture on white, of at most 40 megapixels.

    ``truth``: (H, W), adds an error map to each panel, drawn over ``pixels`` (the picture alone, (H, W) or (H, W, 3)),
    or over the overlay's grey where those are not given. Raises `InputError` when the shapes differ.
    """
    plan = choose_layout(panels, truth is not None)
    cells = [draw_panel(panel, plan, truth, pixels) for panel in panels]
    columns = _choose_columns(len(cells), plan.width + 2 * MARGIN, max((cell.height for cell in cells), default=1))
    width = columns * (plan.width + 2 * MARGIN)
    inner = width - 2 * MARGIN
    head = wrap_lines(title, TextLine("", _TITLE, BLACK, bold=True), inner - 1, 2)
    head += wrap_lines(subtitle, TextLine("", _SUBTITLE, GREY), inner, 4)
    foot = wrap_lines(footer, TextLine("", _SUBTITLE, BLACK), inner, 6)
    parts = [
        render_lines(head, width, MARGIN),
        draw_legend(width, panels, truth is not None),
        *_build_rows(cells, columns, width),
    ]
    body = stack_vertically([*parts, render_lines(foot, width, MARGIN, above=16 if foot else 0)], width)
    return frame_sheet(body)


def frame_sheet(body: Image.Image) -> Image.Image:
    """Put a white margin around a sheet's content, and reduce it to at most 40 megapixels."""
    sheet = Image.new("RGB", (body.width + 2 * _MARGIN, body.height + 2 * (_MARGIN + MARGIN)), WHITE)
    sheet.paste(body, (_MARGIN, _MARGIN + MARGIN))
    return _limit_size(sheet)


def _limit_size(sheet: Image.Image) -> Image.Image:
    shrink = math.sqrt(_MAX_PIXELS / (sheet.width * sheet.height))
    return sheet if shrink >= 1.0 else sheet.resize((int(sheet.width * shrink), int(sheet.height * shrink)))
