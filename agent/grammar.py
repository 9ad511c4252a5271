"""The grammar of replies as one regular expression, for servers with constrained decoding."""

from collections.abc import Sequence

from ibisagent.agent.actions import KINDS
from ibisagent.agent.coordinates import UNIT, CoordinateFrame

__all__ = ["reply_regex"]

_THOUGHT, _ANSWER = 1200, 400  # characters
_STOPS = {"terminate": "Terminate", "decline": "Decline"}
_TEXT = r"[^<>\s]([^<>\n]{{0,{0}}}[^<>\s])?"


def reply_regex(actions: Sequence[str] = KINDS, frame: CoordinateFrame = UNIT) -> str:
    r"""Return the expression that a whole reply matches, as `write_reply` writes it, in one line of thought and answer.

    It changes the sampling distribution: do not use it in a rollout whose probabilities are learned from.

    >>> import re
    >>> bool(re.fullmatch(reply_regex(), "<think>Left of it.</think>\n<action>Backtrack</action>"))
    True
    """
    lines = [line for kind in actions for line in _spellings(kind, frame)]
    stops = "|".join(_STOPS[kind] for kind in actions if kind in _STOPS)
    ends = [f"({'|'.join(lines)})</action>"] if lines else []
    ends += [f"({stops})</action>\n<answer>{_TEXT.format(_ANSWER)}</answer>"] if stops else []
    return f"<think>{_TEXT.format(_THOUGHT)}</think>\n<action>({'|'.join(ends)})"


def _spellings(kind: str, frame: CoordinateFrame) -> list[str]:
    if kind == "point":
        return [rf"(Positive|Negative) Point \({_numbers(frame, 2)}\)"]
    if kind == "similar":
        return [rf"(Negative )?Similar \({_numbers(frame, 2)}\)"]
    if kind == "box":
        return [rf"Box \({_numbers(frame, 4)}\)"]
    return ["Backtrack"] if kind == "backtrack" else []


def _numbers(frame: CoordinateFrame, count: int) -> str:
    return ", ".join(_number(frame.maximum(name)) for name in frame.names(count))


def _number(top: int) -> str:
    """Match a number from 0 to ``top``; to 1 with four decimals.

    >>> import re
    >>> [bool(re.fullmatch(_number(672), text)) for text in ("0", "599", "672", "673", "0672")]
    [True, True, True, False, False]
    """
    if top == 1:
        return r"(0\.[0-9]{4}|1\.0000)"
    digits = str(top)
    ways = ["0", *(rf"[1-9][0-9]{{{n}}}" for n in range(len(digits) - 1))]
    for place, digit in enumerate(digits):
        low = 1 if place == 0 else 0
        if int(digit) > low:
            ways.append(rf"{digits[:place]}[{low}-{int(digit) - 1}][0-9]{{{len(digits) - place - 1}}}")
    return f"({'|'.join([*ways, digits])})"
