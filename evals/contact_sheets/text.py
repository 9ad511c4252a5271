"""Text on a Pillow picture in the font that Pillow ships: drawable characters, width, line breaks."""

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple, cast

from PIL import Image, ImageDraw, ImageFont

__all__ = [
    "Color",
    "TextLine",
    "draw_line",
    "fitting_size",
    "line_height",
    "render_lines",
    "text_width",
    "to_drawable",
    "wrap_lines",
    "wrap_text",
]

Color = tuple[int, int, int]

_UNBROKEN = r"\S+(?: \S+)*\s*"  # words held together by single spaces, so that "score 0.83" stays on one line

_SUBSTITUTES = {
    "→": "->", "←": "<-", "↔": "<->", "⇒": "=>", "↑": "^", "↓": "v", "−": "-", "‐": "-", "‑": "-", "–": "-", "—": "-",
    "×": "x", "÷": "/", "≥": ">=", "≤": "<=", "≈": "~", "≠": "!=", "µ": "u", "μ": "u", "✓": "ok", "✔": "ok", "✗": "x",
    "ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "ß": "ss", "æ": "ae", "Æ": "AE", "œ": "oe", "đ": "d", "ð": "d", "þ": "th",
    "ı": "i", "•": "·", "∙": "·", "′": "'", "″": '"', "„": '"', "«": '"', "»": '"',
}  # fmt: skip
_SUPERSCRIPTS = {"²": "2", "³": "3"}
_UNDRAWABLE = "\uffff"  # a noncharacter: no font has it, so it is drawn as the box that stands for a missing glyph


class TextLine(NamedTuple):
    """One line of text and its style; ``size`` in pixels."""

    text: str
    size: int
    ink: Color = (24, 24, 24)
    bold: bool = False
    slanted: bool = False


@lru_cache(maxsize=32)
def _font(size: int) -> ImageFont.FreeTypeFont:
    return cast(ImageFont.FreeTypeFont, ImageFont.load_default(size=size))


@lru_cache(maxsize=4096)
def _has_glyph(character: str) -> bool:
    face = _font(24)
    return bytes(face.getmask(character)) != bytes(face.getmask(_UNDRAWABLE))


@lru_cache(maxsize=4096)
def _substitute(character: str) -> str:
    if character.isspace():
        return " "
    if character in _SUPERSCRIPTS or (character.isprintable() and _has_glyph(character)):
        return character
    if character in _SUBSTITUTES:
        return _SUBSTITUTES[character]
    if unicodedata.category(character)[0] in "CM":
        return ""
    name = unicodedata.name(character, "")
    if name.startswith("GREEK SMALL LETTER "):
        return name.split()[3].lower()
    parts = unicodedata.normalize("NFKD", character)
    return "".join(map(_substitute, parts)) if parts != character else "?"


def to_drawable(text: str) -> str:
    """Replace characters that the font lacks: accents are dropped, arrows become ASCII, Greek is spelled out.

    Other scripts become question marks, one a character.

    >>> to_drawable("Läsion → 12 mm² 肝")
    'Lasion -> 12 mm² ?'
    """
    return "".join(map(_substitute, text))


def _runs(text: str, size: int) -> list[tuple[str, int]]:
    parts = re.split(f"([{''.join(_SUPERSCRIPTS)}])", text)
    return [
        (_SUPERSCRIPTS.get(part, part), round(0.62 * size) if part in _SUPERSCRIPTS else size) for part in parts if part
    ]


def text_width(text: str, size: int) -> float:
    """Return the width in pixels of one `to_drawable` line at ``size`` pixels."""
    return sum(_font(run_size).getlength(run) for run, run_size in _runs(text, size))


def line_height(size: int) -> int:
    """Return the distance in pixels from one line to the next."""
    return round(1.36 * size)


def fitting_size(text: str, size: int, smallest: int, width: float) -> int:
    """Return the largest size from ``size`` down at which the line fits ``width`` pixels, at least ``smallest``."""
    sizes = range(size, smallest, -1)
    return next((each for each in sizes if text_width(text, each) <= width), smallest)


def _cut(text: str, size: int, width: float) -> int:
    """Count the leading characters that fit, at least one."""
    low, high = 1, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if text_width(text[:middle], size) <= width else (low, middle - 1)
    return low


def _shortened(line: str, size: int, width: float) -> str:
    while line and text_width(line + "…", size) > width:
        line = line.rpartition(" ")[0] or line[:-1]
    return line.rstrip(" ,;:.") + "…"


def wrap_text(text: str, size: int, width: float, lines: int) -> list[str]:
    """Break a text into at most ``lines`` lines of ``width`` pixels; what is left out shows as an ellipsis.

    Lines break at two or more spaces, else between words, else, where a word is too wide, inside it.
    """
    room = lines * int(width)  # no glyph is narrower than a pixel: the rest cannot show
    pieces = re.findall(_UNBROKEN, to_drawable(text[: room + 1]))[::-1]
    broken: list[str] = [""]
    while pieces and len(broken) <= lines:
        piece = pieces.pop()
        if text_width((broken[-1] + piece).rstrip(), size) <= width:
            broken[-1] += piece
        elif " " in piece.rstrip() and text_width(piece.rstrip(), size) > width:
            pieces += re.findall(r"\S+\s*", piece)[::-1]
        elif broken[-1]:
            broken.append("")
            pieces.append(piece)
        else:
            end = _cut(piece, size, width)
            broken[-1] = piece[:end]
            pieces += [piece[end:]] if piece[end:].strip() else []
    kept = [line.rstrip() for line in broken[:lines] if line]
    if len(broken) > lines or pieces:
        kept[-1] = _shortened(kept[-1], size, width)
    return kept


def wrap_lines(text: str, looks: TextLine, width: float, lines: int) -> list[TextLine]:
    """Break a text into lines as `wrap_text` does, in the style of ``style``."""
    return [looks._replace(text=line) for line in wrap_text(text, looks.size, width, lines)]


def _render_line(line: TextLine) -> Image.Image:
    """Draw one line upright, (1.36 size, width) of 0 to 255."""
    layer = Image.new("L", (int(text_width(line.text, line.size)) + line.size, line_height(line.size)))
    draw, x = ImageDraw.Draw(layer), 0.0
    for run, size in _runs(line.text, line.size):
        baseline = line.size if size == line.size else round(0.68 * line.size)
        for strike in (0, 1) if line.bold else (0,):  # the font has one weight: bold is a second strike, a pixel on
            draw.text((round(x) + strike, baseline), run, 255, _font(size), anchor="ls")
        x += _font(size).getlength(run)
    return layer


def draw_line(sheet: Image.Image, place: tuple[int, int], line: TextLine) -> None:
    """Draw one `to_drawable` line with its upper left corner at ``place`` (x, y) in pixels."""
    layer = _render_line(line)
    if line.slanted:  # the font has no italics either: lean over the baseline
        lean = (1.0, 0.2, -0.2 * line.size, 0.0, 1.0, 0.0)
        layer = layer.transform(layer.size, Image.Transform.AFFINE, lean, Image.Resampling.BICUBIC)
    sheet.paste(line.ink, place, layer)


def render_lines(lines: Sequence[TextLine], width: int, indent: int, above: int = 0) -> Image.Image:
    """Render lines on a white picture ``width`` pixels wide, ``indent`` from its left and ``above`` from its top."""
    paper = Image.new("RGB", (width, max(1, above + sum(line_height(line.size) for line in lines))), "white")
    top = above
    for line in lines:
        draw_line(paper, (indent, top), line)
        top += line_height(line.size)
    return paper
