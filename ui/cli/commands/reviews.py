"""The command of the expert check: review."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["review"]


def review(
    runs: Annotated[
        Path,
        typer.Argument(help="Recorded runs to judge: an evaluation's folder, or a .json or .jsonl of trajectories."),
    ],
    out: Annotated[Path, typer.Option(help="CSV file of the verdicts, added to.")] = Path("reviews.csv"),
    reader: Annotated[
        list[str] | None,
        typer.Option(help="A reader, who gets a link; repeatable. Default: whoever opens the page types a name."),
    ] = None,
    report: Annotated[bool, typer.Option("--report", help="Print what was read, and serve nothing.")] = False,
    root: Annotated[
        list[Path] | None, typer.Option(help="Folder in which a recorded run's picture may lie; repeatable.")
    ] = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 7861,
    host: Annotated[
        str, typer.Option(help="Address to listen on; any but loopback lets other machines in and needs --reader.")
    ] = "127.0.0.1",
    seed: Annotated[int, typer.Option(help="Seed of the readers' orders.")] = 0,
) -> None:
    """Have experts judge recorded runs, blinded and in an order of their own, and print how far they agree."""
    from ibisagent.ui.cli.review import ReviewOptions, run_review

    options = ReviewOptions(
        runs=runs,
        out=out,
        roots=tuple(root or ()),
        readers=tuple(reader or ()),
        port=port,
        host=host,
        seed=seed,
    )
    run_review(options, report=report)
