"""Recorded states as a policy was shown them: the conversation of each, with the picture that the loop showed."""

from ibisagent.training.rendering.renderer import RenderedState, StateRenderer
from ibisagent.training.rendering.states import RecordedState, build_components, is_rendered, iter_states

__all__ = ["RecordedState", "RenderedState", "StateRenderer", "build_components", "is_rendered", "iter_states"]
