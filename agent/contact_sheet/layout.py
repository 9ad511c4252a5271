"""The contact sheet: every step of a run on one picture, for papers and for whoever looks for the mistake."""

import math
from collections.abc import Sequence

from PIL import Image, ImageDraw

from ibisagent.agent.contact_sheet.markers import Area, draw_click, draw_prompts
from ibisagent.agent.contact_sheet.panels import (
    BLACK,
    BLEED,
    GREY,
    PAPER,
    SEAM,
    SMALL,
    Panel,
    draw_panel,
    plan_for,
    stacked,
)
from ibisagent.agent.contact_sheet.text import Ink, Line, lines_of, text_width, typeset, write
from ibisagent.agent.contact_sheet.tiles import HIT, MISS, SPILL, error_map
from ibisagent.tools.clicks import Box, Click, Prompt
from ibisagent.tools.segmenters.base import Mask, Pixels

__all__ = ["HIT", "MISS", "SPILL", "Panel", "contact_sheet", "error_map"]

_TINT: Ink = (90, 132, 90)  # the overlay's mask over medium grey
_MARGIN = 24
_TITLE, _SUBTITLE = 36, 21
_MOST_PIXELS = 40_000_000


def _columns(count: int, width: int, height: int) -> int:
    """Choose the number of columns by the shape of the page and the places left empty."""
    page = 1.25 if count <= 6 else 0.8  # width / height: a few panels stand above text, many fill a page of their own

    def cost(columns: int) -> float:
        rows = math.ceil(count / columns)
        return abs(math.log(columns * width / (rows * height * page))) + (columns * rows - count) / count

    return min(range(1, count + 1), key=cost, default=1)


def _rows(cells: Sequence[Image.Image], columns: int, width: int) -> list[Image.Image]:
    rows = []
    for start in range(0, len(cells), columns):
        row = cells[start : start + columns]
        paper = Image.new("RGB", (width, max(cell.height for cell in row) + SEAM), PAPER)
        for number, cell in enumerate(row):
            paper.paste(cell, (number * cell.width, 0))
        rows.append(paper)
    return rows


def _entries(panels: Sequence[Panel], maps: bool) -> list[tuple[str, Prompt | Ink]]:
    """Name what occurs on the sheet, each with its sample."""
    prompts = [prompt for panel in panels for prompt in panel.prompts]
    kinds = {prompt.positive if isinstance(prompt, Click) else None for prompt in prompts}
    samples: list[tuple[bool, str, Prompt | Ink]] = [
        (True in kinds, "positive click", Click(0.5, 0.5, True)),
        (False in kinds, "negative click", Click(0.5, 0.5, False)),
        (None in kinds, "box", Box(0.0, 0.0, 1.0, 1.0)),
        (bool(panels), "mask", _TINT),
        (maps, "hit", HIT),
        (maps, "miss", MISS),
        (maps, "spill", SPILL),
    ]
    return [(name, sample) for occurs, name, sample in samples if occurs]


def _legend(width: int, panels: Sequence[Panel], maps: bool) -> Image.Image:
    """Draw the samples and their names, broken into rows of ``width`` pixels."""
    entries = _entries(panels, maps)
    paper, left, top = Image.new("RGB", (width, 8 + 34 * len(entries)), PAPER), BLEED, 8
    for name, sample in entries:
        reach = round(text_width(name, SMALL)) + 34
        if left + reach > width - BLEED:
            left, top = BLEED, top + 34
        if isinstance(sample, Click):
            draw_click(paper, (left + 12, top + 13), sample.positive)
        elif isinstance(sample, Box):
            draw_prompts(paper, Area(left + 1, top + 3, 22, 20), (sample,))
        else:
            ImageDraw.Draw(paper).rectangle((left + 1, top + 2, left + 22, top + 23), fill=sample, outline=GREY)
        write(paper, (left + 32, top + 2), Line(name, SMALL, GREY))
        left += reach + 26
    return paper.crop((0, 0, width, top + 34))


def contact_sheet(
    title: str,
    subtitle: str,
    panels: Sequence[Panel],
    truth: Mask | None = None,
    footer: str = "",
    *,
    pixels: Pixels | None = None,
) -> Image.Image:
    """Lay out all steps of a run as one RGB picture on white, of at most 40 megapixels.

    ``truth``: (H, W), adds an error map to each panel, drawn over ``pixels`` (the picture alone, (H, W) or (H, W, 3)),
    or over the overlay's grey where those are not given. Raises `InputError` when the shapes differ.
    """
    plan = plan_for(panels, truth is not None)
    cells = [draw_panel(panel, plan, truth, pixels) for panel in panels]
    columns = _columns(len(cells), plan.width + 2 * BLEED, max((cell.height for cell in cells), default=1))
    width = columns * (plan.width + 2 * BLEED)
    inner = width - 2 * BLEED
    head = lines_of(title, Line("", _TITLE, BLACK, bold=True), inner - 1, 2)
    head += lines_of(subtitle, Line("", _SUBTITLE, GREY), inner, 4)
    foot = lines_of(footer, Line("", _SUBTITLE, BLACK), inner, 6)
    parts = [typeset(head, width, BLEED), _legend(width, panels, truth is not None), *_rows(cells, columns, width)]
    body = stacked([*parts, typeset(foot, width, BLEED, above=16 if foot else 0)], width)
    sheet = Image.new("RGB", (width + 2 * _MARGIN, body.height + 2 * (_MARGIN + BLEED)), PAPER)
    sheet.paste(body, (_MARGIN, _MARGIN + BLEED))
    return _bounded(sheet)


def _bounded(sheet: Image.Image) -> Image.Image:
    shrink = math.sqrt(_MOST_PIXELS / (sheet.width * sheet.height))
    return sheet if shrink >= 1.0 else sheet.resize((int(sheet.width * shrink), int(sheet.height * shrink)))
