"""The command line, called where we are or in a process of its own."""

import contextlib
import io
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import mock

from ibisagent.ui.cli.app import main


def run(*arguments: object, cwd: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own and return its exit code and output.

    For what a process adds: what it imports, keeps for itself, or leaves to the next one. `call` takes a tenth.
    """
    command = [sys.executable, "-m", "ibisagent.ui", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, input=stdin)


def call(*arguments: object, cwd: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Call the command line's entry point in this process, as `run` does it in another; a bug raises."""
    out, err = io.StringIO(), io.StringIO()
    command = ["ibisagent", *map(str, arguments)]
    streams: dict[str, Any] = {"argv": command, "stdin": io.StringIO(stdin), "stdout": out, "stderr": err}
    code: object = 0
    with contextlib.chdir(cwd), mock.patch.multiple(sys, **streams), mock.patch.dict("os.environ", COLUMNS="80"):
        try:
            main()
        except SystemExit as ended:
            code = ended.code
    return subprocess.CompletedProcess(command, int(str(code or 0)), out.getvalue(), err.getvalue())
