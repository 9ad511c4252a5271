"""The command behind `ibisagent web`."""

import ctypes
import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ibisagent.agent.config import preset as loop_settings
from ibisagent.agent.policies import find_policy, get_policy
from ibisagent.agent.policies.options import PolicyOptions, read_policy_options
from ibisagent.agent.privacy import restrict_to_local
from ibisagent.agent.proposers import PROPOSERS, open_proposer, require_local_proposer
from ibisagent.agent.thread_lock import lock_file
from ibisagent.tools.allowed_paths import require_roots
from ibisagent.tools.errors import InputError, MissingExtra
from ibisagent.tools.files import make_folder, printable_text, require_writable_folder
from ibisagent.tools.segmenters.memo import get_memo
from ibisagent.tools.segmenters.registry import find_segmenter, require_local_segmenter
from ibisagent.ui.cli.mcp import LOOPBACK
from ibisagent.ui.cli.trajectory_files import readable_roots
from ibisagent.ui.ports import require_free_port
from ibisagent.ui.sessions.limits import Limits
from ibisagent.ui.sessions.recorded_runs import RecordList, list_records
from ibisagent.ui.sessions.service import SessionService

if TYPE_CHECKING:
    from ibisagent.ui.web.passwords import Passwords

__all__ = ["PageOptions", "list_runs", "run_web"]

_ARENAS = (-8, 2)  # M_ARENA_MAX: a thread for each call of a policy would else keep an arena of its own


@dataclass(frozen=True, slots=True)
class PageOptions:
    """Options of the page's server, from the command line."""

    port: int = 7860
    host: str = "127.0.0.1"
    runs: Path | None = None
    policy: str = "nano"
    segmenter: str = "geocut"
    propose: str | None = None
    preset: str = "default"
    max_steps: int = 20
    prompts: Path | None = None
    roots: tuple[Path, ...] = ()
    database: Path | None = None
    auth: Path | None = None
    local_only: bool = False
    keep: Path | None = None
    limits: Limits = field(default_factory=Limits)


def run_web(options: PageOptions) -> None:
    """Serve the page until Ctrl-C; the port is open before the policy is loaded."""
    MissingExtra.require("ui", "gradio")
    _require_allowed(options)
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(*_ARENAS)
    with (
        tempfile.TemporaryDirectory(prefix="ibisagent-gradio-") as temporary,
        restrict_to_local(options.local_only),
        _alone(options.database),
    ):
        os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_TEMP_DIR": temporary, "GRADIO_SHARE": "False"}
        _serve(options)


def _require_allowed(options: PageOptions) -> None:
    if options.host not in LOOPBACK:
        got = f"got --host {options.host}, which lets other machines in"
        if options.local_only:
            raise InputError(f"{got}, with --local-only, expected this machine alone; drop one of them")
        if options.auth is None:
            raise InputError(f"{got}, without --auth, expected a password file with it; name one")
    if find_policy(options.policy).is_person:
        got = f"got --policy {options.policy}"
        raise InputError(f"{got}, expected one that acts by itself; use none: people click on the page anyway")
    proposer = options.propose or "none"
    if not PROPOSERS.is_third_party(proposer):
        PROPOSERS.find(proposer)
    if options.local_only:
        require_local_segmenter(options.segmenter)
        require_local_proposer(proposer, local_only=True)
    loop_settings(options.preset, max_steps=options.max_steps)
    if options.database is not None:
        require_writable_folder(options.database.absolute().parent)
    if options.keep is not None:
        make_folder(options.keep)


def _alone(database: Path | None) -> AbstractContextManager[None]:
    """Lock a server's file of sessions: a second server would resume the first one's jobs, and delete its sessions."""
    if database is None:
        return nullcontext()
    path, busy = database.resolve(), "is served by another process; end that one, or name another file"
    return lock_file(path.with_name(f"{path.name}.lock"), f"--db {printable_text(database)}", busy)


def _serve(options: PageOptions) -> None:
    import uvicorn

    from ibisagent.ui.web.app import make_app
    from ibisagent.ui.web.passwords import read_passwords
    from ibisagent.ui.web.server import PageServer
    from ibisagent.ui.web.web_options import WebOptions
    from ibisagent.ui.web.web_sessions import WebSessions

    passwords: Passwords | None = read_passwords(options.auth) if options.auth is not None else None
    require_free_port(options.host, options.port)
    given = read_policy_options(prompt_file=options.prompts, local_only=options.local_only)
    roots = require_roots(options.roots)
    runs = list_runs(options.runs, options.roots) if options.runs is not None else None
    made = WebOptions(
        database=options.database,
        keep=options.keep,
        roots=roots,
        runs=runs,
        limits=options.limits,
        weak_on_scans=options.policy == "none" or bool(find_policy(options.policy).caution),
        takes_examples="similar" in find_segmenter(options.segmenter).prompts,
        cookie=f"ibisagent-{options.port}",
    )
    failures: list[BaseException] = []

    def fail(error: BaseException) -> None:
        failures.append(error)
        server.should_exit = True

    sessions = WebSessions(made, lambda: _load(options, given, roots))
    app: Any = make_app(sessions, passwords=passwords, loopback=options.host in LOOPBACK, on_failure=fail)
    config = uvicorn.Config(
        app,
        host=options.host,
        port=options.port,
        log_level="error",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=2,
    )
    server = PageServer(config, f"http://{options.host}:{options.port}/")
    server.run()
    if failures:
        raise failures[0]


def list_runs(runs: Path, roots: Sequence[Path]) -> RecordList:
    """List the recorded runs of a file or a folder that a command names; their pictures may lie in what it names."""
    folder = runs if runs.is_dir() else runs.absolute().parent
    records = list_records(runs, (folder.resolve(), *readable_roots(roots)))
    if records.broken:
        sys.stderr.write(f"ibisagent: {printable_text(runs)}: {records.broken} broken records are left out\n")
    return records


def _load(options: PageOptions, given: PolicyOptions, roots: tuple[Path, ...]) -> SessionService:
    policy = get_policy(options.policy, given)
    sys.stderr.write("ibisagent: the model is awake\n")
    return SessionService(
        policy=policy,
        memo=get_memo(options.segmenter),
        config=loop_settings(options.preset, max_steps=options.max_steps),
        limits=options.limits,
        roots=roots,
        prompts_required=not find_policy(options.policy).adds_prompts,
        proposer=open_proposer(options.propose, policy, given),
        durability="sync",
    )
