"""The click benchmark: how many simulated clicks a segmenter needs (RITM's protocol, Sofiiuk et al. 2021).

The first click falls on the deepest point of the truth, every next one on the deepest pixel of the larger error.
"""

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import typer
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy import ndimage
from scipy.stats import spearmanr

from ibisagent.tools.clicks import Click, Pixel, click_at
from ibisagent.tools.errors import InputError
from ibisagent.tools.measure import iou
from ibisagent.tools.segmenters import get_segmenter, segmenter_names
from ibisagent.tools.segmenters.base import Mask, Pixels, Segmenter
from ibisagent.tools.simulator import NextClick, next_click

__all__ = ["Run", "click_run", "click_sequence", "clicks_to", "rough"]

DEFAULT = ["geocut"]
Place = Callable[[NextClick, Mask, Mask], Pixel]


class Run(NamedTuple):
    """One target: IoU, score and seconds after each click; ends early when no error pixel is left."""

    ious: list[float]
    scores: list[float | None]
    seconds: list[float]


def rough(seed: int, depth: float = 0.4) -> Place:
    """Move clicks to a random pixel of the wrong region, at least ``depth`` of its greatest depth from its outside."""
    rng = np.random.default_rng(seed)

    def place(click: NextClick, mask: Mask, truth: Mask) -> Pixel:
        parts, _ = ndimage.label((truth & ~mask) if click.positive else (mask & ~truth))
        depths = ndimage.distance_transform_edt(np.pad(parts == parts[click.pixel], 1))[1:-1, 1:-1]
        choices = np.argwhere(depths >= depth * depths.max())
        row, column = choices[rng.integers(len(choices))]
        return Pixel(int(row), int(column))

    return place


def click_run(segmenter: Segmenter, pixels: Pixels, truth: Mask, clicks: int = 20, place: Place | None = None) -> Run:
    """Click up to ``clicks`` times on a picture, (H, W) or (H, W, 3) uint8, after its truth, (H, W) bool, not empty."""
    embedding, prior, mask = segmenter.embed(pixels), None, np.zeros(truth.shape, np.bool_)
    prompts: list[Click] = []
    taken: list[Pixel] = []
    run = Run([], [], [])
    for _ in range(clicks):
        click = next_click(mask, truth, taken)
        if click is None:
            break
        pixel = place(click, mask, truth) if place else click.pixel
        taken += [click.pixel, pixel]
        prompts.append(click_at(pixel, truth.shape, click.positive))
        start = time.perf_counter()
        prediction = segmenter.predict(embedding, tuple(prompts), prior)
        run.seconds.append(time.perf_counter() - start)
        mask, prior = prediction.mask, prediction.prior
        run.ious.append(iou(mask, truth))
        run.scores.append(prediction.score)
    return run


def click_sequence(segmenter: Segmenter, pixels: Pixels, truth: Mask, clicks: int = 20) -> list[float]:
    """Give the IoU after each of ``clicks`` clicks; when no error is left to click on, the last one repeats."""
    return _padded(click_run(segmenter, pixels, truth, clicks).ious, clicks)


def clicks_to(ious: list[float], target: float) -> int:
    """Count the clicks until the IoU reaches ``target``; all of them when it never does (NoC)."""
    return next((index for index, value in enumerate(ious, 1) if value >= target), len(ious))


def _padded(values: list[float], length: int) -> list[float]:
    return values + [values[-1] if values else 0.0] * (length - len(values))


def _pairs(folder: Path) -> Iterator[tuple[Pixels, Mask]]:
    for path in sorted((folder / "images").glob("*.png")):
        with Image.open(path) as image, Image.open(folder / "masks" / path.name) as mask:
            grey = image.mode in ("1", "L", "LA")
            truth: NDArray[np.bool_] = np.asarray(mask.convert("L")) > 0
            if truth.any():
                yield np.asarray(image.convert("L" if grey else "RGB")), truth


def _row(name: str, runs: list[Run], clicks: int) -> list[str]:
    ious = [_padded(run.ious, clicks) for run in runs]
    means = np.mean(ious, axis=0)
    known = [(s, i) for run in runs for s, i in zip(run.scores, run.ious, strict=True) if s is not None]
    scores, values = [s for s, _ in known], [i for _, i in known]
    rho = f"{spearmanr(scores, values).statistic:.2f}" if len(set(scores)) > 1 and len(set(values)) > 1 else "-"
    at = [f"{means[k - 1]:.3f}" if k <= clicks else "-" for k in (1, 3, 5, 10, 20)]
    noc = [f"{np.mean([clicks_to(sequence, target) for sequence in ious]):.1f}" for target in (0.80, 0.85)]
    median = 1000 * float(np.median([seconds for run in runs for seconds in run.seconds]))
    return [name, str(len(runs)), *at, *noc, f"{median:.0f}", rho]


def main(
    folder: Annotated[Path, typer.Argument(help="holds images/*.png and masks/*.png of equal names")],
    segmenter: Annotated[list[str], typer.Option(help=f"one of {', '.join(segmenter_names())}; repeatable")] = DEFAULT,
    clicks: Annotated[int, typer.Option(min=1)] = 20,
    jitter: Annotated[bool, typer.Option(help="rough clicks instead of centred ones")] = False,
) -> None:
    """Click on every target of a folder and print a row for each segmenter."""
    models = [get_segmenter(name) for name in segmenter]
    pairs = list(_pairs(folder))
    if not pairs:
        raise InputError(f"{folder}: expected images/*.png with masks/*.png of equal names and a mask not empty")
    ranks = [f"IoU@{k}" for k in (1, 3, 5, 10, 20)]
    table = Table("segmenter", "n", *ranks, "NoC@80", "NoC@85", "ms", "rho", box=None, padding=(0, 1, 0, 0))
    for name, model in zip(segmenter, models, strict=True):
        place = rough(0) if jitter else None
        runs = [click_run(model, *pair, clicks, place) for pair in track(pairs, name, console=Console(stderr=True))]
        table.add_row(*_row(name, runs, clicks))
    Console().print(table)


if __name__ == "__main__":
    try:
        typer.run(main)
    except InputError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(2) from None
