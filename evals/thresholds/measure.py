"""One recorded run under every setting, as it ended and as if it had stopped after fewer prompts."""

from collections.abc import Sequence
from dataclasses import dataclass

from ibisagent.agent.trajectory import Trajectory
from ibisagent.evals.rewards import judge_masks, score_trajectory
from ibisagent.evals.thresholds.settings import ThresholdSetting
from ibisagent.evals.trajectories.early_stop import stop_after
from ibisagent.evals.trajectories.step_kinds import indexed_prompts, is_policy_step
from ibisagent.tools.masks.rle import area

__all__ = ["SIZES", "RunScores", "measure_run"]

SIZES = ("small", "medium", "large", "absent")
"""Sizes of targets: less than 1 % of the picture, less than 5 %, more, none."""

_SMALL, _LARGE = 0.01, 0.05


@dataclass(frozen=True, slots=True)
class RunScores:
    """A run's rewards, and nothing of its masks.

    ``image``: the picture's hash; ``size``: one of `SIZES`; ``rewards``: for each setting, stopped after 0, 1, ...
    prompts of the policy, the last one as it ended; a stop that is not the run's own counts as exact.
    """

    policy: str
    segmenter: str
    image: str
    size: str
    rewards: tuple[tuple[float, ...], ...]


def measure_run(record: Trajectory, settings: Sequence[ThresholdSetting]) -> RunScores | None:
    """Score a run by every setting at every stopping point; None for one without a reward (`score_trajectory`).

    `InputError` for masks of another size than the truth's.
    """
    if record.truth is None or score_trajectory(record) is None:
        return None
    judged = judge_masks(record, list(dict.fromkeys(each.rules.clicks for each in settings)))
    own = [index for index, _ in indexed_prompts(record) if is_policy_step(record.steps[index])]
    stops = [(stop_after(record, count), judged.stopped_before(step)) for count, step in enumerate(own)]
    rewards = []
    for setting in settings:
        scored = [
            score_trajectory(stopped, setting.config, rules=setting.rules, judgement=judgement)
            for stopped, judgement in (*stops, (record, judged))
        ]
        rewards.append(tuple(each.total for each in scored if each is not None))
    height, width = record.geometry["height"], record.geometry["width"]
    size = _size(area(record.truth) / (height * width))
    return RunScores(record.policy, record.segmenter_name, record.image["sha"], size, tuple(rewards))


def _size(share: float) -> str:
    if not share:
        return "absent"
    return "small" if share < _SMALL else "medium" if share < _LARGE else "large"
