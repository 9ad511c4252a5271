"""The command behind `ibisagent mcp`."""

import logging
import signal
import socket
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
from ibisagent.tools.files import describe_os_error
from ibisagent.tools.segmenters.memo import get_memo
from ibisagent.ui.cli.run_commands import load_policy
from ibisagent.ui.mcp.limits import Limits
from ibisagent.ui.run_folder import make_folder

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
    from ibisagent.ui.mcp.files import require_roots
    from ibisagent.ui.mcp.server import make_server
    from ibisagent.ui.mcp.service import SegmentationService
    from ibisagent.ui.mcp.sessions import Sessions

    if options.out is not None:
        make_folder(options.out)
    service = SegmentationService(
        policy=policy,
        policy_clicks=options.policy != "none",
        memo=get_memo(options.segmenter),
        config=loop_settings(options.preset, max_steps=options.max_steps),
        roots=require_roots(options.roots),
        out=options.out.resolve() if options.out is not None else None,
        limits=options.limits,
        sessions=Sessions(options.limits),
    )
    stdio = options.transport == "stdio"
    server = make_server(service, stdio=stdio, host=options.host)
    if stdio:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # the thread that reads the next line would keep the process alive
        server.run("stdio")
        return
    import uvicorn

    _require_free(options.host, options.port)
    logging.getLogger("mcp.server.streamable_http").addFilter(_keeps_log_record)
    sys.stderr.write(f"ibisagent: MCP at http://{options.host}:{options.port}/mcp, Ctrl-C to end\n")
    app = server.streamable_http_app()
    uvicorn.run(app, host=options.host, port=options.port, log_level="error", timeout_graceful_shutdown=2)


def _require_free(host: str, port: int) -> None:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        socket.create_server((host, port), family=found[0][0]).close()
    except OSError as error:
        got = f"got --host {host} --port {port}, which cannot be listened on"
        raise InputError(f"{got} ({describe_os_error(error)}); choose another") from None


def _keeps_log_record(record: logging.LogRecord) -> bool:
    """Whether to keep a log record: not the traceback of mcp 1.30 when a client disconnects with an open stream."""
    return record.exc_info is None or type(record.exc_info[1]).__name__ != "ClosedResourceError"


def _warn_about_host(options: ServerOptions) -> None:
    if options.local_only:
        raise InputError(f"got --local-only with --host {options.host}, expected this machine alone; drop one of them")
    sys.stderr.write(
        f"ibisagent: --host {options.host} lets other machines in, without a password; put a proxy with one before it\n"
    )
