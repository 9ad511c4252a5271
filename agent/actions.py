"""The actions of a policy, their canonical spelling and their JSON-plain form.

A reply is ``<think>...</think>``, ``<action>...</action>`` and, on a stop, ``<answer>...</answer>``, one per line
(IBISAgent, arXiv 2601.03054). Box, Similar, Backtrack and Decline extend the paper's actions; `KINDS` names what a
policy may do unless its settings say otherwise, which can switch Similar on. Redo is a person's alone.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ibisagent.agent.coordinates import UNIT, CoordinateFrame
from ibisagent.tools.clicks import Box, Click, Prompt, Similar
from ibisagent.tools.errors import InputError
from ibisagent.tools.json_values import to_builtin
from ibisagent.tools.segmenters.prompt_kinds import PROMPT_KINDS

__all__ = [
    "ALL_KINDS",
    "KINDS",
    "OPTIONAL",
    "POLICY_KINDS",
    "PROMPT_KINDS",
    "Action",
    "Backtrack",
    "Decline",
    "Redo",
    "Stop",
    "Terminate",
    "as_prompt",
    "clean_target",
    "format_action",
    "from_plain",
    "kind_of",
    "to_plain",
    "write_reply",
]

TAG = re.compile(r"<\s{0,4}(/?)\s{0,4}(think(?:ing)?|thought|action|answer)\s{0,4}>", re.IGNORECASE)
_NEXT_ACTION = re.compile(  # wider than what the parser reads as a second action, so that no target holds one
    r"\b(?:(?:positive|negative)[\s_*-]{0,4})?(?:positive|negative|point|click|similar|b?box)\w{0,12}[\W_]{0,20}"
    r"(?:at[\W_]{0,8})?[-+.]?(?:[0-9]|nan|inf|[xy][012]?\s?[=:])",
    re.IGNORECASE,
)
_TARGET_LENGTH = 120


@dataclass(frozen=True, slots=True)
class Backtrack:
    """Take the last action back; ``target`` names one of several targets."""

    target: str | None = None


@dataclass(frozen=True, slots=True)
class Redo:
    """Restore what was undone last, as long as no prompt was added since; ``target`` names one of several."""

    target: str | None = None


@dataclass(frozen=True, slots=True)
class Terminate:
    """Stop: the mask is final; ``target`` names one of several targets."""

    target: str | None = None


@dataclass(frozen=True, slots=True)
class Decline:
    """Stop without a verdict: whether the target is there cannot be decided; the answer holds the reason."""

    target: str | None = None


Stop = Terminate | Decline
Action = Click | Box | Similar | Backtrack | Terminate | Decline | Redo
_TYPES: dict[str, type[Action]] = {
    "point": Click,
    "box": Box,
    "similar": Similar,
    "backtrack": Backtrack,
    "terminate": Terminate,
    "decline": Decline,
    "redo": Redo,
}
ALL_KINDS = tuple(_TYPES)
POLICY_KINDS = tuple(kind for kind in ALL_KINDS if kind != "redo")
"""Kinds that a policy can be allowed."""
KINDS = tuple(kind for kind in POLICY_KINDS if kind != "similar")
"""Kinds that a policy is allowed unless its settings say otherwise."""
OPTIONAL = ("decline", "similar")
"""Kinds that a prompt file may leave out; then they are neither offered nor allowed."""
_NAMES = {kind: name for name, kind in _TYPES.items()}


def kind_of(action: Action) -> str:
    """Return the kind of an action, one of `ALL_KINDS`."""
    return _NAMES[type(action)]


def clean_target(target: str | None) -> str | None:
    """Clean a target's name for an action line: one line, no angle brackets, nothing that parses as an action.

    >>> clean_target(" left  kidney.")
    'left kidney'
    """
    words = " ".join((target or "")[: 4 * _TARGET_LENGTH].split())
    words = "".join(letter for letter in words if letter.isprintable() and letter not in "<>")
    if found := _NEXT_ACTION.search(words):
        words = words[: found.start()]
    return " ".join(words[:_TARGET_LENGTH].split()).strip(" .,;:*`\"'") or None


def format_action(action: Action, frame: CoordinateFrame = UNIT) -> str:
    """Format an action in its canonical spelling, with four decimals in ``unit`` and integers in the other profiles.

    >>> format_action(Click(0.4512, 0.4238, positive=False, target="left kidney"))
    'Negative Point (0.4512, 0.4238) for left kidney'
    """
    target = clean_target(action.target)
    return _format_head(action, frame) + (f" for {target}" if target else "")


def _format_head(action: Action, frame: CoordinateFrame) -> str:
    match action:
        case Click(x, y, positive):
            return f"{'Positive' if positive else 'Negative'} Point {frame.write((x, y))}"
        case Box(x0, y0, x1, y1):
            return f"Box {frame.write((x0, y0, x1, y1))}"
        case Similar(x, y, positive):
            return f"{'' if positive else 'Negative '}Similar {frame.write((x, y))}"
    return type(action).__name__


def to_plain(action: Action) -> dict[str, Any]:
    """Return the JSON-plain form in unit coordinates at full precision; a target of None is left out.

    >>> to_plain(Click(0.5, 0.25))
    {'type': 'point', 'x': 0.5, 'y': 0.25, 'positive': True}
    """
    fields: dict[str, Any] = {"type": kind_of(action)}
    match action:
        case Click(x, y, positive) | Similar(x, y, positive):
            fields |= {"x": float(x), "y": float(y), "positive": bool(positive)}
        case Box(x0, y0, x1, y1):
            fields |= {"x0": float(x0), "y0": float(y0), "x1": float(x1), "y1": float(y1)}
    return fields if action.target is None else fields | {"target": to_builtin(action.target)}


def from_plain(fields: Mapping[str, Any]) -> Action:
    """Parse the form that `to_plain` returns, with numbers of any library; raises `InputError` on anything else.

    >>> from_plain({"type": "backtrack"})
    Backtrack(target=None)
    """
    given = to_builtin(fields)
    kind = given.get("type") if isinstance(given, dict) else None
    if not isinstance(kind, str) or kind not in _TYPES:
        raise InputError(f"got an action {str(given)[:80]!r}: expected a 'type' of {', '.join(ALL_KINDS)}")
    target, positive = given.get("target"), given.get("positive", True)
    if not (target is None or isinstance(target, str)) or not isinstance(positive, bool):
        raise InputError(f"got an action {str(given)[:80]!r}: expected a text as target, true or false as positive")
    if kind in ("point", "similar"):
        at: type[Click | Similar] = Click if kind == "point" else Similar
        return at(_number(given, "x"), _number(given, "y"), positive, target)
    if kind == "box":
        x0, y0, x1, y1 = (_number(given, name) for name in ("x0", "y0", "x1", "y1"))
        return Box(x0, y0, x1, y1, target)
    worded: type[Backtrack | Terminate | Decline | Redo] = _TYPES[kind]  # type: ignore[assignment]
    return worded(target)


def as_prompt(value: object) -> Prompt:
    """Convert a click, a box or an example, or the plain form of one, to a prompt."""
    action = from_plain(value) if isinstance(value, dict) else value
    if not isinstance(action, Prompt):
        raise InputError(f"prompt {value!r}: expected a Click, a Box, a Similar, or the plain form of one")
    return action


def _number(fields: Mapping[str, Any], name: str) -> float:
    value = fields.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise InputError(f"{name}={str(value)[:40]}: expected a number in [0, 1] of the displayed picture")
    return float(value)


def write_reply(thought: str, action: Action, answer: str | None = None, frame: CoordinateFrame = UNIT) -> str:
    r"""Write a whole canonical reply; the answer is written on a stop only, and tags inside a text lose their brackets.

    >>> write_reply("It is covered.", Terminate(), "The liver.")
    '<think>It is covered.</think>\n<action>Terminate</action>\n<answer>The liver.</answer>'
    """
    lines = [f"<think>{_strip_tag_brackets(thought)}</think>", f"<action>{format_action(action, frame)}</action>"]
    if isinstance(action, Stop):
        lines.append(f"<answer>{_strip_tag_brackets(answer or '')}</answer>")
    return "\n".join(lines)


def _strip_tag_brackets(text: str) -> str:
    return TAG.sub(r"[\1\2]", text).strip()
