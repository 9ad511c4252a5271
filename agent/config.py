"""The settings of a loop; the defaults are the paper's where it names them (arXiv 2601.03054)."""

from dataclasses import dataclass, replace
from typing import Any, Literal, Self

from ibisagent.agent.actions import KINDS, OPTIONAL
from ibisagent.agent.resizing import Resizing
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

    def verdict(self, before: int, after: int, pixels: int) -> Literal["flood", "collapse"] | None:
        """Judge a step from the mask's areas in pixels before and after it in a picture of ``pixels``."""
        if after > self.flood * pixels and after >= 2 * before:
            return "flood"
        if before and after < self.collapse * before:
            return "collapse"
        return None


@dataclass(frozen=True, slots=True)
class SelfCheck:
    """A run ends by itself once a prompt of the policy left the mask nearly as it was and the segmenter trusts it.

    ``agreement``: IoU of the masks before and after the prompt. ``score``: of a segmenter whose score is calibrated;
    with any other there is no such end.
    """

    agreement: float = 0.9
    score: float = 0.8

    def passes(self, agreement: float, score: float | None) -> bool:
        """Judge a step."""
        return agreement >= self.agreement and score is not None and score >= self.score


@dataclass(frozen=True, slots=True)
class LoopConfig:
    """How a run goes and when it ends.

    ``max_steps``: actions of the policy. ``max_seconds``, ``max_tokens``: budgets over policy and segmenter.
    ``policy_seconds``: time that a policy has for one reply, after which its call is abandoned; None: its own limit.
    ``max_parse_failures``: unparseable replies in a row. ``patience``: prompts in a row that leave the mask as it is.
    ``context``: "stateless" shows the current overlay only (what the released weights expect), "history" all turns.
    ``pictures``: most pictures in the history context: the first and the last ones; of the other turns, words alone.
    ``coordinates``: profile of the policy's numbers (`ibisagent.agent.coordinates`); None: that of the policy, else
    "unit". ``actions``: kinds allowed.
    ``undo_notice``: tell the policy what was undone. ``picture_side``: longest side in pixels of the picture shown;
    with ``enlarge`` smaller pictures are enlarged to it. ``resizing``: where ``coordinates`` are pixels, the sizes at
    which the model sees its pictures; None: those of the policy's processor, else of Qwen2.5-VL's own.
    ``pick_best``: end with the best-scored mask, only where the segmenter's score is calibrated.
    ``review``: a person confirms the end. ``guard``: undo floods and collapses by itself. ``self_check``: end by itself
    on a mask that no longer changes much. ``protect``: a person's prompts hold against the policy: with "region", a
    prompt of its own that takes away more than a tenth of what his click or box marked, or fills as much of what his
    negative click took out (`ibisagent.agent.marked`), is undone, and his prompts are not its to undo; with "click",
    the pixel under his click alone counts, as in records whose value is true; False: nothing holds.
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
    resizing: Resizing | None = None
    pick_best: bool = False
    review: bool = False
    guard: Guard | None = None
    self_check: SelfCheck | None = None
    protect: Literal["region", "click", False] = "region"

    def __post_init__(self) -> None:
        """Refuse settings that cannot run with `InputError`."""
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

    def suited_to(self, policy: object) -> Self:
        """Give these settings for a policy: what it is offered, and its own coordinates where none are chosen.

        Its coordinates and the sizes of its pictures; of the kinds of action, the optional ones that its prompts have
        no words for are off.
        """
        coordinates = self.coordinates or getattr(policy, "coordinates", "unit")
        counts = coordinates == "pixels" and self.resizing is None
        resizing = getattr(policy, "resizing", None) if counts else self.resizing
        off = set(OPTIONAL) - set(getattr(policy, "actions", KINDS))
        actions = tuple(kind for kind in self.actions if kind not in off)
        return replace(self, coordinates=coordinates, resizing=resizing, actions=actions)

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
"""Settings by name. "ibis": what the paper's released weights were trained to be shown."""


def preset(name: str, **changes: Any) -> LoopConfig:
    """Give one of the `PRESETS`, with fields of it changed."""
    if name not in PRESETS:
        raise InputError(f"got preset {name[:40]!r}, expected one of {', '.join(PRESETS)}; choose one")
    return replace(PRESETS[name], **changes)
