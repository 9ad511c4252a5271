"""The expert: a policy that knows the true mask and demonstrates what a careful one does, also after mistakes."""

from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol, cast, get_args

import numpy as np

from ibisagent.agent.actions import Action, Backtrack, Terminate, write_reply
from ibisagent.agent.policies.base import Completion, Observation, Policy, SyncPolicy
from ibisagent.tools.click_correctness import is_correct_prompt
from ibisagent.tools.clicks import Box, Click, Pixel, Prompt, click_to_pixel
from ibisagent.tools.errors import InputError
from ibisagent.tools.imaging.grids import Mask
from ibisagent.tools.masks.measure import iou
from ibisagent.training.experts.click_sampling import sample_error_click
from ibisagent.training.experts.rationales import (
    RationaleKind,
    RationaleStyle,
    click_kind,
    write_answer,
    write_rationale,
)

__all__ = [
    "Decision",
    "Expert",
    "ExpertConfig",
    "ExpertPolicy",
    "RelabeledPolicy",
    "find_used_pixels",
    "parse_style",
    "write_decision",
]

_SUFFICIENT_IOU = 0.8
_UNRELATED_IOU = 0.1


@dataclass(frozen=True, slots=True)
class ExpertConfig:
    """How an expert clicks and when it stops.

    ``stop_iou``: it stops there; less ``stop_iou_decay`` for every active prompt after the first, as endless repair of
    what the segmenter cannot do teaches nothing. ``depth``, ``snap``: see `ibisagent.training.experts.click_sampling`.
    """

    stop_iou: float = 0.85
    stop_iou_decay: float = 0.03
    depth: float = 0.85
    snap: float | None = 0.01
    style: RationaleStyle = "short"

    def __post_init__(self) -> None:
        """Refuse numbers that mean nothing with `InputError`."""
        for name in ("stop_iou", "stop_iou_decay", "depth"):
            if not 0 <= (value := getattr(self, name)) <= 1:
                raise InputError(f"{name}={value!r}: expected a number from 0 to 1")
        if self.snap is not None and not 0.0001 <= self.snap <= 0.1:
            raise InputError(f"snap={self.snap!r}: expected a bin width from 0.0001 to 0.1, or None")


def parse_style(name: str) -> RationaleStyle:
    """Parse the name of a style of rationales, `InputError` for an unknown one."""
    for style in get_args(RationaleStyle):
        if style == name:
            return cast(RationaleStyle, style)
    raise InputError(f"got style {name[:40]!r}, expected {' or '.join(get_args(RationaleStyle))}; choose one")


class Decision(NamedTuple):
    """An action and the kind of its rationale."""

    kind: RationaleKind
    action: Action


class ExpertPolicy(Policy, Protocol):
    """A policy with the true mask whose decisions can be had without their wording."""

    target: str
    truth: Mask
    config: ExpertConfig

    def decide(self, observation: Observation) -> Decision:
        """Decide what is right at an observation."""


class Expert(SyncPolicy):
    """Clicks, undoes what was wrong, drops a mask of something else, stops, or says that the target is not there.

    Its decision is a function of the observation, the truth and the seed alone: it can label any policy's observations.
    """

    name = "expert"

    def __init__(self, truth: Mask, target: str, config: ExpertConfig | None = None, seed: int = 0) -> None:
        """Take the true mask, (H, W) bool on the displayed picture and empty for an absent target, and its name."""
        self.truth, self.target, self.config, self._seed = truth, target, config or ExpertConfig(), seed

    def act(self, observation: Observation) -> Completion:
        """Reply with the decision, worded in the configured style."""
        decision = self.decide(observation)
        rng = np.random.default_rng([self._seed, observation.step, 1])
        return Completion(write_decision(self, decision, observation, rng), model=self.name)

    def decide(self, observation: Observation) -> Decision:
        """Decide by the current mask, the prompts that made it and what was undone at it."""
        if observation.mask.shape != self.truth.shape:
            got = f"a true mask of {self.truth.shape}"
            raise InputError(f"expert: got {got}, expected the picture's {observation.mask.shape}; give its own mask")
        current_iou = iou(observation.mask, self.truth)
        if "backtrack" in observation.actions and (undo := self._find_undo(observation, current_iou)):
            return Decision(undo, Backtrack())
        if not self.truth.any():
            return Decision("absent", Terminate())
        patience = self.config.stop_iou_decay * max(0, len(observation.prompts) - 1)
        click = None if current_iou >= self.config.stop_iou - patience else self._sample_click(observation)
        if click is None:
            return Decision("fits", Terminate())
        return Decision(click_kind(click.positive, bool(observation.mask.any())), click)

    def _find_undo(self, observation: Observation, current_iou: float) -> RationaleKind | None:
        """Return why the last prompt or the initial mask must be undone, None if it need not be."""
        absent = not self.truth.any()
        if observation.prompts:
            harmful = current_iou < min(_SUFFICIENT_IOU, self.config.stop_iou) and _is_wrong(
                observation.prompts[-1], self.truth
            )
            return "undo" if absent or harmful else None
        return "drop" if observation.has_initial_mask and (absent or current_iou < _UNRELATED_IOU) else None

    def _sample_click(self, observation: Observation) -> Click | None:
        rng = np.random.default_rng([self._seed, observation.step])
        pixels, depth = find_used_pixels(observation), self.config.depth
        click = sample_error_click(observation.mask, self.truth, pixels, depth, self.config.snap, rng)
        if click is not None or observation.mask.any():
            return click
        # The target lies between all bins.
        return sample_error_click(observation.mask, self.truth, pixels, depth, None, rng)


def _is_wrong(prompt: Prompt, truth: Mask) -> bool:
    if isinstance(prompt, Box):
        return not is_correct_prompt(prompt, truth, truth)
    return bool(truth[click_to_pixel(prompt, truth.shape)]) != prompt.positive


def find_used_pixels(observation: Observation) -> set[Pixel]:
    """Return the pixels of all active clicks and of those undone at this mask."""
    made = (*observation.prompts, *observation.undone)
    return {click_to_pixel(click, observation.mask.shape) for click in made if isinstance(click, Click)}


def write_decision(expert: ExpertPolicy, decision: Decision, observation: Observation, rng: np.random.Generator) -> str:
    """Write a decision as a reply, thought first, in the configured style."""
    kind, action = decision
    style, click = expert.config.style, action if isinstance(action, Click) else None
    thought = write_rationale(kind, expert.target, observation, click, style, rng)
    return write_reply(thought, action, write_answer(kind, expert.target, style, rng), observation.frame)


class RelabeledPolicy:
    """Any policy with each of its replies relabeled: its ``label`` is the expert's reply at the same observation."""

    def __init__(self, policy: Policy, expert: Policy) -> None:
        """Take the policy that acts and the expert that labels."""
        self._policy, self._expert, self.name = policy, expert, policy.name
        if hasattr(policy, "reply_timeout"):
            self.reply_timeout = policy.reply_timeout

    def act(self, observation: Observation) -> Completion:
        """Return the policy's reply with the expert's as its label."""
        return replace(self._policy.act(observation), label=self._expert.act(observation).text)

    async def aact(self, observation: Observation) -> Completion:
        """Return the same by the policies' own async methods."""
        completion = await self._policy.aact(observation)
        return replace(completion, label=(await self._expert.aact(observation)).text)
