"""Commands about the installation: example, doctor."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["doctor", "example"]


def example(
    folder: Annotated[Path, typer.Argument(help="Folder for the files; created if missing.")],
) -> None:
    """Write the pictures of the documentation, their true masks and a small data set into FOLDER."""
    from rich.console import Console

    from ibisagent.ui.example_folder import write_example

    Console().print(f"wrote {', '.join(map(str, write_example(folder)))}", soft_wrap=True, markup=False)


def doctor(
    train: Annotated[
        str | None,
        typer.Option(metavar="CONFIG", help="Check instead whether a GRPO training by this config can run here."),
    ] = None,
    base: Annotated[str | None, typer.Option(help="With --train: base model folder or hub id.")] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="With --train: config override; repeatable.")
    ] = None,
) -> None:
    """Report what is installed, what missing extras are for, and whether the loop runs here."""
    if train is not None:
        from ibisagent.ui.cli.doctor_training import run_training_doctor

        run_training_doctor(train, overrides or (), base)
        return
    from ibisagent.ui.cli.doctor import run_doctor

    run_doctor()
