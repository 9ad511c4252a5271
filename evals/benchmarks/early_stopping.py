"""What a reward pays for stopping early: recorded runs, as if they had stopped after so many prompts.

`python -m ibisagent.evals.benchmarks.early_stopping FOLDER` prints the mean IoU and the mean of each reward over the
records with a present target in a folder, for instance of `ibisagent eval`.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from ibisagent.agent.trajectory import Trajectory
from ibisagent.agent.trajectory_files import read_trajectories
from ibisagent.evals.rewards.score import score_trajectory
from ibisagent.evals.rewards.settings import REWARD_PRESETS, RewardConfig
from ibisagent.evals.trajectories.early_stop import stop_after
from ibisagent.tools.masks.measure import iou
from ibisagent.tools.masks.rle import area, decode

__all__ = ["tabulate_early_stops"]

_MOST = 5


def tabulate_early_stops(
    records: Sequence[Trajectory], configs: dict[str, RewardConfig], most: int = _MOST
) -> list[dict[str, float]]:
    """Return for 0 to ``most`` prompts the mean final IoU and the mean of each reward, over runs without a failure."""
    records = [record for record in records if score_trajectory(record) is not None]
    table = []
    for prompts in range(most + 1):
        stopped = [stop_after(record, prompts) for record in records]
        row = {"prompts": float(prompts), "iou": fmean(_final_iou(record) for record in stopped)}
        for name, config in configs.items():
            row[name] = fmean(scored.total for record in stopped if (scored := score_trajectory(record, config)))
        table.append(row)
    return table


def _final_iou(record: Trajectory) -> float:
    assert record.truth is not None
    return iou(decode(record.mask), decode(record.truth))


def main(folder: str) -> None:
    """Print the table of a folder's records."""
    records = [record for path in sorted(Path(folder).rglob("*.json*")) for record in _read(path)]
    present = [record for record in records if record.truth is not None and area(record.truth)]
    sys.stdout.write(f"{len(present)} runs with a present target\n")
    for row in tabulate_early_stops(present, REWARD_PRESETS):
        sys.stdout.write("  ".join(f"{name} {value:.3f}" for name, value in row.items()) + "\n")


def _read(path: Path) -> Sequence[Trajectory]:
    return list(read_trajectories(path)) if "trajectories" in path.parts else []


if __name__ == "__main__":
    main(sys.argv[1])
