"""One step of a run as a cell of the contact sheet."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from PIL import Image, ImageDraw

from ibisagent.agent.contact_sheet.markers import Area, draw_prompts
from ibisagent.agent.contact_sheet.text import (
    Ink,
    Line,
    fitting_size,
    legible,
    line_height,
    lines_of,
    text_width,
    typeset,
    write,
)
from ibisagent.agent.contact_sheet.tiles import fitted, scaled, scaled_map
from ibisagent.tools.clicks import Prompt
from ibisagent.tools.segmenters.base import Mask, Pixels

__all__ = ["BLACK", "BLEED", "GREY", "PAPER", "SEAM", "SMALL", "Panel", "Plan", "draw_panel", "plan_for", "stacked"]

PAPER: Ink = (255, 255, 255)
BLACK: Ink = (24, 24, 24)
GREY: Ink = (105, 105, 105)
_MAT: Ink = (238, 238, 238)
_ALARM: Ink = (190, 40, 20)

# Pixels, about twice the density of a screen.
BLEED = 20  # around a panel, for markers on the picture's edge
SEAM = 8
SMALL, _HEADING = 18, 24
_TILE = 400  # the width of every tile
_LOWEST, _HIGHEST = 120, 480  # its height, whatever the picture's aspect
_THOUGHT_LINES = 6


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """One step as the sheet shows it.

    ``heading``: number and action, such as "3  Negative Point (0.4512, 0.4238)"; ``thought``: of any length.
    ``facts``: measurements set apart by two or more spaces, where lines break first.
    ``overlay``: (H, W, 3), the picture with the mask blended in, without markers; ``mask``: (H, W).
    ``prompts``: those in force, oldest first; ``undone_by``: the number of the step that took this one back.
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


class Plan(NamedTuple):
    """What all panels share: the height of a tile and how many stand side by side and below each other."""

    tile: int
    across: int
    down: int

    @property
    def width(self) -> int:
        """Width of a panel's text and pictures in pixels."""
        return self.across * (_TILE + SEAM) - SEAM

    @property
    def height(self) -> int:
        """Height of a panel's pictures in pixels."""
        return self.down * (self.tile + SEAM) - SEAM


def plan_for(panels: Sequence[Panel], maps: bool) -> Plan:
    """Choose one tile for all panels; error maps (``maps``) stand beside the picture, below it where it is flat."""
    aspect = max((panel.mask.shape[0] / panel.mask.shape[1] for panel in panels), default=1.0)
    tile = min(max(round(_TILE * aspect), _LOWEST), _HIGHEST)
    flat = 2 * tile <= _TILE
    return Plan(tile, 2 if maps and not flat else 1, 2 if maps and flat else 1)


def stacked(parts: Sequence[Image.Image], width: int) -> Image.Image:
    """Set pictures below each other at the left edge of white paper, ``width`` pixels wide."""
    paper = Image.new("RGB", (width, sum(part.height for part in parts)), PAPER)
    top = 0
    for part in parts:
        paper.paste(part, (0, top))
        top += part.height
    return paper


def _heading(panel: Panel, width: int) -> list[Line]:
    ink = _ALARM if panel.error is not None else BLACK if panel.undone_by is None else GREY
    size = fitting_size(legible(panel.heading), _HEADING, 18, width - 1)
    return lines_of(panel.heading, Line("", size, ink, bold=True), width - 1, 1)


def _caption(panel: Panel, width: int) -> list[Line]:
    return [
        *lines_of(panel.error or "", Line("", SMALL, _ALARM), width, 3),
        *lines_of(panel.facts, Line("", SMALL, BLACK), width, 2),
        *lines_of(" ".join(panel.thought.split()), Line("", SMALL, GREY, slanted=True), width - 4, _THOUGHT_LINES),
    ]


def _strike_out(paper: Image.Image, area: Area, tag: str) -> None:
    """Set a red frame around a tile, and the tag on a red label in its lower left corner."""
    draw = ImageDraw.Draw(paper)
    right, bottom = area.left + area.width - 1, area.top + area.height - 1
    draw.rectangle((area.left, area.top, right, bottom), outline=_ALARM, width=4)
    if tag:
        top = bottom - line_height(SMALL) - 6
        draw.rectangle((area.left, top, area.left + round(text_width(tag, SMALL)) + 24, bottom), fill=_ALARM)
        write(paper, (area.left + 12, top + 4), Line(tag, SMALL, PAPER))


def _mount(paper: Image.Image, area: Area, picture: Image.Image, undone: bool, tag: str = "") -> Area:
    """Set a picture into the middle of its tile, paler when undone; gives the place of the picture itself."""
    left, top = area.left + (area.width - picture.width) // 2, area.top + (area.height - picture.height) // 2
    paper.paste(_MAT, (area.left, area.top, area.left + area.width, area.top + area.height))
    paper.paste(Image.blend(picture, Image.new("RGB", picture.size, PAPER), 0.55 if undone else 0.0), (left, top))
    if undone:
        _strike_out(paper, area, tag)
    return Area(left, top, *picture.size)


def draw_panel(panel: Panel, plan: Plan, truth: Mask | None, pixels: Pixels | None) -> Image.Image:
    """Draw a step: heading, picture, error map, facts and thought, with the bleed on both sides."""
    width, undone = plan.width + 2 * BLEED, panel.undone_by is not None
    blank = Image.new("RGB", (width, line_height(_HEADING) + BLEED + plan.height + 18), PAPER)
    paper = stacked([blank, typeset(_caption(panel, plan.width), width, BLEED)], width)
    heading = typeset(_heading(panel, plan.width), width, BLEED)
    paper.paste(heading, (0, BLEED + line_height(_HEADING) - heading.height))
    left, top = BLEED, BLEED + line_height(_HEADING) + 7
    size = fitted((panel.mask.shape[1], panel.mask.shape[0]), (_TILE, plan.tile))
    if truth is not None:
        chart = scaled_map(panel.overlay if pixels is None else pixels, panel.mask, truth, size)
        shift = (_TILE + SEAM, 0) if plan.across == 2 else (0, plan.tile + SEAM)
        _mount(paper, Area(left + shift[0], top + shift[1], _TILE, plan.tile), chart, undone)
    tag = f"undone by step {panel.undone_by}"
    place = _mount(paper, Area(left, top, _TILE, plan.tile), scaled(panel.overlay, size), undone, tag)
    draw_prompts(paper, place, panel.prompts)
    return paper
