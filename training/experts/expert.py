"""The teacher: a policy that knows the true mask and shows what a careful one does, also after mistakes."""

from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol, cast, get_args

import numpy as np

from ibisagent.agent.actions import Action, Backtrack, Terminate, write_reply
from ibisagent.agent.policies.base import Completion, Observation, Policy, SyncPolicy
from ibisagent.tools.click_correctness import hits
from ibisagent.tools.clicks import Box, Click, Pixel, Prompt, pixel_of
from ibisagent.tools.errors import InputError
from ibisagent.tools.imaging.grids import Mask
from ibisagent.tools.masks.measure import iou
from ibisagent.training.experts.click_sampling import aim
from ibisagent.training.experts.rationales import Kind, Style, answer, kind_of_click, think

__all__ = ["Decision", "Lesson", "Teacher", "Teaches", "Watched", "style_of", "taken", "worded"]

_GOOD = 0.8
_UNFIT = 0.1


@dataclass(frozen=True, slots=True)
class Lesson:
    """How a teacher clicks and when it is content.

    ``stop_iou``: it stops there; less ``give_up`` for every prompt in force after the first, as endless repair of what
    the segmenter cannot do is no lesson. ``depth``, ``snap``: see `ibisagent.training.experts.click_sampling`.
    """

    stop_iou: float = 0.85
    give_up: float = 0.03
    depth: float = 0.85
    snap: float | None = 0.01
    style: Style = "short"

    def __post_init__(self) -> None:
        """Refuse numbers that mean nothing with `InputError`."""
        for name in ("stop_iou", "give_up", "depth"):
            if not 0 <= (value := getattr(self, name)) <= 1:
                raise InputError(f"{name}={value!r}: expected a number from 0 to 1")
        if self.snap is not None and not 0.0001 <= self.snap <= 0.1:
            raise InputError(f"snap={self.snap!r}: expected a bin width from 0.0001 to 0.1, or None")


def style_of(name: str) -> Style:
    """Read the name of a style of thoughts, `InputError` for one that there is not."""
    for style in get_args(Style):
        if style == name:
            return cast(Style, style)
    raise InputError(f"got style {name[:40]!r}, expected {' or '.join(get_args(Style))}; choose one")


class Decision(NamedTuple):
    """What to do and why."""

    kind: Kind
    action: Action


class Teaches(Policy, Protocol):
    """A policy whose decisions can be had without their wording."""

    target: str
    truth: Mask
    lesson: Lesson

    def decide(self, observation: Observation) -> Decision:
        """Decide what is right at an observation."""


class Teacher(SyncPolicy):
    """Clicks, undoes what was wrong, drops a mask of something else, stops, or says that the target is not there.

    What it does is a function of the observation, the truth and the seed alone: it can label what any policy met.
    """

    name = "teacher"

    def __init__(self, truth: Mask, target: str, lesson: Lesson | None = None, seed: int = 0) -> None:
        """Take the true mask, (H, W) bool on the displayed picture and empty for an absent target, and its name."""
        self.truth, self.target, self.lesson, self._seed = truth, target, lesson or Lesson(), seed

    def act(self, observation: Observation) -> Completion:
        """Reply with what `decide` gives, in the words of the lesson's style."""
        decision = self.decide(observation)
        rng = np.random.default_rng([self._seed, observation.step, 1])
        return Completion(worded(self, decision, observation, rng), model=self.name)

    def decide(self, observation: Observation) -> Decision:
        """Decide by the mask in force, the prompts that made it and what was undone at it."""
        if observation.mask.shape != self.truth.shape:
            got = f"a true mask of {self.truth.shape}"
            raise InputError(f"teacher: got {got}, expected the picture's {observation.mask.shape}; give its own mask")
        reached = iou(observation.mask, self.truth)
        if "backtrack" in observation.actions and (undo := self._undo(observation, reached)):
            return Decision(undo, Backtrack())
        if not self.truth.any():
            return Decision("absent", Terminate())
        patience = self.lesson.give_up * max(0, len(observation.prompts) - 1)
        click = None if reached >= self.lesson.stop_iou - patience else self._click(observation)
        if click is None:
            return Decision("fits", Terminate())
        return Decision(kind_of_click(click.positive, bool(observation.mask.any())), click)

    def _undo(self, observation: Observation, reached: float) -> Kind | None:
        """Say why the last prompt or the initial mask has to go, if it has to."""
        absent = not self.truth.any()
        if observation.prompts:
            harmful = reached < min(_GOOD, self.lesson.stop_iou) and _wrong(observation.prompts[-1], self.truth)
            return "undo" if absent or harmful else None
        return "drop" if observation.refining and (absent or reached < _UNFIT) else None

    def _click(self, observation: Observation) -> Click | None:
        rng = np.random.default_rng([self._seed, observation.step])
        pixels, depth = taken(observation), self.lesson.depth
        click = aim(observation.mask, self.truth, pixels, depth, self.lesson.snap, rng)
        if click is not None or observation.mask.any():
            return click
        return aim(observation.mask, self.truth, pixels, depth, None, rng)  # a target that lies between all bins


def _wrong(prompt: Prompt, truth: Mask) -> bool:
    if isinstance(prompt, Box):
        return not hits(prompt, truth, truth)
    return bool(truth[pixel_of(prompt, truth.shape)]) != prompt.positive


def taken(observation: Observation) -> set[Pixel]:
    """Give the pixels of all clicks in force and of those undone at this mask."""
    made = (*observation.prompts, *observation.undone)
    return {pixel_of(click, observation.mask.shape) for click in made if isinstance(click, Click)}


def worded(teacher: Teaches, decision: Decision, observation: Observation, rng: np.random.Generator) -> str:
    """Write a decision as a reply, thought first, in the words of the lesson's style."""
    kind, action = decision
    style, click = teacher.lesson.style, action if isinstance(action, Click) else None
    thought = think(kind, teacher.target, observation, click, style, rng)
    return write_reply(thought, action, answer(kind, teacher.target, style, rng), observation.frame)


class Watched:
    """Any policy, and beside each of its replies, as ``label``, what a teacher replies at the same observation."""

    def __init__(self, policy: Policy, teacher: Policy) -> None:
        """Let ``policy`` act and ``teacher`` look on."""
        self._policy, self._teacher, self.name = policy, teacher, policy.name
        if hasattr(policy, "seconds"):
            self.seconds = policy.seconds

    def act(self, observation: Observation) -> Completion:
        """Give the policy's reply."""
        return replace(self._policy.act(observation), label=self._teacher.act(observation).text)

    async def aact(self, observation: Observation) -> Completion:
        """Give the policy's reply through its own async twin."""
        said = await self._policy.aact(observation)
        return replace(said, label=(await self._teacher.aact(observation)).text)
