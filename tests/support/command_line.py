"""The command line in a process of its own."""

import subprocess
import sys
from pathlib import Path


def run(*arguments: object, cwd: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run the command line and return its exit code and output."""
    command = [sys.executable, "-m", "ibisagent.ui", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, input=stdin)
