"""Death of the process: real processes, real SIGKILL, and the run taken up by another process."""

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

NURSERY = Path(__file__).parents[1] / "support/crash_runner.py"


class Nursery:
    """The process that forks the runs; see its own words."""

    def __init__(self, folder):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self._process = subprocess.Popen([sys.executable, NURSERY, folder], text=True, **pipes)

    def run(self, thread, seed, durability="sync", kill_after=None, pause=0.0):
        order = {"thread": thread, "seed": seed, "durability": durability, "kill_after": kill_after, "pause": pause}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self):
        self._process.communicate(timeout=60)


@pytest.fixture
def nursery(tmp_path):
    nursery = Nursery(tmp_path)
    yield nursery
    nursery.close()


def died_and_resumed(nursery, durability, seed):
    """Kill a run at a random super-step, once or twice, and end it; gives what each death left and both results."""
    chance = random.Random(f"{durability} {seed}")
    unbroken = nursery.run(f"unbroken {seed}", seed, durability)
    thread = f"{durability} {seed}"
    super_steps = 3 * len(unbroken["steps"])
    deaths = []
    for _ in range(chance.choice((1, 2))):
        told = nursery.run(thread, seed, durability, chance.randint(1, super_steps), chance.uniform(0, 0.02))
        if not told["killed"]:
            break
        deaths.append(told)
    return deaths, nursery.run(thread, seed, durability), unbroken


def check(nursery, durability, seeds):
    dead = 0
    for seed in seeds:
        deaths, resumed, unbroken = died_and_resumed(nursery, durability, seed)
        assert resumed == unbroken
        dead += bool(deaths)
        if durability == "sync":  # what was told is kept; the last super-steps may end before the signal comes
            assert all(death["held"] >= death["done"] - 1 for death in deaths[:1])
        if durability == "exit":  # nothing, or the end where the signal came after it
            assert {death["held"] for death in deaths} <= {0, 1}
    return dead


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
def test_a_killed_run_ends_as_the_unbroken_one(nursery, durability):
    assert check(nursery, durability, range(3)) >= 2


@pytest.mark.slow
@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
def test_twenty_killed_runs_end_as_the_unbroken_ones(nursery, durability):
    assert check(nursery, durability, range(100, 120)) >= 15
