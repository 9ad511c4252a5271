"""Figures of an update's episodes for the log."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import fmean

from ibisagent.tools.masks.measure import iou
from ibisagent.tools.masks.rle import area, decode
from ibisagent.training.grpo.episodes import Rollout
from ibisagent.training.grpo.estimator import ScoredPath, is_dead

__all__ = ["RolloutFacts", "rollout_facts", "rollout_metrics"]


@dataclass(frozen=True, slots=True)
class RolloutFacts:
    """What the log needs of a rollout, small enough to be sent to other processes.

    ``path``: None for a dropped one; ``rows``: their number; ``terms``: of the reward by name; ``iou``: of the final
    mask on a present target, None on an absent one; ``is_recorded_start``: it began at a recorded state.
    """

    path: ScoredPath | None
    rows: int = 0
    stop: str | None = None
    terms: dict[str, float] | None = None
    iou: float | None = None
    is_recorded_start: bool = False


def rollout_facts(rollout: Rollout) -> RolloutFacts:
    """Return what the log needs of a rollout."""
    record, reward = rollout.record, rollout.reward
    if record is None or reward is None:
        return RolloutFacts(None)
    present = record.truth is not None and area(record.truth) > 0
    reached = iou(decode(record.mask), decode(record.truth)) if present and record.truth is not None else None
    return RolloutFacts(
        rollout.path,
        len(rollout.rows),
        record.stop,
        asdict(reward.terms),
        reached,
        is_recorded_start=record.fork_step is not None,
    )


def rollout_metrics(facts: Sequence[RolloutFacts], group_size: int) -> dict[str, float]:
    """Return figures by name: reward and its terms, IoU, steps, refusals, stop reasons, dead groups, dropped episodes.

    ``iou``: of present targets; ``refused_present``, ``refused_absent``: shares of either; ``recorded_starts``: share
    of episodes that began at recorded states. Figures over nothing are left out.
    """
    scored = [each for each in facts if each.path is not None]
    groups = [facts[start : start + group_size] for start in range(0, len(facts), group_size)]
    figures = {
        "dropped": float(len(facts) - len(scored)),
        "dead_groups": fmean(is_dead([each.path for each in group]) for group in groups),
        "rows": float(sum(each.rows for each in facts)),
    }
    return figures | (_episode_figures(scored) if scored else {})


def _episode_figures(scored: Sequence[RolloutFacts]) -> dict[str, float]:
    terms = [each.terms or {} for each in scored]
    figures = {"reward": fmean(each.path.total for each in scored if each.path is not None)}
    figures["recorded_starts"] = fmean(each.is_recorded_start for each in scored)
    figures |= {f"reward/{name}": fmean(each[name] for each in terms) for name in terms[0]}
    stops = Counter(each.stop for each in scored)
    figures |= {f"stop/{stop}": count / len(scored) for stop, count in stops.items()}
    for name, some in (
        ("present", [each for each in scored if each.iou is not None]),
        ("absent", [each for each in scored if each.iou is None]),
    ):
        if some:
            figures[f"refused_{name}"] = fmean(each.stop == "target_absent" for each in some)
    if reached := [each.iou for each in scored if each.iou is not None]:
        figures["iou"] = fmean(reached)
    return figures
