"""The settings of a reward: which form its terms take, and what each weighs."""

from dataclasses import dataclass
from typing import Literal

from ibisagent.tools.errors import InputError

__all__ = ["REWARD_PRESETS", "RewardConfig", "RewardWeights"]

_ANSWERS, _FOLDS = ("tiers", "iou"), ("mean", "sum", "off")


@dataclass(frozen=True, slots=True)
class RewardWeights:
    """What each term of `ibisagent.evals.rewards.terms.RunTerms` weighs; the defaults are those of `RewardConfig`."""

    answer: float = 1.0
    format: float = 0.1
    click: float = 0.0
    progress: float = 0.0
    length: float = 0.0
    steps: float = -0.01
    wrong_refusal: float = -0.8
    wrong_assertion: float = -0.2
    decline_present: float = -0.4
    decline_absent: float = 0.3
    names_target: float = 0.05


@dataclass(frozen=True, slots=True)
class RewardConfig:
    """How a run is scored: the sum of its terms times their weights.

    ``answer``: "iou", or the paper's "tiers" above .5, .7 and .8. ``fold``: how the click and progress terms of a run's
    prompts become one, "off" for 0. ``optimal_steps``: turns before the last one without a penalty of length.

    The default is the final IoU, a cost of .01 a step, and terms that order the ways to end. For runs of at most 20
    turns, a present target: any prompt left standing > declining > marking nothing; an absent one: refusing >
    declining > anything marked. A step costs less than any gain in IoU that is worth a step, so stopping early never
    pays. Marking and refusing are worth the same where a target is there with a probability of about one half.
    """

    answer: Literal["tiers", "iou"] = "iou"
    fold: Literal["mean", "sum", "off"] = "off"
    optimal_steps: int = 5
    weights: RewardWeights = RewardWeights()

    def __post_init__(self) -> None:
        """Raise `InputError` for forms that there are not."""
        for name, known in (("answer", _ANSWERS), ("fold", _FOLDS)):
            got = getattr(self, name)
            if got not in known:
                raise InputError(f"reward: got {name}={got!r}, expected one of {', '.join(known)}; choose one")


_PAPER_WEIGHTS = RewardWeights(
    answer=0.6,  # the paper's 3, 2, 1 and 0 are thirds here
    **dict.fromkeys(("format", "click", "progress", "length"), 0.2),
    **dict.fromkeys(("steps", "wrong_refusal", "wrong_assertion"), 0.0),
    **dict.fromkeys(("decline_present", "decline_absent", "names_target"), 0.0),
)

REWARD_PRESETS = {
    "default": RewardConfig(),
    "paper": RewardConfig(answer="tiers", fold="mean", weights=_PAPER_WEIGHTS),
}
"""Rewards by name. "paper": the paper's score, which pays for stopping early (EXPERIMENTS.md)."""
