"""Policies without a model: a script of replies, two baselines, and none at all."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ibisagent.agent.actions import Decline, Terminate, write_reply
from ibisagent.agent.policies.base import Completion, Observation, SyncPolicy
from ibisagent.tools.clicks import Click, Similar

__all__ = ["CentrePolicy", "NoPolicy", "RandomPolicy", "ScriptedPolicy"]


class ScriptedPolicy(SyncPolicy):
    """Replies from a list of texts or completions, one a step, whatever is shown; a recorded run replays through it.

    The reply is chosen by the observation's step, not by a counter, so that one script serves any number of runs.
    """

    name = "scripted"

    def __init__(self, replies: Sequence[str | Completion], *, first_step: int = 0) -> None:
        """Take raw replies; ``first_step``: the step of a thread at which the first of them is due."""
        self._replies = tuple(replies)
        self._first_step = first_step

    def act(self, observation: Observation) -> Completion:
        """Return the reply of this step; `IndexError` when the script is over."""
        index = observation.step - self._first_step
        if not 0 <= index < len(self._replies):
            raise IndexError(f"the script has {len(self._replies)} replies, step {index + 1} was asked for")
        reply = self._replies[index]
        return replace(reply, model=self.name) if isinstance(reply, Completion) else Completion(reply, model=self.name)


class NoPolicy(SyncPolicy):
    """Stops at once, so that the mask is that of the prompts given; declines where nothing is marked."""

    name = "none"

    def act(self, observation: Observation) -> Completion:
        """Stop; an empty mask is no statement about the target, so that nothing is asserted of it."""
        if observation.mask.any() or "decline" not in observation.actions:
            return Completion(
                write_reply("The prompts were given.", Terminate(), "Segmented as prompted."), model=self.name
            )
        return Completion(write_reply("Nothing is marked.", Decline(), "The prompts mark nothing."), model=self.name)


class CentrePolicy(SyncPolicy):
    """One positive click, or example, on the centre of the picture, then a stop."""

    name = "centre"

    def __init__(self, *, similar: bool = False) -> None:
        """With ``similar`` the click is an example."""
        self._prompt = Similar(0.5, 0.5) if similar else Click(0.5, 0.5)

    def act(self, observation: Observation) -> Completion:
        """Click once, then stop."""
        if observation.prompts or observation.undone:
            text = write_reply("The click is made.", Terminate(), "The central object is segmented.", observation.frame)
        else:
            text = write_reply("The target may be at the centre.", self._prompt, frame=observation.frame)
        return Completion(text, model=self.name)


class RandomPolicy(SyncPolicy):
    """Uniform clicks, seven of eight positive, and a stop with one chance in six once there is a prompt."""

    name = "random"

    def __init__(self, seed: int = 0, *, similar: bool = False) -> None:
        """Draw from (seed, step, the run's seed), so that a resumed run equals an unbroken one.

        With ``similar`` each click is an example.
        """
        self._seed, self._kind = seed, Similar if similar else Click
        self.sampling = {"seed": seed}

    def act(self, observation: Observation) -> Completion:
        """Draw an action."""
        rng = np.random.default_rng([self._seed, observation.step, observation.seed])
        x, y, sign, stop = (float(value) for value in rng.random(4))
        if observation.prompts and stop < 1 / 6:
            return Completion(write_reply("I stop.", Terminate(), "Done.", observation.frame), model=self.name)
        click = self._kind(x, y, positive=sign < 7 / 8)
        return Completion(write_reply("A random place.", click, frame=observation.frame), model=self.name)
