"""What a reward pays for stopping early: recorded runs, as if they had stopped after so many prompts.

`python -m ibisagent.evals.benchmarks.early_stopping FOLDER` prints the mean IoU and the mean of each reward over the
records with a present target in a folder, for instance of `ibisagent eval`.
"""

import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from ibisagent.agent.steps import active_prompt_indices
from ibisagent.agent.trajectory import Trajectory
from ibisagent.agent.trajectory_files import read_trajectories
from ibisagent.evals.rewards.score import score_trajectory
from ibisagent.evals.rewards.settings import REWARD_PRESETS, RewardConfig
from ibisagent.evals.trajectories.step_kinds import indexed_prompts, is_policy_step
from ibisagent.tools.masks.measure import iou
from ibisagent.tools.masks.rle import area, decode

__all__ = ["stop_after", "tabulate_early_stops"]

_MOST = 5
_ANSWER = "The target is segmented."
_NO_ANSWER = "The target is not visible."


def stop_after(record: Trajectory, prompts: int) -> Trajectory:
    """Return the run as if its policy had stopped after some of its prompts; the run itself if it made no more.

    Without a prompt in force and a mask that is a refusal.
    """
    own = [index for index, _ in indexed_prompts(record) if is_policy_step(record.steps[index])]
    if prompts >= len(own):
        return record
    kept = record.steps[: own[prompts]]
    mask = kept[-1].mask if kept else record.start
    made: Any = {step.index: step.action for step in kept}
    steps: Any = [asdict(step) for step in kept]
    active = tuple(made[index] for index in active_prompt_indices(steps))
    refused = not active and not area(mask)
    first = record.steps[own[prompts]]
    stop = replace(first, action={"type": "terminate"}, outcome="applied", error=None, repairs=(), mask=mask)
    targets = tuple(
        replace(each, mask=mask, prompts=active) if each.name == record.active else each for each in record.targets
    )
    return replace(
        record,
        steps=(*kept, stop),
        targets=targets,
        stop="target_absent" if refused else "terminated",
        answer=_NO_ANSWER if refused else _ANSWER,
    )


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
