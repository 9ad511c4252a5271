"""Clicks, examples and boxes drawn over a picture for people; the model's pictures have no markers."""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from PIL import Image, ImageDraw

from ibisagent.evals.contact_sheets.text import Color
from ibisagent.tools.clicks import Box, Click, Prompt, Similar

__all__ = ["NEGATIVE", "POSITIVE", "Area", "draw_prompts", "draw_sign"]

POSITIVE: Color = (0, 150, 64)
NEGATIVE: Color = (206, 32, 41)
_BOX: Color = (255, 214, 10)
_DARK: Color = (20, 20, 20)
_WHITE: Color = (255, 255, 255)
_SUPERSAMPLING = 8  # drawn this many times larger, then reduced: Pillow's shapes are not antialiased


class Area(NamedTuple):
    """A rectangle of a sheet in pixels: x to the right, y down."""

    left: int
    top: int
    width: int
    height: int


def _draw_disc(draw: ImageDraw.ImageDraw, middle: float, radius: float, ink: Color) -> None:
    near, far = _SUPERSAMPLING * (middle - radius), _SUPERSAMPLING * (middle + radius)
    draw.ellipse((near, near, far, far), ink)


def _draw_diamond(draw: ImageDraw.ImageDraw, middle: float, radius: float, ink: Color) -> None:
    near, centre, far = (_SUPERSAMPLING * (middle + 1.3 * reach) for reach in (-radius, 0, radius))
    draw.polygon([(centre, near), (far, centre), (centre, far), (near, centre)], ink)


def _draw_strokes(draw: ImageDraw.ImageDraw, middle: float, reach: float, positive: bool) -> None:
    thick = 0.3 * reach
    strokes = [(reach, thick), (thick, reach)] if positive else [(reach, thick)]
    for across, along in strokes:
        corners = (middle - across, middle - along, middle + across, middle + along)
        draw.rectangle([_SUPERSAMPLING * corner for corner in corners], _WHITE)


@lru_cache(maxsize=8)
def _draw_marker(positive: bool, newest: bool, is_example: bool) -> Image.Image:
    """Draw a marker, RGBA: a shape with a sign, a white ring, a dark outline; the newest is larger in a second ring.

    A click is a disc, an example of what all targets look like a diamond.
    """
    ink, radius, half = POSITIVE if positive else NEGATIVE, 7.5, 18 if newest else 11
    draw_shape, half = (_draw_diamond, round(1.3 * half)) if is_example else (_draw_disc, half)
    stamp = Image.new("RGBA", (2 * half * _SUPERSAMPLING, 2 * half * _SUPERSAMPLING), (*_WHITE, 0))
    draw = ImageDraw.Draw(stamp)
    rings = [(radius + 9.5, _DARK), (radius + 8.5, ink), (radius + 5.5, _WHITE)] if newest else []
    for reach, colour in [*rings, (radius + 3, _DARK), (radius + 2, _WHITE), (radius, ink)]:
        draw_shape(draw, half, reach, colour)
    _draw_strokes(draw, half, 4.6, positive)
    return stamp.resize((2 * half, 2 * half), Image.Resampling.BOX)


def draw_sign(sheet: Image.Image, place: tuple[int, int], prompt: Click | Similar, newest: bool = False) -> None:
    """Draw the marker of a click or an example with its middle at ``place`` (x, y) in pixels of the sheet."""
    stamp = _draw_marker(prompt.positive, newest, isinstance(prompt, Similar))
    sheet.paste(stamp, (place[0] - stamp.width // 2, place[1] - stamp.height // 2), stamp)


def _draw_box(sheet: Image.Image, area: Area, box: Box, newest: bool) -> None:
    left, right = (area.left + round(x * (area.width - 1)) for x in (box.x0, box.x1))
    top, bottom = (area.top + round(y * (area.height - 1)) for y in (box.y0, box.y1))
    draw, inks = ImageDraw.Draw(sheet), [_DARK, *[_BOX] * (4 if newest else 2), _DARK]
    for inset, ink in enumerate(inks, start=-1):  # from a pixel outside inwards
        lower_right = (max(left + inset, right - inset), max(top + inset, bottom - inset))
        draw.rectangle((left + inset, top + inset, *lower_right), outline=ink)


def draw_prompts(sheet: Image.Image, area: Area, prompts: Sequence[Prompt]) -> None:
    """Draw the prompts, oldest first, over the picture that fills ``area``; boxes below the rest, the newest on top."""
    newest = len(prompts) - 1
    for number, prompt in sorted(enumerate(prompts), key=lambda each: not isinstance(each[1], Box)):
        if isinstance(prompt, Box):
            _draw_box(sheet, area, prompt, number == newest)
        else:
            across, down = round(prompt.x * (area.width - 1)), round(prompt.y * (area.height - 1))
            draw_sign(sheet, (area.left + across, area.top + down), prompt, number == newest)
