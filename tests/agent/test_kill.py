"""Killed processes: real processes, real SIGKILL, and the run resumed by another process."""

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

CRASH_RUNNER = Path(__file__).parents[1] / "support/crash_runner.py"


class CrashRunner:
    """The process that forks the runs; see its docstring."""

    def __init__(self, folder):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self._process = subprocess.Popen([sys.executable, CRASH_RUNNER, folder], text=True, **pipes)

    def run(self, thread, seed, durability="sync", kill_after=None, pause=0.0):
        order = {"thread": thread, "seed": seed, "durability": durability, "kill_after": kill_after, "pause": pause}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self):
        self._process.communicate(timeout=60)


@pytest.fixture
def runner(tmp_path):
    runner = CrashRunner(tmp_path)
    yield runner
    runner.close()


def kill_and_resume(runner, durability, seed):
    """Kill a run at a random super-step, once or twice, and finish it; returns what each kill left and both results."""
    chance = random.Random(f"{durability} {seed}")
    unbroken = runner.run(f"unbroken {seed}", seed, durability)
    thread = f"{durability} {seed}"
    super_steps = 3 * len(unbroken["steps"])
    kills = []
    for _ in range(chance.choice((1, 2))):
        answer = runner.run(thread, seed, durability, chance.randint(1, super_steps), chance.uniform(0, 0.02))
        if not answer["killed"]:
            break
        kills.append(answer)
    return kills, runner.run(thread, seed, durability), unbroken


def check(runner, durability, seeds):
    killed = 0
    for seed in seeds:
        kills, resumed, unbroken = kill_and_resume(runner, durability, seed)
        assert resumed == unbroken
        killed += bool(kills)
        if durability == "sync":  # what was answer is kept; the last super-steps may end before the signal comes
            assert all(kill["held"] >= kill["done"] - 1 for kill in kills[:1])
        if durability == "exit":  # nothing, or the end where the signal came after it
            assert {kill["held"] for kill in kills} <= {0, 1}
    return killed


@pytest.mark.parametrize(
    "durability", ["sync", *(pytest.param(each, marks=pytest.mark.slow) for each in ("async", "exit"))]
)
def test_a_killed_run_ends_as_the_unbroken_one(runner, durability):
    assert check(runner, durability, range(3)) >= 2


@pytest.mark.slow
@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
def test_twenty_killed_runs_end_as_the_unbroken_ones(runner, durability):
    assert check(runner, durability, range(100, 120)) >= 15
