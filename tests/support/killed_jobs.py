"""Jobs in a process of their own that are killed after some rows."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

_SLOW = """
import sys, time
from ibisagent.tools.jobs import jsonl

append_rows = jsonl.append_rows


def append_slowly(path, rows):  # so that the job lasts until it is stopped, however busy the machine is
    append_rows(path, rows)
    time.sleep({seconds})


jsonl.append_rows = append_slowly
"""


def write_slow_script(path: Path, body: str, seconds: float = 0.2) -> Path:
    """Write a Python script whose every appended row takes ``seconds`` longer; ``body`` may use `sys`."""
    path.write_text(_SLOW.format(seconds=seconds) + body)
    return path


def kill_after_rows(script: Path, *arguments: str | Path, rows: Path, count: int = 4) -> int:
    """Run a script, kill its process group by SIGKILL once ``rows`` has that many lines; return how many it has."""
    process = subprocess.Popen([sys.executable, script, *arguments], start_new_session=True)
    while not rows.exists() or rows.read_bytes().count(b"\n") < count:
        assert process.poll() is None
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return rows.read_bytes().count(b"\n")
