"""The learner: a teacher that errs now and then, so that its runs show how a mistake is noticed, undone and redone."""

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np

from ibisagent.agent.policies.base import Completion, Observation, SyncPolicy
from ibisagent.tools.clicks import Click
from ibisagent.tools.errors import InputError
from ibisagent.tools.imaging.grids import Mask
from ibisagent.tools.perturbations.distractor_clicks import around, outlying
from ibisagent.training.experts.click_sampling import inside
from ibisagent.training.experts.expert import Decision, Teaches, taken, worded
from ibisagent.training.experts.rationales import kind_of_click

__all__ = ["Learner", "Mistakes"]

_SHARES = {"sloppy": 0.25, "near": 0.3, "mirrored": 0.1, "elsewhere": 0.2, "sign": 0.15}


@dataclass(frozen=True, slots=True)
class Mistakes:
    """How often each mistake takes the place of a right click.

    ``sloppy``: anywhere in the error region; ``near``: just outside the target; ``mirrored``: on the other side;
    ``elsewhere``: on something bright or dark, also where the target is absent; ``sign``: of the other sign.
    """

    sloppy: float = 0.0
    near: float = 0.0
    mirrored: float = 0.0
    elsewhere: float = 0.0
    sign: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what is no probability with `InputError`."""
        rates = [getattr(self, each.name) for each in fields(self)]
        if min(rates) < 0 or sum(rates) > 1 + 1e-9:
            raise InputError(f"got mistakes {rates}, expected probabilities that sum to 1 at most; lower them")

    @classmethod
    def of(cls, rate: float) -> "Mistakes":
        """Spread a rate of mistakes over their kinds."""
        return cls(**{kind: rate * share for kind, share in _SHARES.items()})


class Learner(SyncPolicy):
    """Follows a teacher but for mistakes, which it believes in; right after an undo it makes none.

    A mistake is a reply of the model "mistake", and its ``label`` is what the teacher replies there.
    """

    name = "learner"

    def __init__(self, teacher: Teaches, mistakes: Mistakes, seed: int = 0) -> None:
        """Draw from (seed, step)."""
        self._teacher, self._mistakes, self._seed = teacher, mistakes, seed

    def act(self, observation: Observation) -> Completion:
        """Reply as the teacher does, or wrongly."""
        right = self._teacher.act(observation)
        rng = np.random.default_rng([self._seed, observation.step, 2])
        kind = None if observation.undone else self._drawn(rng)
        wrong = self._wrong(kind, self._teacher.decide(observation), observation, rng) if kind else None
        if wrong is None:
            return right
        believed = Decision(kind_of_click(wrong.positive, bool(observation.mask.any())), wrong)
        return Completion(worded(self._teacher, believed, observation, rng), model="mistake", label=right.text)

    def _wrong(self, kind: str, right: Decision, observation: Observation, rng: np.random.Generator) -> Click | None:
        if isinstance(right.action, Click):
            if kind == "sign" and observation.mask.any():
                return Click(right.action.x, right.action.y, not right.action.positive)
            sign = right.action.positive if kind == "sloppy" else True
            return self._inside(self._region(kind, right.action, observation, rng), sign, observation, rng)
        if right.kind == "absent" and kind == "elsewhere":
            return self._inside(self._outlying(observation, rng), True, observation, rng)
        return None

    def _drawn(self, rng: np.random.Generator) -> str | None:
        draw = rng.random()
        for each in fields(self._mistakes):
            draw -= getattr(self._mistakes, each.name)
            if draw < 0:
                return each.name
        return None

    def _region(self, kind: str, right: Click, observation: Observation, rng: np.random.Generator) -> Mask:
        """Give the pixels that a mistake may fall on."""
        truth, mask = self._teacher.truth, observation.mask
        choices: dict[str, Callable[[], Mask]] = {
            "sloppy": lambda: (truth & ~mask) if right.positive else (mask & ~truth),
            "mirrored": lambda: truth[:, ::-1] & ~truth & ~mask,
            "elsewhere": lambda: self._outlying(observation, rng),
        }
        region = choices[kind]() if kind in choices else None
        return region if region is not None and region.any() else around(truth) & ~mask

    def _inside(self, region: Mask, positive: bool, observation: Observation, rng: np.random.Generator) -> Click | None:
        return inside(region, taken(observation), self._teacher.lesson.snap, rng, positive=positive)

    def _outlying(self, observation: Observation, rng: np.random.Generator) -> Mask:
        return outlying(observation.picture, ~self._teacher.truth & ~observation.mask, rng)
