"""An expert that errs now and then, so that its runs show how a mistake is noticed, undone and corrected."""

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np

from ibisagent.agent.policies.base import Completion, Observation, SyncPolicy
from ibisagent.tools.clicks import Click
from ibisagent.tools.errors import InputError
from ibisagent.tools.imaging.grids import Mask
from ibisagent.tools.perturbations.distractor_clicks import compute_surrounding_band, select_extreme_intensities
from ibisagent.training.experts.click_sampling import sample_click
from ibisagent.training.experts.expert import Decision, ExpertPolicy, find_used_pixels, write_decision
from ibisagent.training.experts.rationales import click_kind

__all__ = ["MistakeRates", "NoisyExpert"]

_SHARE_OF_KIND = {"sloppy": 0.25, "near": 0.3, "mirrored": 0.1, "elsewhere": 0.2, "sign": 0.15}


@dataclass(frozen=True, slots=True)
class MistakeRates:
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
    def from_total(cls, rate: float) -> "MistakeRates":
        """Split a total rate of mistakes over their kinds."""
        return cls(**{kind: rate * share for kind, share in _SHARE_OF_KIND.items()})


class NoisyExpert(SyncPolicy):
    """Follows an expert but for mistakes, worded as if they were right; right after an undo it makes none.

    A mistake is a reply of the model "mistake", and its ``label`` is the expert's reply there.
    """

    name = "noisy_expert"

    def __init__(self, expert: ExpertPolicy, mistakes: MistakeRates, seed: int = 0) -> None:
        """Take the expert and the rates; mistakes are drawn from (seed, step)."""
        self._expert, self._mistakes, self._seed = expert, mistakes, seed

    def act(self, observation: Observation) -> Completion:
        """Reply as the expert does, or wrongly."""
        right = self._expert.act(observation)
        rng = np.random.default_rng([self._seed, observation.step, 2])
        kind = None if observation.undone else self._draw_kind(rng)
        wrong = self._sample_mistake(kind, self._expert.decide(observation), observation, rng) if kind else None
        if wrong is None:
            return right
        believed = Decision(click_kind(wrong.positive, bool(observation.mask.any())), wrong)
        return Completion(write_decision(self._expert, believed, observation, rng), model="mistake", label=right.text)

    def _sample_mistake(
        self, kind: str, right: Decision, observation: Observation, rng: np.random.Generator
    ) -> Click | None:
        if isinstance(right.action, Click):
            if kind == "sign" and observation.mask.any():
                return Click(right.action.x, right.action.y, not right.action.positive)
            sign = right.action.positive if kind == "sloppy" else True
            return self._sample_click(self._find_region(kind, right.action, observation, rng), sign, observation, rng)
        if right.kind == "absent" and kind == "elsewhere":
            return self._sample_click(self._find_outlying(observation, rng), True, observation, rng)
        return None

    def _draw_kind(self, rng: np.random.Generator) -> str | None:
        draw = rng.random()
        for each in fields(self._mistakes):
            draw -= getattr(self._mistakes, each.name)
            if draw < 0:
                return each.name
        return None

    def _find_region(self, kind: str, right: Click, observation: Observation, rng: np.random.Generator) -> Mask:
        """Return the pixels that a mistake may fall on."""
        truth, mask = self._expert.truth, observation.mask
        choices: dict[str, Callable[[], Mask]] = {
            "sloppy": lambda: (truth & ~mask) if right.positive else (mask & ~truth),
            "mirrored": lambda: truth[:, ::-1] & ~truth & ~mask,
            "elsewhere": lambda: self._find_outlying(observation, rng),
        }
        region = choices[kind]() if kind in choices else None
        return region if region is not None and region.any() else compute_surrounding_band(truth) & ~mask

    def _sample_click(
        self, region: Mask, positive: bool, observation: Observation, rng: np.random.Generator
    ) -> Click | None:
        return sample_click(region, find_used_pixels(observation), self._expert.config.snap, rng, positive=positive)

    def _find_outlying(self, observation: Observation, rng: np.random.Generator) -> Mask:
        return select_extreme_intensities(observation.picture, ~self._expert.truth & ~observation.mask, rng)
