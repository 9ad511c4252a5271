"""Renders recorded states with the loop's own code for observations, for every kind of training."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any, NamedTuple

from ibisagent.agent.config import LoopConfig
from ibisagent.agent.graph_components import Components
from ibisagent.agent.observation import build_observation
from ibisagent.agent.policies.base import Observation
from ibisagent.agent.prompting import Message, PromptSet
from ibisagent.agent.replay import replay_config
from ibisagent.agent.stores import ImageStore, RunStore
from ibisagent.agent.trajectory import Step, Trajectory
from ibisagent.training.rendering.states import RecordedState, build_components, is_rendered, iter_states

__all__ = ["RenderedState", "StateRenderer"]

_PICTURES = 64 * 2**20  # bytes


class RenderedState(NamedTuple):
    """A state as it was shown: the ``conversation`` with its pictures, and the ``step`` that the policy then made."""

    conversation: list[Message]
    observation: Observation
    step: Step


class StateRenderer:
    """Renders the states of trajectories; each record's own settings decide what its policy was shown."""

    def __init__(self, prompts: PromptSet, images: ImageStore | None = None) -> None:
        """Take the words of the conversations; ``images``: holds pictures that have no file, and opens the others."""
        self._prompts, self._images = prompts, images or ImageStore(max_bytes=_PICTURES)
        self._components: dict[LoopConfig, Components] = {}

    def render(
        self, record: Trajectory, image: Mapping[str, Any], wanted: Callable[[Step], bool] = is_rendered
    ) -> Iterator[RenderedState]:
        """Render the state before each ``wanted`` step, by default each reply or label.

        ``image``: the reference of the record's picture, with a path that may be opened
        (`ibisagent.agent.record_images.find_recorded_image`) or of one that the image store holds.
        """
        components = self._build_components(record)
        return (self._render(components, each) for each in iter_states(record, image, components.store, wanted))

    def render_state(self, record: Trajectory, image: Mapping[str, Any], index: int) -> RenderedState:
        """Render the state before one reply or label, counted from 0; `IndexError` where the record has fewer."""
        components = self._build_components(record)
        recorded = next(islice(iter_states(record, image, components.store), index, None), None)
        if recorded is None:
            raise IndexError(index)
        return self._render(components, recorded)

    def _render(self, components: Components, recorded: RecordedState) -> RenderedState:
        observation = build_observation(recorded.state, components)
        return RenderedState(self._prompts.conversation(observation), observation, recorded.step)

    def _build_components(self, record: Trajectory) -> Components:
        """Return the components of a record's settings, with a run store of its own for its replies and masks."""
        config = replay_config(record)
        if config not in self._components:
            self._components[config] = build_components(config, self._images)
        return replace(self._components[config], store=RunStore())
