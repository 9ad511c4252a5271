"""Death of a parent's process while the loop inside is at step k: real processes, real SIGKILL, the parent's SQLite."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.parents import DOORS

TESTS = Path(__file__).parents[2]
TWO = ("two targets", "two tools")


def check(folder, die_at, how, kinds):
    command = [sys.executable, "-m", "support.parent_crash_runner", folder, str(die_at), how, *kinds]
    lines = subprocess.run(
        command, cwd=TESTS, check=True, capture_output=True, text=True, timeout=300
    ).stdout.splitlines()
    assert [json.loads(line)["kind"] for line in lines] == list(kinds)
    for line in lines:
        told = json.loads(line)
        assert told["died"]
        assert told["broken"] == told["unbroken"]
        unbroken, broken = sorted(told["unbroken calls"]), sorted(told["broken calls"])
        again = list(broken)
        for call in unbroken:
            again.remove(call)
        # Only what was running is asked again: the call that died, and at most the one beside it.
        assert 1 <= len(again) <= (2 if told["kind"] in TWO else 1)
        assert told["broken calls"][die_at - 1] in again


def test_a_killed_parent_goes_on_at_the_step_inside(tmp_path):
    check(tmp_path, 4, "sync", ["function node", "tool"])


@pytest.mark.slow
@pytest.mark.parametrize("die_at", [1, 3, 6])
@pytest.mark.parametrize("how", ["sync", "async"])
def test_every_killed_parent_goes_on_at_the_step_inside(die_at, how, tmp_path):
    check(tmp_path, die_at, how, [*DOORS, *TWO])
