"""The components of a compiled graph: the policy, the memoised segmenter, the stores, the settings."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ibisagent.agent.actions import ALL_KINDS, Action, from_plain
from ibisagent.agent.config import LoopConfig
from ibisagent.agent.coordinates import CoordinateFrame
from ibisagent.agent.model_resize import SmartResize
from ibisagent.agent.overlay import OverlayBlend, draw_mask, fit_to_side, prepare_blend
from ibisagent.agent.policies.base import Observation, Policy, Turn
from ibisagent.agent.state import State
from ibisagent.agent.steps import steps_of_request
from ibisagent.agent.stores import ImageStore, RunStore
from ibisagent.tools.cache import OnceCache
from ibisagent.tools.clicks import Box, Click, Prompt
from ibisagent.tools.errors import InputError
from ibisagent.tools.imaging.grids import make_read_only
from ibisagent.tools.imaging.medical_image import MedicalImage
from ibisagent.tools.masks.rle import Rle, decode, rle_key
from ibisagent.tools.segmenters.memo import Memo, MemoEntry

__all__ = ["Components", "active_prompts", "as_prompt"]

_DEFAULT_REPLY_TIMEOUT = 600.0
_BLEND_CACHE_BYTES = 96 * 2**20  # bytes
_FRAME_CACHE_BYTES = 16 * 2**20  # bytes; small, so that memory is reused instead of allocated again


@dataclass(frozen=True, slots=True, eq=False)
class Components:
    """The fixed components of a loop; nothing in it changes between runs but the caches, which do not alter results."""

    policy: Policy
    memo: Memo
    config: LoopConfig
    images: ImageStore
    store: RunStore
    overlay_blends: OnceCache[OverlayBlend] = field(
        default_factory=lambda: OnceCache(_BLEND_CACHE_BYTES, lambda ready: 2 * ready[0].nbytes)
    )
    overlays: OnceCache[NDArray[np.uint8]] = field(
        default_factory=lambda: OnceCache(_FRAME_CACHE_BYTES, lambda array: array.nbytes)
    )
    masks: OnceCache[NDArray[np.bool_]] = field(
        default_factory=lambda: OnceCache(_FRAME_CACHE_BYTES, lambda array: array.nbytes)
    )

    @property
    def actor(self) -> str:
        """The actor of the policy's actions: ``person`` when a person acts, else ``policy``."""
        return "person" if self.policy.name == "person" else "policy"

    @property
    def reply_timeout(self) -> float | None:
        """Seconds that the policy has for a reply, None without a limit."""
        limit = self.config.policy_seconds
        return getattr(self.policy, "reply_timeout", _DEFAULT_REPLY_TIMEOUT) if limit is None else limit

    @property
    def allowed_kinds(self) -> tuple[str, ...]:
        """The kinds of action that are accepted in a reply; a person may use all."""
        return ALL_KINDS if self.actor == "person" else self.config.actions

    def open_image(self, state: State) -> MedicalImage:
        """Open the run's image."""
        return self.images.open(state["image"])

    def decode_mask(self, rle: Rle) -> NDArray[np.bool_]:
        """Decode a mask, (H, W) bool, read-only."""
        return self.masks.get(rle_key(rle), lambda: make_read_only(decode(rle)))

    def render_overlay(self, image: MedicalImage, rle: Rle) -> NDArray[np.uint8]:
        """Draw a mask over its image, (h, w, 3) uint8, as the policy is shown it."""
        return self.overlays.get((image.sha, rle_key(rle)), lambda: self._render(image, rle))

    def _render(self, image: MedicalImage, rle: Rle) -> NDArray[np.uint8]:
        ready = self.overlay_blends.get(image.sha, lambda: prepare_blend(image.pixels))
        # A model that writes pixels refers to the resized picture of its processor; by default that of Qwen2.5-VL.
        smart_resize = (self.config.smart_resize or SmartResize()) if self.config.coordinates == "pixels" else None
        return fit_to_side(
            draw_mask(ready, self.decode_mask(rle)), self.config.picture_side, smart_resize, enlarge=self.config.enlarge
        )

    def frame(self, state: State) -> CoordinateFrame:
        """Return the frame in which the policy writes its coordinates: that of the picture it is shown."""
        height, width = self.render_overlay(self.open_image(state), state["mask"]).shape[:2]
        return CoordinateFrame(self.config.coordinates or "unit", width, height)

    def predict(self, state: State, prompts: tuple[Prompt, ...]) -> MemoEntry:
        """Predict, through the memo, the mask of ``prompts`` over the run's initial mask."""
        self.require_same_segmenter(state)
        answer = self.memo.predict(self.open_image(state), state["initial_mask"], prompts)
        self.masks.get(answer.key, lambda: answer.prediction.mask)
        return answer

    def require_same_segmenter(self, state: State) -> None:
        """Raise `InputError` for a run that began with another segmenter."""
        begun_with, fingerprint = state["run"]["segmenter"], self.memo.fingerprint
        if begun_with != fingerprint:
            raise InputError(f"segmenter {fingerprint!r}: the run began with {begun_with!r}; resume it with that one")

    def build_observation(self, state: State) -> Observation:
        """Build what the policy is shown of the state."""
        return Observation(
            picture=self.render_overlay(self.open_image(state), state["mask"]),
            frame=self.frame(state),
            mask=self.decode_mask(state["mask"]),
            image_sha=state["image"]["sha"],
            request=state["request"],
            kind=state["kind"],
            step=sum(step["reply"] is not None for step in state["steps"]),
            prompts=active_prompts(state),
            undone=self._undone_actions(state),
            has_initial_mask=state["initial_mask"] is not None,
            score=state["score"],
            actions=self.config.actions,
            feedback=state["feedback"],
            turns=self._previous_turns(state) if self.config.context == "history" else (),
            seed=state["run"]["seed"],
        )

    def _undone_actions(self, state: State) -> tuple[Action, ...]:
        here = rle_key(state["mask"])
        actions = [from_plain(undone["action"]) for undone in state["undone"] if undone["mask"] == here]
        return tuple(actions[-3:]) if self.config.undo_notice else ()

    def _previous_turns(self, state: State) -> tuple[Turn, ...]:
        steps = steps_of_request(state)
        start = state["run"]["start"]
        shown = [start, *(step["mask"] for step in steps)]
        replies = [(key, step["reply"]) for key, step in zip(shown, steps, strict=False) if step["reply"] is not None]
        left = _turns_without_picture(len(replies), self.config.pictures)
        return tuple(
            Turn(None if number in left else self._render_stored_mask(state, key), self.store.get(reply)["text"])
            for number, (key, reply) in enumerate(replies)
        )

    def _render_stored_mask(self, state: State, key: str) -> NDArray[np.uint8]:
        return self.render_overlay(self.open_image(state), self.store.get_mask(key))


def _turns_without_picture(turns: int, most: int | None) -> range:
    """Return the earlier turns whose picture is left out, so that ``most`` are shown with the current one."""
    return range(0) if most is None or turns < most else range(min(1, most - 1), turns - max(0, most - 2))


def active_prompts(state: State) -> tuple[Prompt, ...]:
    """Return the active prompts, oldest first."""
    return tuple(as_prompt(plain) for plain in state["prompts"])


def as_prompt(value: object) -> Prompt:
    """Convert a click or a box, or the plain form of one, to a prompt."""
    action = from_plain(value) if isinstance(value, dict) else value
    if not isinstance(action, Click | Box):
        raise InputError(f"prompt {value!r}: expected a Click, a Box, or the plain form of one")
    return action
