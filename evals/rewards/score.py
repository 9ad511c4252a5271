"""The reward of a run, and what each of the policy's turns contributed to it."""

from dataclasses import asdict, dataclass

from ibisagent.agent.stop_reasons import FAILURES
from ibisagent.agent.trajectory import Trajectory
from ibisagent.evals.rewards.judging import PAPER_RULES, JudgingRules, MaskJudgement
from ibisagent.evals.rewards.settings import REWARD_PRESETS, RewardConfig
from ibisagent.evals.rewards.terms import RunTerms, TurnTerms, compute_terms
from ibisagent.tools.masks.rle import area

__all__ = ["Reward", "TurnReward", "score_trajectory"]

_UNSCORED = (None, "cancelled", *FAILURES)


@dataclass(frozen=True, slots=True)
class TurnReward:
    """What a turn of the policy contributed: ``step`` is its position in the record's steps.

    ``reward``: its weighted click and progress, where they are folded into the total; its gain in IoU, where the
    total has the final one; and the cost of the step, unless it is the last.
    """

    step: int
    reward: float


@dataclass(frozen=True, slots=True)
class Reward:
    """The reward of a run: ``total``, the weighted sum of ``terms``.

    ``turns``: what the policy's turns contributed, oldest first; with ``rest`` they sum to ``total``, so that credit by
    turn is another way to distribute the same reward. In ``rest`` is what belongs to the run as a whole: its format,
    its length, how it ended, and the IoU that it began with.
    """

    total: float
    terms: RunTerms
    turns: tuple[TurnReward, ...]

    @property
    def rest(self) -> float:
        """The part of the total that no turn contributed."""
        return self.total - sum(turn.reward for turn in self.turns)


def score_trajectory(
    record: Trajectory,
    config: RewardConfig = REWARD_PRESETS["default"],
    *,
    target: str | None = None,
    answer: str | None = None,
    rules: JudgingRules = PAPER_RULES,
    judgement: MaskJudgement | None = None,
) -> Reward | None:
    """Score a recorded run, from a policy's first turn on; a proposal or an initial mask counts as the mask that it is.

    None, which is no reward of 0, for a run without a truth, one that has not ended, and one that a failure of the
    policy, the segmenter or the store ended, or the caller. ``target``: the target's name; ``answer``: the right one to
    a closed question; ``rules``: the tiers and the click rule, by default the paper's; ``judgement``: of the record's
    masks by that rule, where it is known already. `InputError` for masks of another size than the truth's.
    """
    if record.truth is None or record.stop in _UNSCORED:
        return None
    terms, turns = compute_terms(record, config, target=target, answer=answer, rules=rules, judgement=judgement)
    weights = asdict(config.weights)
    total = sum(weight * getattr(terms, name) for name, weight in weights.items())
    by_mask = config.answer == "iou" and area(record.truth) > 0 and record.stop != "declined" and answer is None
    return Reward(total, terms, _turn_rewards(turns, config, by_mask))


def _turn_rewards(turns: tuple[TurnTerms, ...], config: RewardConfig, by_mask: bool) -> tuple[TurnReward, ...]:
    weights, prompts = config.weights, sum(turn.click is not None for turn in turns)
    share = {"mean": 1 / max(prompts, 1), "sum": 1.0, "off": 0.0}[config.fold]
    return tuple(
        TurnReward(
            step=turn.step,
            reward=share * (weights.click * (turn.click or 0.0) + weights.progress * (turn.progress or 0.0))
            + (weights.answer * turn.gain if by_mask else 0.0)
            + (weights.steps if turn is not turns[-1] else 0.0),
        )
        for turn in turns
    )
