"""The segmenter's answer to a run's prompts, through the memo."""

from collections.abc import Sequence

from ibisagent.agent.graph_components import Components
from ibisagent.agent.state import State, active_target
from ibisagent.tools.clicks import Prompt
from ibisagent.tools.errors import InputError
from ibisagent.tools.segmenters.memo import MemoEntry

__all__ = ["predict", "require_same_segmenter"]


def predict(state: State, components: Components, prompts: Sequence[Prompt]) -> MemoEntry:
    """Predict the mask of ``prompts`` over the active target's initial mask."""
    require_same_segmenter(state, components)
    image = components.images.open(state["image"])
    answer = components.memo.predict(image, active_target(state)["initial_mask"], tuple(prompts))
    components.view.keep_mask(answer.key, answer.prediction.mask)
    return answer


def require_same_segmenter(state: State, components: Components) -> None:
    """Raise `InputError` for a run that began with another segmenter."""
    begun_with, fingerprint = state["run"]["segmenter"], components.memo.fingerprint
    if begun_with != fingerprint:
        raise InputError(f"segmenter {fingerprint!r}: the run began with {begun_with!r}; resume it with that one")
