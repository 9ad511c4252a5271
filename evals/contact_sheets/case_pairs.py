"""Cases of two runs each, side by side: the final masks, and where they are right and wrong."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from ibisagent.agent.trajectory import Trajectory
from ibisagent.evals.contact_sheets.from_trajectory import final_panel, open_or_grey
from ibisagent.evals.contact_sheets.layout import draw_legend, frame_sheet
from ibisagent.evals.contact_sheets.panels import (
    BLACK,
    GREY,
    MARGIN,
    WHITE,
    Panel,
    choose_layout,
    draw_panel,
    stack_vertically,
)
from ibisagent.evals.contact_sheets.text import TextLine, render_lines, wrap_lines
from ibisagent.tools.masks.rle import decode
from ibisagent.tools.segmenters.base import Mask, Pixels

__all__ = ["PairedRun", "draw_case_pairs"]

_TITLE, _CASE, _SUBTITLE = 36, 26, 21


class PairedRun(NamedTuple):
    """A run of a pair: its ``heading``, the record, and the folder that the record lies in."""

    heading: str
    record: Trajectory
    folder: Path


class _Drawn(NamedTuple):
    panel: Panel
    truth: Mask | None
    pixels: Pixels


def draw_case_pairs(
    title: str, subtitle: str, pairs: Sequence[tuple[str, PairedRun, PairedRun]], roots: Sequence[Path] = ()
) -> Image.Image:
    """Draw pairs of runs, each with a text of its own, below each other as one RGB picture on white.

    Pictures that lie neither beside their records nor below ``roots`` are drawn grey. Each run has its own picture,
    its own true mask, and its request below the heading.
    """
    drawn = [(text, [_draw(run, roots) for run in runs]) for text, *runs in pairs]
    panels = [each.panel for _, runs in drawn for each in runs]
    plan = choose_layout(panels, maps=True)
    cell = plan.width + 2 * MARGIN
    width = 2 * cell
    head = wrap_lines(title, TextLine("", _TITLE, BLACK, bold=True), width - 2 * MARGIN - 1, 2)
    head += wrap_lines(subtitle, TextLine("", _SUBTITLE, GREY), width - 2 * MARGIN, 4)
    parts = [render_lines(head, width, MARGIN), draw_legend(width, panels, maps=True)]
    for text, runs in drawn:
        cells = [draw_panel(each.panel, plan, each.truth, each.pixels) for each in runs]
        row = Image.new("RGB", (width, max(each.height for each in cells)), WHITE)
        for number, each in enumerate(cells):
            row.paste(each, (number * cell, 0))
        lines = wrap_lines(text, TextLine("", _CASE, BLACK, bold=True), width - 2 * MARGIN - 1, 2)
        parts += [render_lines(lines, width, MARGIN, above=16), row]
    return frame_sheet(stack_vertically(parts, width))


def _draw(run: PairedRun, roots: Sequence[Path]) -> _Drawn:
    image, _ = open_or_grey(run.record, run.folder, roots)
    truth = decode(run.record.truth) if run.record.truth is not None else None
    panel = final_panel(run.record, image, f"{run.heading}: {run.record.request}")
    return _Drawn(panel, truth, image.pixels)
