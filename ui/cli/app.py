"""The command line: every command under its name; every heavy import is deferred until its command runs."""

import sys
from collections.abc import Callable
from typing import Annotated

import typer

from ibisagent.tools.errors import IbisError
from ibisagent.ui.cli.commands import (
    benchmarks,
    prompts,
    reviews,
    runs,
    servers,
    setup,
    starts,
    stored_sessions,
    training,
    training_data,
)
from ibisagent.ui.cli.named_help import NamedHelpCommand, OrderedMarksCommand

__all__ = ["app", "main", "run_with_exit_code"]

app = typer.Typer(
    name="ibisagent",
    help="Segment medical images by reasoning and clicking.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _print_version(requested: bool) -> None:
    if requested:
        from importlib.metadata import version

        typer.echo(f"ibisagent {version('ibisagent')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None: ...


app.command(cls=OrderedMarksCommand)(runs.segment)
app.command(cls=NamedHelpCommand)(runs.simulate)
app.command()(runs.replay)
app.command(cls=NamedHelpCommand)(benchmarks.clicks)
app.command("eval", cls=NamedHelpCommand)(benchmarks.evaluate)
app.command(cls=NamedHelpCommand)(benchmarks.suite)
app.command()(training_data.phantoms)
app.command()(training_data.augment)
app.command(cls=NamedHelpCommand)(servers.mcp)
app.command(cls=NamedHelpCommand)(servers.web)
app.command()(reviews.review)
app.command()(setup.example)
app.command()(setup.doctor)
app.add_typer(training_data.trajectories, name="trajectories")
app.add_typer(starts.starts, name="starts")
app.add_typer(training.training, name="train")
app.add_typer(prompts.prompts, name="prompts")
app.add_typer(stored_sessions.stored_sessions, name="sessions")


def main() -> None:
    """Run the command line; exit codes: 0 done, 2 wrong input, 3 a run failed, 1 a bug."""
    run_with_exit_code(app)


def run_with_exit_code(run: Callable[[], None]) -> None:
    """Run a function; an `IbisError` becomes one line on stderr and its exit code."""
    try:
        run()
    except IbisError as error:
        sys.stderr.write(f"ibisagent: {' '.join(str(error).split())}\n")
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt:
        sys.stderr.write("ibisagent: stopped\n")
        raise SystemExit(130) from None
