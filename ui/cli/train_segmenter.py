"""`ibisagent train segmenter`: training with a progress bar."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from ibisagent.tools.datasets.sampling import CaseFilter
from ibisagent.tools.errors import MissingExtra
from ibisagent.ui.cli.progress import progress_bar

MissingExtra.require("models", "torch", "safetensors")

from ibisagent.training.segmenter.run import SegmenterTraining, train_segmenter  # noqa: E402

__all__ = ["run_train_segmenter"]


def run_train_segmenter(
    data: Sequence[Path], out: Path, *, rounds: int, part: CaseFilter, seed: int, start: Path | None
) -> None:
    """Train on data sets, print the last round's figures and how to use the weights."""
    settings, console = SegmenterTraining(rounds=rounds, seed=seed), Console(highlight=False)
    with progress_bar(out, "writing") as tell:
        weights = train_segmenter(settings, data, out, part=part, start=start, on_round=tell)
    path = escape(str(weights))
    console.print(f"wrote {path}; try it: --segmenter geonet:{path}", soft_wrap=True)
