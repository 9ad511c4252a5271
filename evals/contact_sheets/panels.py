"""One step of a run as a cell of the contact sheet."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from PIL import Image, ImageDraw

from ibisagent.evals.contact_sheets.markers import Area, draw_prompts
from ibisagent.evals.contact_sheets.text import (
    Color,
    TextLine,
    draw_line,
    fitting_size,
    line_height,
    render_lines,
    text_width,
    to_drawable,
    wrap_lines,
)
from ibisagent.evals.contact_sheets.tiles import draw_error_map, fit_size, resize_picture
from ibisagent.tools.clicks import Prompt
from ibisagent.tools.segmenters.base import Mask, Pixels

__all__ = [
    "BLACK",
    "GREY",
    "GUTTER",
    "MARGIN",
    "SMALL_SIZE",
    "WHITE",
    "Panel",
    "PanelLayout",
    "choose_layout",
    "draw_panel",
    "stack_vertically",
]

WHITE: Color = (255, 255, 255)
BLACK: Color = (24, 24, 24)
GREY: Color = (105, 105, 105)
_TILE_BACKGROUND: Color = (238, 238, 238)
_ERROR_COLOR: Color = (190, 40, 20)

# Pixels, about twice the density of a screen.
MARGIN = 20  # around a panel, for markers on the picture's edge
GUTTER = 8
SMALL_SIZE, _HEADING = 18, 24
_TILE_WIDTH = 400  # the width of every tile
_MIN_TILE_HEIGHT, _MAX_TILE_HEIGHT = 120, 480  # its height, whatever the picture's aspect
_THOUGHT_LINES = 6


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """One step on the contact sheet.

    ``heading``: number and action, such as "3  Negative Point (0.4512, 0.4238)"; ``thought``: of any length.
    ``facts``: measurements set apart by two or more spaces, where lines break first.
    ``overlay``: (H, W, 3), the picture with the mask blended in, without markers; ``mask``: (H, W).
    ``prompts``: the active ones, oldest first; ``undone_by``: index of the step that undid this one.
    ``error``: why the reply led to no action.
    """

    heading: str
    thought: str
    facts: str
    overlay: Pixels
    prompts: tuple[Prompt, ...]
    mask: Mask
    undone_by: int | None = None
    error: str | None = None


class PanelLayout(NamedTuple):
    """What all panels share: the height of a tile in pixels, and the numbers of columns and rows of tiles."""

    tile_height: int
    columns: int
    rows: int

    @property
    def width(self) -> int:
        """Width of a panel's text and pictures in pixels."""
        return self.columns * (_TILE_WIDTH + GUTTER) - GUTTER

    @property
    def height(self) -> int:
        """Height of a panel's pictures in pixels."""
        return self.rows * (self.tile_height + GUTTER) - GUTTER


def choose_layout(panels: Sequence[Panel], maps: bool) -> PanelLayout:
    """Choose one layout for all panels; error maps (``maps``) go beside the picture, below it where it is flat."""
    aspect = max((panel.mask.shape[0] / panel.mask.shape[1] for panel in panels), default=1.0)
    tile = min(max(round(_TILE_WIDTH * aspect), _MIN_TILE_HEIGHT), _MAX_TILE_HEIGHT)
    flat = 2 * tile <= _TILE_WIDTH
    return PanelLayout(tile, 2 if maps and not flat else 1, 2 if maps and flat else 1)


def stack_vertically(parts: Sequence[Image.Image], width: int) -> Image.Image:
    """Paste pictures below each other at the left edge of a white picture, ``width`` pixels wide."""
    paper = Image.new("RGB", (width, sum(part.height for part in parts)), WHITE)
    top = 0
    for part in parts:
        paper.paste(part, (0, top))
        top += part.height
    return paper


def _heading_lines(panel: Panel, width: int) -> list[TextLine]:
    ink = _ERROR_COLOR if panel.error is not None else BLACK if panel.undone_by is None else GREY
    size = fitting_size(to_drawable(panel.heading), _HEADING, 18, width - 1)
    return wrap_lines(panel.heading, TextLine("", size, ink, bold=True), width - 1, 1)


def _caption_lines(panel: Panel, width: int) -> list[TextLine]:
    return [
        *wrap_lines(panel.error or "", TextLine("", SMALL_SIZE, _ERROR_COLOR), width, 3),
        *wrap_lines(panel.facts, TextLine("", SMALL_SIZE, BLACK), width, 2),
        *wrap_lines(
            " ".join(panel.thought.split()), TextLine("", SMALL_SIZE, GREY, slanted=True), width - 4, _THOUGHT_LINES
        ),
    ]


def _mark_undone(paper: Image.Image, area: Area, tag: str) -> None:
    """Draw a red frame around a tile, and the tag on a red label in its lower left corner."""
    draw = ImageDraw.Draw(paper)
    right, bottom = area.left + area.width - 1, area.top + area.height - 1
    draw.rectangle((area.left, area.top, right, bottom), outline=_ERROR_COLOR, width=4)
    if tag:
        top = bottom - line_height(SMALL_SIZE) - 6
        draw.rectangle((area.left, top, area.left + round(text_width(tag, SMALL_SIZE)) + 24, bottom), fill=_ERROR_COLOR)
        draw_line(paper, (area.left + 12, top + 4), TextLine(tag, SMALL_SIZE, WHITE))


def _place_picture(paper: Image.Image, area: Area, picture: Image.Image, undone: bool, tag: str = "") -> Area:
    """Paste a picture into the middle of its tile, paler when undone; returns the area of the picture itself."""
    left, top = area.left + (area.width - picture.width) // 2, area.top + (area.height - picture.height) // 2
    paper.paste(_TILE_BACKGROUND, (area.left, area.top, area.left + area.width, area.top + area.height))
    paper.paste(Image.blend(picture, Image.new("RGB", picture.size, WHITE), 0.55 if undone else 0.0), (left, top))
    if undone:
        _mark_undone(paper, area, tag)
    return Area(left, top, *picture.size)


def draw_panel(panel: Panel, plan: PanelLayout, truth: Mask | None, pixels: Pixels | None) -> Image.Image:
    """Draw a step: heading, picture, error map, facts and thought, with a margin on both sides."""
    width, undone = plan.width + 2 * MARGIN, panel.undone_by is not None
    blank = Image.new("RGB", (width, line_height(_HEADING) + MARGIN + plan.height + 18), WHITE)
    paper = stack_vertically([blank, render_lines(_caption_lines(panel, plan.width), width, MARGIN)], width)
    heading = render_lines(_heading_lines(panel, plan.width), width, MARGIN)
    paper.paste(heading, (0, MARGIN + line_height(_HEADING) - heading.height))
    left, top = MARGIN, MARGIN + line_height(_HEADING) + 7
    size = fit_size((panel.mask.shape[1], panel.mask.shape[0]), (_TILE_WIDTH, plan.tile_height))
    if truth is not None:
        chart = draw_error_map(panel.overlay if pixels is None else pixels, panel.mask, truth, size)
        shift = (_TILE_WIDTH + GUTTER, 0) if plan.columns == 2 else (0, plan.tile_height + GUTTER)
        _place_picture(paper, Area(left + shift[0], top + shift[1], _TILE_WIDTH, plan.tile_height), chart, undone)
    tag = f"undone by step {panel.undone_by}"
    place = _place_picture(
        paper, Area(left, top, _TILE_WIDTH, plan.tile_height), resize_picture(panel.overlay, size), undone, tag
    )
    draw_prompts(paper, place, panel.prompts)
    return paper
