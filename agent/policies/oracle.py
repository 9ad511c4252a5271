"""The oracle: a policy that knows the true mask and clicks as the click simulator of interactive segmentation does."""

from collections.abc import Mapping
from typing import Any

from ibisagent.agent.actions import Backtrack, Terminate, write_reply
from ibisagent.agent.policies.base import Completion, Observation, SyncPolicy
from ibisagent.tools.clicks import Click, Pixel, Prompt, Similar, click_to_pixel
from ibisagent.tools.errors import InputError
from ibisagent.tools.imaging.grids import Mask
from ibisagent.tools.masks.conversion import as_mask
from ibisagent.tools.masks.measure import iou
from ibisagent.tools.simulator import next_click, to_prompt

__all__ = ["OraclePolicy"]

_NAME = "oracle: true mask"


class OraclePolicy(SyncPolicy):
    """Clicks the deepest error pixel until the mask reaches ``target_iou``; never the same pixel twice.

    An absent target (an empty true mask) is refused: an initial mask is dropped first.
    """

    name = "oracle"

    def __init__(self, truth: Any, *, target_iou: float = 0.95, similar: bool = False) -> None:
        """Take the true mask of the displayed picture, or a mapping with one for each image by its content hash.

        A mask has any form that `ibisagent.tools.masks.reading.as_mask` takes; anything else is an `InputError`.
        With ``similar`` each click is an example.
        """
        several = isinstance(truth, Mapping) and "counts" not in truth  # what has counts are run lengths
        self._truths = truth if several else as_mask(truth, name=_NAME)
        self._target, self._similar = target_iou, similar

    def act(self, observation: Observation) -> Completion:
        """Click, or stop at the target IoU, or when no error pixel is left that was not clicked."""
        truth = self._truth(observation)
        reached = iou(observation.mask, truth)
        if not truth.any() and observation.mask.any() and (observation.prompts or observation.has_initial_mask):
            return self._reply(observation, "What is marked is not there.", Backtrack())
        following = (
            None if reached >= self._target else next_click(observation.mask, truth, _clicked_pixels(observation))
        )
        if following is None:
            return self._stop(observation, truth)
        missed = "A part is missed here." if following.positive else "The mask spills over here."
        thought = missed if observation.mask.any() else "Nothing is marked yet; the target is here."
        return self._reply(observation, thought, to_prompt(following, truth.shape, similar=self._similar))

    def _truth(self, observation: Observation) -> Mask:
        known = self._truths
        truth = known.get(observation.image_sha) if isinstance(known, Mapping) else known
        if truth is None:
            raise InputError(f"oracle: no true mask for image {observation.image_sha}; give one under its hash")
        mask = as_mask(truth, name=_NAME)
        if mask.shape != observation.mask.shape:
            raise InputError(f"oracle: true mask of {mask.shape}, expected the picture's {observation.mask.shape}")
        return mask

    def _stop(self, observation: Observation, truth: Mask) -> Completion:
        if not truth.any():
            return self._reply(observation, "I see nothing of the kind.", Terminate(), "The target is not visible.")
        return self._reply(observation, "The mask fits the target.", Terminate(), "The target is segmented.")

    def _reply(
        self, observation: Observation, thought: str, action: Prompt | Backtrack | Terminate, answer: str | None = None
    ) -> Completion:
        return Completion(write_reply(thought, action, answer, observation.frame), model=self.name)


def _clicked_pixels(observation: Observation) -> set[Pixel]:
    made = (*observation.prompts, *observation.undone)
    return {click_to_pixel(click, observation.mask.shape) for click in made if isinstance(click, Click | Similar)}
