"""Figures of an update's episodes for the log."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from statistics import fmean

from ibisagent.agent.trajectory import Trajectory
from ibisagent.evals.rewards import Reward
from ibisagent.tools.masks.measure import iou
from ibisagent.tools.masks.rle import area, decode
from ibisagent.training.grpo.episodes import Rollout
from ibisagent.training.grpo.estimator import is_dead

__all__ = ["rollout_metrics"]


def rollout_metrics(rollouts: Sequence[Rollout], group_size: int) -> dict[str, float]:
    """Return figures by name: reward and its terms, IoU, steps, refusals, stop reasons, dead groups, dropped episodes.

    ``iou``: of present targets; ``refused_present``, ``refused_absent``: shares of either; ``recorded_starts``: share
    of episodes that began at recorded states. Figures over nothing are left out.
    """
    scored = [(each.record, each.reward) for each in rollouts if each.record is not None and each.reward is not None]
    groups = [rollouts[start : start + group_size] for start in range(0, len(rollouts), group_size)]
    figures = {
        "dropped": float(len(rollouts) - len(scored)),
        "dead_groups": fmean(is_dead([rollout.path for rollout in group]) for group in groups),
        "rows": float(sum(len(rollout.rows) for rollout in rollouts)),
    }
    return figures | (_episode_figures(scored) if scored else {})


def _episode_figures(scored: Sequence[tuple[Trajectory, Reward]]) -> dict[str, float]:
    terms = [asdict(reward.terms) for _, reward in scored]
    figures = {"reward": fmean(reward.total for _, reward in scored)}
    figures["recorded_starts"] = fmean(record.fork_step is not None for record, _ in scored)
    figures |= {f"reward/{name}": fmean(each[name] for each in terms) for name in terms[0]}
    figures |= {f"stop/{stop}": count / len(scored) for stop, count in Counter(r.stop for r, _ in scored).items()}
    by_presence: dict[str, list[Trajectory]] = {"present": [], "absent": []}
    for record, _ in scored:
        by_presence["present" if record.truth is not None and area(record.truth) else "absent"].append(record)
    for name, records in by_presence.items():
        if records:
            figures[f"refused_{name}"] = fmean(record.stop == "target_absent" for record in records)
    if by_presence["present"]:
        figures["iou"] = fmean(_final_iou(record) for record in by_presence["present"])
    return figures


def _final_iou(record: Trajectory) -> float:
    assert record.truth is not None
    return iou(decode(record.mask), decode(record.truth))
