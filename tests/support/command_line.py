"""The command line in a process of its own."""

import subprocess
import sys


def run(*arguments, cwd, stdin=""):
    command = [sys.executable, "-m", "ibisagent.ui", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, input=stdin)
