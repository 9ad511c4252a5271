"""A parent's process killed while the nested loop is at step k: real processes, SIGKILL, the parent's SQLite."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.parents import ENTRY_POINTS

TESTS = Path(__file__).parents[2]
TWO = ("two targets", "two tools")


def check(folder, die_at, how, kinds):
    command = [sys.executable, "-m", "support.parent_crash_runner", folder, str(die_at), how, *kinds]
    lines = subprocess.run(
        command, cwd=TESTS, check=True, capture_output=True, text=True, timeout=300
    ).stdout.splitlines()
    assert [json.loads(line)["kind"] for line in lines] == list(kinds)
    for line in lines:
        runs = json.loads(line)
        assert runs["killed"]
        assert runs["broken"] == runs["unbroken"]
        unbroken, broken = sorted(runs["unbroken calls"]), sorted(runs["broken calls"])
        again = list(broken)
        for call in unbroken:
            again.remove(call)
        # Only what was running is asked again: the call that was killed, and at most the one beside it.
        assert 1 <= len(again) <= (2 if runs["kind"] in TWO else 1)
        assert runs["broken calls"][die_at - 1] in again


@pytest.mark.slow
def test_a_killed_parent_resumes_at_the_nested_step(tmp_path):
    check(tmp_path, 4, "sync", ["function node", "tool"])


@pytest.mark.slow
@pytest.mark.parametrize("die_at", [1, 3, 6])
@pytest.mark.parametrize("how", ["sync", "async"])
def test_every_killed_parent_resumes_at_the_nested_step(die_at, how, tmp_path):
    check(tmp_path, die_at, how, [*ENTRY_POINTS, *TWO])
