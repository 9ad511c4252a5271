"""The command behind `ibisagent mcp`."""

import sys
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ibisagent.agent import Policy
from ibisagent.agent.config import preset as loop_settings
from ibisagent.agent.policies import find_policy, get_policy
from ibisagent.agent.policies.options import read_policy_options
from ibisagent.agent.privacy import restrict_to_local
from ibisagent.agent.proposers import Proposer, open_proposer
from ibisagent.tools.allowed_paths import require_roots
from ibisagent.tools.errors import InputError, MissingExtra
from ibisagent.tools.segmenters.memo import Memo, get_memo
from ibisagent.tools.segmenters.registry import require_local_segmenter
from ibisagent.ui.run_folder import make_folder
from ibisagent.ui.sessions.limits import Limits
from ibisagent.ui.sessions.service import SessionService

__all__ = ["LOOPBACK", "ServerOptions", "run_mcp"]

LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """Options of a server, from the command line."""

    policy: str = "nano"
    segmenter: str = "geocut"
    propose: str | None = None
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
    with redirect_stdout(sys.stderr):  # what a third party's module prints is no message
        if find_policy(options.policy).is_person:
            got = f"got --policy {options.policy}"
            raise InputError(f"{got}, expected one that acts by itself; use none: the client clicks")
        given = read_policy_options(seed=options.seed, prompt_file=options.prompts, local_only=options.local_only)
        return get_policy(options.policy, given)


def _proposer(options: ServerOptions, policy: Policy) -> Proposer | str:
    with redirect_stdout(sys.stderr):
        given = read_policy_options(seed=options.seed, local_only=options.local_only)
        return open_proposer(options.propose, policy, given)


def _memo(options: ServerOptions) -> Memo:
    with redirect_stdout(sys.stderr):
        if options.local_only:
            require_local_segmenter(options.segmenter)
        return get_memo(options.segmenter)


def serve(options: ServerOptions, policy: Policy) -> None:
    """Serve with ``policy`` in place of the one that the options name."""
    from ibisagent.ui.mcp.server import make_server
    from ibisagent.ui.mcp.transports import serve_http, serve_stdio

    if options.out is not None:
        make_folder(options.out)
    service = SessionService(
        policy=policy,
        memo=_memo(options),
        config=loop_settings(options.preset, max_steps=options.max_steps),
        limits=options.limits,
        roots=require_roots(options.roots),
        proposer=_proposer(options, policy),
        prompts_required=not find_policy(options.policy).adds_prompts,
    )
    out = options.out.resolve() if options.out is not None else None
    server = make_server(service, out=out, stdio=options.transport == "stdio", host=options.host)
    if options.transport == "stdio":
        serve_stdio(server)
    else:
        serve_http(server, options.host, options.port)


def _warn_about_host(options: ServerOptions) -> None:
    if options.local_only:
        raise InputError(f"got --local-only with --host {options.host}, expected this machine alone; drop one of them")
    sys.stderr.write(
        f"ibisagent: --host {options.host} lets other machines in, without a password; put a proxy with one before it\n"
    )
