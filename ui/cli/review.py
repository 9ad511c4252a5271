"""The command behind `ibisagent review`: the reading page, or what the readings say."""

import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ibisagent.tools.errors import InputError, MissingExtra
from ibisagent.tools.files import printable_text, require_writable_folder
from ibisagent.ui.cli.mcp import LOOPBACK
from ibisagent.ui.cli.review_report import print_report
from ibisagent.ui.cli.trajectory_files import to_printable_line
from ibisagent.ui.cli.web import list_runs
from ibisagent.ui.ports import require_free_port
from ibisagent.ui.sessions.reviews import ReviewBook

__all__ = ["ReviewOptions", "run_review"]


@dataclass(frozen=True, slots=True)
class ReviewOptions:
    """Options of a review, from the command line; ``readers``: who may read, anybody for none."""

    runs: Path
    out: Path
    roots: tuple[Path, ...] = ()
    readers: tuple[str, ...] = ()
    port: int = 7861
    host: str = "127.0.0.1"
    seed: int = 0


def run_review(options: ReviewOptions, *, report: bool) -> None:
    """Serve the reading page until Ctrl-C and then print what was read, or with ``report`` print that alone."""
    records = list_runs(options.runs, options.roots)
    if report:
        if not options.out.exists():
            got = f"{printable_text(options.out)}: got no file"
            raise InputError(f"{got}, expected that of earlier readings; name it with --out")
        print_report(records, options.out)
        return
    MissingExtra.require("ui", "uvicorn")
    if options.host not in LOOPBACK and not options.readers:
        got = f"got --host {options.host}, which lets other machines in"
        raise InputError(f"{got}, without --reader, expected the readers' names, each of whom gets a link; name them")
    require_writable_folder(options.out.absolute().parent)
    book = ReviewBook(records, options.out, options.seed)
    if book.unreadable:
        missing = f"{len(book.unreadable)} of {len(records.entries)}"
        _say(f"{missing} runs are not shown: their picture is not found; name its folder with --root")
    if len(book.unreadable) == len(records.entries):
        raise InputError(f"{printable_text(options.runs)}: got no run with its picture; name its folder with --root")
    _serve(options, book, options.readers)
    if options.out.exists():
        print_report(records, options.out)


def _serve(options: ReviewOptions, book: ReviewBook, readers: Sequence[str]) -> None:
    import uvicorn

    from ibisagent.ui.web.review_app import make_review_app
    from ibisagent.ui.web.server import PageServer

    require_free_port(options.host, options.port)
    address = f"http://{options.host}:{options.port}/"
    for name in readers:
        _say(f"{name} reads at {address}?r={book.register(name)}")
    app: Any = make_review_app(book, names_open=not readers, loopback=options.host in LOOPBACK)
    config = uvicorn.Config(
        app, host=options.host, port=options.port, log_level="error", access_log=False, server_header=False
    )
    with suppress(KeyboardInterrupt):  # Ctrl-C is how reading ends
        PageServer(config, address).run()


def _say(line: str) -> None:
    sys.stderr.write(f"ibisagent: {to_printable_line(line)}\n")
