"""Plots as inline SVG: in the page's fonts and its light or dark text color, equal bytes for equal data."""

import html
import io
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from ibisagent.tools.errors import MissingExtra
from ibisagent.tools.files import printable_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["COLOURS", "FAINT", "GLYPHS", "INK", "MARKERS", "Plot", "render_plot", "shorten"]

# Okabe and Ito's palette without yellow, which has too little contrast on white; the most contrast first.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
MARKERS, GLYPHS = "osD^vPX", "●■◆▲▼✚✖"
INK, FAINT = "#010101", "#020202"  # placeholders of the page's own colors, which differ in dark mode
_STYLE: dict[Any, Any] = {
    "font.size": 9,
    "text.parse_math": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "ibisagent",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": FAINT,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.5,
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
}


class Plot(NamedTuple):
    """A plot of one segmenter: its title and its inline SVG."""

    title: str
    svg: str


def render_plot(title: str, description: str, draw: Callable[["Axes"], None], height: float) -> Plot:
    """Draw one pair of axes, 4.2 by ``height`` inches; ``description`` is its text for screen readers."""
    with _plot_style():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(4.2, height), layout="constrained")
        draw(figure.add_subplot())
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata=dict.fromkeys(_METADATA))
    return Plot(title, _inline_svg(buffer.getvalue(), f"{title}: {description}"))


_METADATA = ("Creator", "Date", "Format", "Type")


@contextmanager
def _plot_style() -> Iterator[None]:
    """Set our style; warnings about characters that the font lacks are suppressed."""
    MissingExtra.require("eval", "matplotlib")
    import matplotlib

    with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph|.*[Ff]ont", category=UserWarning)
        yield


_FILE_ONLY = re.compile(r"<metadata>.*?</metadata>|<style.*?</style>|<\?.*?\?>", re.DOTALL)
_UNUSED_ID = re.compile(r' id="(?:figure|axes|patch|text|line2d|matplotlib|xtick|ytick|\w+Collection)[\w.]*"')


def _inline_svg(svg: str, description: str) -> str:
    """Remove what only a standalone file needs, and the ids that nothing refers to: every plot has the same ones."""
    opening = f'role="img" aria-label="{html.escape(description)}">'
    body = _UNUSED_ID.sub("", _FILE_ONLY.sub("", svg[svg.index("<svg") :]))
    body = re.sub(r'^<svg[^>]*?(viewBox="[^"]*")[^>]*>', lambda found: f"<svg {found[1]} {opening}", body)
    body = re.sub(r"font: (?:\w+ )?([\d.]+px) [^;\"]*|font-family: [^;\"]*; ", _size, body)
    return body.replace("xlink:href", "href").replace(INK, "currentColor").replace(FAINT, "var(--faint)")


def _size(font: re.Match[str]) -> str:
    return f"font-size: {font[1]}" if font[1] else ""


def shorten(name: Any, longest: int = 22) -> str:
    """Return a name shortened to fit beside an axis."""
    text = printable_text(name) or "none given"
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
