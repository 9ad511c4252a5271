"""Cost of judging recorded runs by all evaluators that need no model: trajectories a second, and memory.

`python -m ibisagent.evals.benchmarks.evaluator_cost --runs 10000`
"""

import argparse
import json
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ibisagent.agent.actions import Terminate, write_reply
from ibisagent.agent.episode import run_episode
from ibisagent.agent.graph import build_graph
from ibisagent.agent.policies import ScriptedPolicy
from ibisagent.agent.trajectory import Trajectory
from ibisagent.evals.evaluators import judge_with, open_evaluator, plain_evaluators
from ibisagent.evals.evaluators.judged_run import JudgedRun
from ibisagent.tools.clicks import Click
from ibisagent.tools.imaging.grids import Mask

__all__ = ["EvaluatorCost", "main", "measure_evaluators"]

STEPS, SIDE, DISTINCT = 8, 256, 20


@dataclass(frozen=True, slots=True)
class EvaluatorCost:
    """Of judging ``runs`` runs by ``evaluators`` evaluators: seconds, reading included, and peak memory in MiB.

    ``cpu_seconds``: of this process, which a busy machine stretches less; ``peak_early``: after a tenth of the runs.
    """

    runs: int
    evaluators: int
    seconds: float
    cpu_seconds: float
    peak_early: float
    peak: float


def measure_evaluators(runs: int) -> EvaluatorCost:
    """Write ``runs`` records of 8 steps at 256 x 256 to a ``.jsonl``, then read and judge them one by one."""
    evaluators = [open_evaluator(name) for name in plain_evaluators(reference=True)]
    with tempfile.TemporaryDirectory(prefix="ibisagent-") as folder:
        path = Path(folder) / "runs.jsonl"
        lines = [json.dumps(_record(seed).to_json()) for seed in range(DISTINCT)]
        with path.open("w", encoding="utf-8") as file:
            file.writelines(f"{lines[number % DISTINCT]}\n" for number in range(runs))
        reference, early = _record(DISTINCT), 0.0
        begun, cpu = time.perf_counter(), time.process_time()
        for number, record in enumerate(_read(path), 1):
            judge_with(JudgedRun(record, reference, "target"), evaluators)
            if number == max(1, runs // 10):
                early = _peak_mib()
        seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
        return EvaluatorCost(runs, len(evaluators), seconds, cpu, early, _peak_mib())


def _read(path: Path) -> Iterator[Trajectory]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield Trajectory.from_json(json.loads(line))


def _record(seed: int) -> Trajectory:
    """Return a run of seven clicks in or near an ellipse, and a stop."""
    rng = np.random.default_rng(seed)
    places = rng.uniform(0.3, 0.7, (STEPS - 1, 2))
    clicks = [write_reply("There.", Click(float(x), float(y), bool(rng.random() < 0.8))) for x, y in places]
    policy = ScriptedPolicy([*clicks, write_reply("It fits.", Terminate(), "The target.")])
    image = np.zeros((SIDE, SIDE), np.uint8)
    return run_episode(build_graph(policy, "disk"), {"image": image, "request": "Segment it."}, truth=_ellipse())


def _ellipse() -> Mask:
    rows, columns = np.mgrid[:SIDE, :SIDE]
    inside: Mask = ((rows - 128) / 50) ** 2 + ((columns - 128) / 40) ** 2 < 1
    return inside


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(arguments: list[str]) -> str:
    """Measure and return the figures in a line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000)
    found = measure_evaluators(parser.parse_args(arguments).runs)
    return (
        f"{found.runs:,} trajectories of {STEPS} steps, {found.evaluators} evaluators: {found.seconds:.1f} s, "
        f"{found.runs / found.seconds:,.0f} a second, {found.runs / found.cpu_seconds:,.0f} a second of CPU; "
        f"peak memory {found.peak_early:.0f} MiB after a tenth, {found.peak:.0f} MiB at the end"
    )


if __name__ == "__main__":
    sys.stdout.write(f"{main(sys.argv[1:])}\n")
