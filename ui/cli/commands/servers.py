"""Commands that serve other programs, or people: mcp, web."""

from pathlib import Path
from typing import Annotated

import typer

from ibisagent.ui.cli.commands.options import (
    LocalOnly,
    MaxSteps,
    Preset,
    Prompts,
    Propose,
    Seed,
    Segmenter,
)
from ibisagent.ui.cli.named_help import SERVED

__all__ = ["mcp", "web"]


def mcp(
    root: Annotated[
        list[Path] | None, typer.Option(help="Folder from which images may be read; repeatable; default: none.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for exported files; default: resources only.")] = None,
    policy: Annotated[str, typer.Option(help=f"{SERVED}.")] = "nano",
    propose: Propose = None,
    segmenter: Segmenter = "geocut",
    preset: Preset = "default",
    max_steps: MaxSteps = 20,
    seed: Seed = 0,
    prompts: Prompts = None,
    http: Annotated[bool, typer.Option(help="Streamable HTTP at /mcp instead of stdio.")] = False,
    host: Annotated[
        str, typer.Option(help="Address to listen on; any but loopback lets other machines connect.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8000,
    sessions: Annotated[
        int, typer.Option(min=1, help="Maximum number of sessions; the least recently used ends first.")
    ] = 32,
    file_mib: Annotated[int, typer.Option(min=1, help="Maximum size of a file or folder, in MiB.")] = 512,
    local_only: LocalOnly = False,
) -> None:
    """Serve segmentation over MCP (stdio or HTTP): tools segment, refine, measure, export."""
    from ibisagent.ui.cli.mcp import ServerOptions, run_mcp
    from ibisagent.ui.sessions.limits import Limits

    run_mcp(
        ServerOptions(
            policy=policy,
            segmenter=segmenter,
            propose=propose,
            preset=preset,
            max_steps=max_steps,
            seed=seed,
            prompts=prompts,
            roots=tuple(root or ()),
            out=out,
            transport="http" if http else "stdio",
            host=host,
            port=port,
            local_only=local_only,
            limits=Limits(sessions=sessions, file_bytes=file_mib * 2**20),
        )
    )


def web(
    runs: Annotated[
        Path | None,
        typer.Argument(help="Recorded runs to read: an evaluation's folder, or a .json or .jsonl of trajectories."),
    ] = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 7860,
    host: Annotated[
        str, typer.Option(help="Address to listen on; any but loopback lets other machines in and needs --auth.")
    ] = "127.0.0.1",
    policy: Annotated[
        str | None, typer.Option(help=f"{SERVED}. Default: nano; with RUNS: none.", show_default=False)
    ] = None,
    propose: Propose = None,
    segmenter: Segmenter = "geocut",
    preset: Preset = "default",
    max_steps: MaxSteps = 20,
    prompts: Prompts = None,
    root: Annotated[
        list[Path] | None, typer.Option(help="Folder in which a recorded run's picture may lie; repeatable.")
    ] = None,
    db: Annotated[
        Path | None, typer.Option(help="SQLite file of the sessions, which then outlive the server; default: none.")
    ] = None,
    auth: Annotated[
        Path | None, typer.Option(help="File with lines user:password, or user:scrypt:SALT:HASH in hex.")
    ] = None,
    local_only: LocalOnly = False,
    keep: Annotated[
        Path | None, typer.Option(help="Folder for cases that people keep as training data; default: not offered.")
    ] = None,
    file_mib: Annotated[int, typer.Option(min=1, help="Maximum size of an upload, in MiB.")] = 512,
    sessions: Annotated[int, typer.Option(min=1, help="Maximum number of sessions in memory.")] = 32,
) -> None:
    """Serve the page: watch each step, correct it with a click, go back, take the mask home."""
    from ibisagent.ui.cli.web import PageOptions, run_web
    from ibisagent.ui.sessions.limits import Limits

    run_web(
        PageOptions(
            port=port,
            host=host,
            runs=runs,
            policy=policy or ("nano" if runs is None else "none"),
            propose=propose,
            segmenter=segmenter,
            preset=preset,
            max_steps=max_steps,
            prompts=prompts,
            roots=tuple(root or ()),
            database=db,
            auth=auth,
            local_only=local_only,
            keep=keep,
            limits=Limits(sessions=sessions, file_bytes=file_mib * 2**20),
        )
    )
