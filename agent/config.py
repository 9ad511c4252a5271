"""The settings of a loop; the defaults are the paper's where it names them (arXiv 2601.03054)."""

from dataclasses import dataclass, replace
from typing import Any, Literal, Self

from ibisagent.agent.actions import KINDS, OPTIONAL, POLICY_KINDS, PROMPT_KINDS
from ibisagent.agent.model_resize import SmartResize
from ibisagent.tools.errors import InputError

__all__ = ["PRESETS", "Guard", "LoopConfig", "SelfCheck", "preset"]

_PROTECTIONS = ("region", "click", False)


@dataclass(frozen=True, slots=True)
class Guard:
    """A prompt after which the mask floods or collapses is undone at once.

    ``flood``: share of the picture that a mask may cover when it at least doubled with this prompt.
    ``collapse``: share of the mask's area that must survive a prompt.
    """

    flood: float = 0.6
    collapse: float = 0.1

    def check(self, before: int, after: int, pixels: int) -> Literal["flood", "collapse"] | None:
        """Check a step by the mask's areas in pixels before and after it in a picture of ``pixels``."""
        if after > self.flood * pixels and after >= 2 * before:
            return "flood"
        if before and after < self.collapse * before:
            return "collapse"
        return None


@dataclass(frozen=True, slots=True)
class SelfCheck:
    """Ends a run once a prompt of the policy left the mask nearly unchanged and the segmenter's score is good.

    ``agreement``: least IoU of the masks before and after the prompt. ``score``: least score of the segmenter; where
    that is not calibrated, the check never ends a run.
    """

    agreement: float = 0.9
    score: float = 0.5

    def passes(self, agreement: float, score: float | None) -> bool:
        """Whether a step passes the check."""
        return agreement >= self.agreement and score is not None and score >= self.score


@dataclass(frozen=True, slots=True)
class LoopConfig:
    """The settings of a loop: what the policy is shown, what it may do, and when a run ends.

    ``max_steps``: actions of the policy. ``max_seconds``, ``max_tokens``: budgets over policy and segmenter.
    ``policy_seconds``: time that a policy has for one reply, after which its call is abandoned; None: its own limit.
    ``max_parse_failures``: unparseable replies in a row. ``patience``: prompts in a row that leave the mask unchanged.
    ``context``: "stateless" shows the current overlay only (what the released weights expect), "history" all turns.
    ``pictures``: most pictures in the history context: the first and the last ones; of the other turns, text alone.
    ``coordinates``: profile of the policy's numbers (`ibisagent.agent.coordinates`); None: that of the policy, else
    "unit". ``actions``: kinds allowed, by default all but Similar.
    ``undo_notice``: show the policy what was undone. ``picture_side``: longest side in pixels of the picture shown;
    with ``enlarge`` smaller pictures are enlarged to it. ``smart_resize``: where ``coordinates`` are pixels, the sizes
    at which the model sees its pictures; None: those of the policy's processor, else of Qwen2.5-VL's own.
    ``pick_best``: end with the best-scored mask, only where the segmenter's score is calibrated.
    ``review``: a person confirms the end. ``guard``: undo floods and collapses automatically. ``self_check``: end
    automatically on a mask that no longer changes much. ``protect``: a person's prompts take precedence, and the policy
    may not undo them; with "region", a prompt of the policy is undone that removes more than a tenth of what a person's
    click or box marked, or fills as much of what a negative click excluded (`ibisagent.agent.protected_regions`); with
    "click", only the pixel under a click counts, as in records whose value is true; False: no protection.
    """

    max_steps: int = 20
    max_seconds: float | None = None
    max_tokens: int | None = None
    policy_seconds: float | None = None
    max_parse_failures: int = 3
    patience: int = 3
    context: Literal["stateless", "history"] = "stateless"
    pictures: int | None = None
    coordinates: str | None = None
    actions: tuple[str, ...] = KINDS
    undo_notice: bool = True
    picture_side: int | None = 1024
    enlarge: bool = False
    smart_resize: SmartResize | None = None
    pick_best: bool = False
    review: bool = False
    guard: Guard | None = None
    self_check: SelfCheck | None = None
    protect: Literal["region", "click", False] = "region"

    def __post_init__(self) -> None:
        """Raise `InputError` for settings that cannot run."""
        for name in ("max_steps", "max_parse_failures", "patience"):
            value = getattr(self, name)
            if value < 1:
                raise InputError(f"{name}={value!r}: expected a whole number from 1 up")
        if self.pictures is not None and self.pictures < 1:
            raise InputError(f"pictures={self.pictures!r}: expected a whole number from 1 up, or None for all")
        for name in ("max_seconds", "max_tokens", "policy_seconds"):
            limit = getattr(self, name)
            if limit is not None and not limit > 0:
                raise InputError(f"{name}={limit!r}: expected a number above 0, or None for no limit")

        if self.protect not in _PROTECTIONS:
            raise InputError(f"protect={self.protect!r}: expected 'region', 'click' or False; choose one")

    def for_policy(self, policy: object) -> Self:
        """Return these settings adapted to a policy.

        Its coordinates and the sizes of its pictures are taken where none are chosen; optional kinds of action that its
        prompts have no text for are off.
        """
        coordinates = self.coordinates or getattr(policy, "coordinates", "unit")
        counts = coordinates == "pixels" and self.smart_resize is None
        smart_resize = getattr(policy, "smart_resize", None) if counts else self.smart_resize
        off = set(OPTIONAL) - set(getattr(policy, "actions", POLICY_KINDS))
        actions = tuple(kind for kind in self.actions if kind not in off)
        return replace(self, coordinates=coordinates, smart_resize=smart_resize, actions=actions)

    def for_segmenter(self, taken: tuple[str, ...]) -> Self:
        """Return these settings without the kinds of prompt that a segmenter does not take."""
        missing = set(PROMPT_KINDS) - set(taken)
        return replace(self, actions=tuple(kind for kind in self.actions if kind not in missing))

    @property
    def recursion_limit(self) -> int:
        """Super-steps that the longest run can take: four an action, two an unparseable reply, and a person's share."""
        return 32 + self.max_steps * (4 + 2 * self.max_parse_failures)


PRESETS = {
    "default": LoopConfig(),
    "self-check": LoopConfig(self_check=SelfCheck()),
    "ibis": LoopConfig(
        coordinates="unit", actions=("point", "terminate"), undo_notice=False, picture_side=512, enlarge=True
    ),
}
"""Settings by name. "ibis": those that the paper's released weights were trained with."""


def preset(name: str, **changes: Any) -> LoopConfig:
    """Return one of the `PRESETS`, with some fields changed."""
    if name not in PRESETS:
        raise InputError(f"got preset {name[:40]!r}, expected one of {', '.join(PRESETS)}; choose one")
    return replace(PRESETS[name], **changes)
