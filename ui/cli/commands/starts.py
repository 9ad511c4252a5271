"""Commands on recorded states: starts mine."""

from pathlib import Path
from typing import Annotated

import typer

from ibisagent.ui.cli.commands.options import ImageRoots

__all__ = ["starts"]


starts = typer.Typer(help="Recorded states at which episodes of a training begin.", no_args_is_help=True)


@starts.callback()
def _starts() -> None: ...


@starts.command()
def mine(
    runs: Annotated[
        list[str],
        typer.Argument(help="Run folders, .json, .jsonl, .zip, an SQLite file or postgresql:// address of threads."),
    ],
    out: Annotated[Path, typer.Option(help="File of the starts, .jsonl.")],
    where: Annotated[
        list[str] | None,
        typer.Option(help="lost, stuck, undone, corrected or refused; repeatable; default: all."),
    ] = None,
    loss: Annotated[float, typer.Option(min=0, max=1, help="lost: the IoU fell by more than this.")] = 0.02,
    useless: Annotated[int, typer.Option(min=1, help="stuck: prompts in a row without a gain in IoU.")] = 3,
    per_run: Annotated[int, typer.Option(min=1, help="At most so many starts of a run.")] = 2,
    store: Annotated[
        Path | None, typer.Option(help="Folder of the threads' replies and masks; default: FILE.store beside SQLite.")
    ] = None,
    root: ImageRoots = None,
) -> None:
    """Find states just before a policy erred; `train grpo --starts` begins episodes there. RUNS are only read.

    A state needs a truth: the record's own, or the mask that a person accepted.

    Of a page's sessions only kept cases are read, with their consent.
    """
    from ibisagent.training.starts.mining import REASONS, MiningRules
    from ibisagent.ui.cli.mine_starts import run_mine

    rules = MiningRules(where=tuple(where or REASONS), loss=loss, useless=useless, per_run=per_run)
    run_mine(runs, out, rules, store=store, roots=root or ())
