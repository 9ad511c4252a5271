"""The settings that are compared: the paper's reward, and with one of its thresholds changed at a time."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ibisagent.evals.rewards import CLICK_RULES, PAPER_RULES, REWARD_PRESETS, JudgingRules, RewardConfig
from ibisagent.tools.errors import InputError

__all__ = ["CLICKS", "REWARD", "STEPS", "TIERS", "ThresholdSetting", "list_settings"]

TIERS = "IoU tiers"
CLICKS = "click rule"
STEPS = "T_opt"
REWARD = "reward"
"""The knobs; of `REWARD` the one value beside the paper's reward is our default."""

_STEPS = (1, 2, 3, 5, 8, 12)
_TIERS = ((0.4, 0.6, 0.7), (0.5, 0.7, 0.8), (0.6, 0.8, 0.9), (0.8,), (0.5, 0.6, 0.7, 0.8, 0.9))


@dataclass(frozen=True, slots=True)
class ThresholdSetting:
    """A reward: which ``knob`` of the paper's has which ``value``; ``is_base``: it is the paper's own value.

    All settings with ``is_base`` are the same reward.
    """

    knob: str
    value: str
    config: RewardConfig
    rules: JudgingRules
    is_base: bool = False


def list_settings(
    tiers: Sequence[Sequence[float]] = _TIERS,
    clicks: Sequence[str] = CLICK_RULES,
    steps: Sequence[int] = _STEPS,
) -> list[ThresholdSetting]:
    """List the paper's reward with each of these tiers, click rules and T_opt, the rest as it is, then our default.

    The paper's own values are always among them, and the plain IoU among the tiers. `InputError` for tiers that do not
    rise within 0 to 1, an unknown click rule, and a T_opt below 1.
    """
    if any(each < 1 for each in steps):
        raise InputError(f"got T_opt {min(steps)}, expected numbers of steps of 1 or more; correct it")
    paper = REWARD_PRESETS["paper"]
    edges = dict.fromkeys([*map(tuple, tiers), PAPER_RULES.tiers])
    rules = [JudgingRules(tiers=each) for each in edges]
    found = [ThresholdSetting(TIERS, _write(each.tiers), paper, each, each == PAPER_RULES) for each in rules]
    found.append(ThresholdSetting(TIERS, "plain IoU", replace(paper, answer="iou"), PAPER_RULES))
    rules = [JudgingRules(clicks=name) for name in dict.fromkeys([PAPER_RULES.clicks, *clicks])]
    found += [ThresholdSetting(CLICKS, each.clicks, paper, each, each == PAPER_RULES) for each in rules]
    configs = [replace(paper, optimal_steps=most) for most in sorted({*steps, paper.optimal_steps})]
    found += [ThresholdSetting(STEPS, str(each.optimal_steps), each, PAPER_RULES, each == paper) for each in configs]
    return [*found, ThresholdSetting(REWARD, "default", REWARD_PRESETS["default"], PAPER_RULES)]


def _write(tiers: Sequence[float]) -> str:
    """Return tiers as text.

    >>> _write((0.5, 0.75))
    '.5 .75'
    """
    return " ".join(f"{each:g}".removeprefix("0") for each in tiers)
