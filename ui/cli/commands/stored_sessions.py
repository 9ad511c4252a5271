"""Commands on stored sessions: forget."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["stored_sessions"]

stored_sessions = typer.Typer(help="Sessions that `ibisagent web --db` stores.", no_args_is_help=True)


@stored_sessions.callback()
def _group() -> None: ...


@stored_sessions.command()
def forget(
    handle: Annotated[str, typer.Argument(help="The session's handle: what follows s= in the page's address.")],
    db: Annotated[Path, typer.Option(help="SQLite file of the sessions.")],
) -> None:
    """Delete every trace of a session: upload, pictures, checkpoints, kept cases."""
    from ibisagent.ui.cli.stored_sessions import run_forget

    run_forget(handle, db)
    typer.echo("forgotten")
