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
from ibisagent.agent.privacy import kept_here
from ibisagent.tools.errors import InputError, MissingExtra
from ibisagent.tools.files import reason_of
from ibisagent.tools.segmenters.memo import memo_of
from ibisagent.ui.cli.run_commands import policy_of
from ibisagent.ui.mcp.limits import Limits
from ibisagent.ui.run_folder import make_folder

__all__ = ["LOOPBACK", "Serving", "run_mcp"]

LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, slots=True)
class Serving:
    """What a server is started with, as given on the command line."""

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


def run_mcp(serving: Serving) -> None:
    """Serve until the client or Ctrl-C ends it; nothing but the protocol is written to the standard output."""
    MissingExtra.require("serve", "mcp")
    if serving.transport == "http" and serving.host not in LOOPBACK:
        _warn(serving)
    with kept_here(serving.local_only):
        serve(serving, _policy(serving))


def _policy(serving: Serving) -> Policy:
    if serving.policy == "person":
        raise InputError("got --policy person, expected one that acts by itself; clients are the persons: try none")
    if serving.policy == "none":
        stop = write_reply("The prompts were given.", Terminate(), "Segmented as prompted.")
        return ScriptedPolicy([stop] * serving.limits.steps)
    return policy_of(serving.policy, True, serving.seed, serving.local_only, serving.prompts)


def serve(serving: Serving, policy: Policy) -> None:
    """Serve with ``policy``, whatever the name of another says."""
    from ibisagent.ui.mcp.files import require_roots
    from ibisagent.ui.mcp.server import make_server
    from ibisagent.ui.mcp.service import Desk
    from ibisagent.ui.mcp.sessions import Sessions

    if serving.out is not None:
        make_folder(serving.out)
    desk = Desk(
        policy=policy,
        acts=serving.policy != "none",
        memo=memo_of(serving.segmenter),
        config=loop_settings(serving.preset, max_steps=serving.max_steps),
        roots=require_roots(serving.roots),
        out=serving.out.resolve() if serving.out is not None else None,
        limits=serving.limits,
        sessions=Sessions(serving.limits),
    )
    stdio = serving.transport == "stdio"
    server = make_server(desk, stdio=stdio, host=serving.host)
    if stdio:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a thread that waits for the next line would hold the process
        server.run("stdio")
        return
    import uvicorn

    _require_free(serving.host, serving.port)
    logging.getLogger("mcp.server.streamable_http").addFilter(_no_farewell)
    sys.stderr.write(f"ibisagent: MCP at http://{serving.host}:{serving.port}/mcp, Ctrl-C to end\n")
    app = server.streamable_http_app()
    uvicorn.run(app, host=serving.host, port=serving.port, log_level="error", timeout_graceful_shutdown=2)


def _require_free(host: str, port: int) -> None:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        socket.create_server((host, port), family=found[0][0]).close()
    except OSError as error:
        got = f"got --host {host} --port {port}, which cannot be listened at"
        raise InputError(f"{got} ({reason_of(error)}); choose another") from None


def _no_farewell(record: logging.LogRecord) -> bool:
    """Drop the traceback that mcp 1.30 logs when a client ends its connection with a stream still open."""
    return record.exc_info is None or type(record.exc_info[1]).__name__ != "ClosedResourceError"


def _warn(serving: Serving) -> None:
    if serving.local_only:
        raise InputError(f"got --local-only with --host {serving.host}, expected this machine alone; drop one of them")
    sys.stderr.write(
        f"ibisagent: --host {serving.host} lets other machines in, without a password; put a proxy with one before it\n"
    )
