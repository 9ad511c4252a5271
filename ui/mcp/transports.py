"""The transports of an MCP server: stdio, and streamable HTTP at /mcp."""

import logging
import signal
import sys
from typing import Any

from mcp.server.fastmcp import FastMCP

from ibisagent.ui.ports import require_free_port

__all__ = ["serve_http", "serve_stdio"]


def serve_stdio(server: FastMCP[Any]) -> None:
    """Serve the client at the standard input until it ends."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # the thread that reads the next line would keep the process alive
    server.run("stdio")


def serve_http(server: FastMCP[Any], host: str, port: int) -> None:
    """Serve until Ctrl-C; `InputError` where the port is taken."""
    import uvicorn

    require_free_port(host, port)
    logging.getLogger("mcp.server.streamable_http").addFilter(_keeps_log_record)
    sys.stderr.write(f"ibisagent: MCP at http://{host}:{port}/mcp, Ctrl-C to end\n")
    app = server.streamable_http_app()
    uvicorn.run(app, host=host, port=port, log_level="error", timeout_graceful_shutdown=2)


def _keeps_log_record(record: logging.LogRecord) -> bool:
    """Whether to keep a log record: not the traceback of mcp 1.30 when a client disconnects with an open stream."""
    return record.exc_info is None or type(record.exc_info[1]).__name__ != "ClosedResourceError"
