"""Commands on prompt files: import."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["prompts"]

prompts = typer.Typer(help="Prompt files, a model's words.", no_args_is_help=True)


@prompts.callback()
def _group() -> None: ...


@prompts.command("import")
def import_(
    folder: Annotated[Path, typer.Argument(help="Your copy of the official IBISAgent repository; none of it is run.")],
    out: Annotated[Path, typer.Option(help="Prompt file to write.")] = Path("prompts.toml"),
) -> None:
    """Write the prompt file of the paper's released weights, from the sentences in FOLDER."""
    from ibisagent.agent.prompt_import import write_imported_prompts

    first = write_imported_prompts(folder, out)
    typer.echo(f"wrote {out}: for --prompts, beside --preset ibis; a request is sent as {first!r}")
