"""The progress bar and the console of the commands over a data set."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

__all__ = ["progress_bar", "wide_console"]


def wide_console(columns: int) -> Console:
    """Return the console for tables on stdout, at least ``columns`` wide where that is no terminal."""
    console = Console()
    return console if console.is_terminal else Console(width=max(columns, console.width))


@contextmanager
def progress_bar(out: Path | str, at_the_end: str) -> Iterator[Callable[[dict[str, Any], int, int], None]]:
    """Yield a callback of each new row, the number of finished rows and the total; Ctrl-C prints how to resume.

    ``at_the_end``: the description once all rows are finished.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    console = Console(stderr=True)
    progress = Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console, transient=True)
    task = progress.add_task("starting", total=None)

    def tell(_row: dict[str, Any], done: int, total: int) -> None:
        if progress.tasks[task].total is None:
            progress.reset(task, total=total, completed=done)
        progress.update(task, completed=done, description="running" if done < total else at_the_end)

    try:
        with progress:
            yield tell
    except KeyboardInterrupt:
        folder = escape(str(out))
        console.print(
            f"finished work is kept in {folder}; the same command with --out {folder} resumes from there",
            soft_wrap=True,
        )
        raise
