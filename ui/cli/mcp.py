"""The command behind `ibisagent mcp`."""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ibisagent.agent import Policy, Terminate
from ibisagent.agent.actions import write_reply
from ibisagent.agent.config import preset as loop_settings
from ibisagent.agent.policies import ScriptedPolicy
from ibisagent.agent.privacy import restrict_to_local
from ibisagent.tools.errors import InputError, MissingExtra
from ibisagent.tools.segmenters.memo import get_memo
from ibisagent.ui.cli.run_commands import load_policy
from ibisagent.ui.run_folder import make_folder
from ibisagent.ui.sessions.files import require_roots
from ibisagent.ui.sessions.limits import Limits
from ibisagent.ui.sessions.service import SessionService

__all__ = ["LOOPBACK", "ServerOptions", "run_mcp"]

LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """Options of a server, from the command line."""

    policy: str = "nano"
    segmenter: str = "geocut"
    preset: str = "default"
    max_steps: int = 20
    seed: int = 0
    prompts: Path | None = None
    roots: tuple[Path, ...] = ()
    out: Path | None = None
    transport: Literal["stdio", "http"] = "stdio"
    host: str = "127.0.0.1"
    port: int = 8000
    local_only: bool = False
    limits: Limits = field(default_factory=Limits)


def run_mcp(options: ServerOptions) -> None:
    """Serve until the client or Ctrl-C ends it; only protocol messages are written to the standard output."""
    MissingExtra.require("serve", "mcp")
    if options.transport == "http" and options.host not in LOOPBACK:
        _warn_about_host(options)
    with restrict_to_local(options.local_only):
        serve(options, _policy(options))


def _policy(options: ServerOptions) -> Policy:
    if options.policy == "person":
        raise InputError("got --policy person, expected one that acts by itself; use none: the client clicks")
    if options.policy == "none":
        stop = write_reply("The prompts were given.", Terminate(), "Segmented as prompted.")
        return ScriptedPolicy([stop] * options.limits.steps)
    return load_policy(options.policy, True, options.seed, options.local_only, options.prompts)


def serve(options: ServerOptions, policy: Policy) -> None:
    """Serve with ``policy`` in place of the one that the options name."""
    from ibisagent.ui.mcp.server import make_server
    from ibisagent.ui.mcp.transports import serve_http, serve_stdio

    if options.out is not None:
        make_folder(options.out)
    service = SessionService(
        policy=policy,
        memo=get_memo(options.segmenter),
        config=loop_settings(options.preset, max_steps=options.max_steps),
        limits=options.limits,
        roots=_roots(options),
        prompts_required=options.policy == "none",
    )
    out = options.out.resolve() if options.out is not None else None
    server = make_server(service, out=out, stdio=options.transport == "stdio", host=options.host)
    if options.transport == "stdio":
        serve_stdio(server)
    else:
        serve_http(server, options.host, options.port)


def _roots(options: ServerOptions) -> tuple[Path, ...]:
    try:
        return require_roots(options.roots)
    except InputError as error:
        raise InputError(f"--root {error}") from None


def _warn_about_host(options: ServerOptions) -> None:
    if options.local_only:
        raise InputError(f"got --local-only with --host {options.host}, expected this machine alone; drop one of them")
    sys.stderr.write(
        f"ibisagent: --host {options.host} lets other machines in, without a password; put a proxy with one before it\n"
    )
