"""Which kinds of prompt a segmenter takes, and the refusal of any other: never a mask that means something else."""

from collections.abc import Iterable

from ibisagent.tools.clicks import Box, Click, Prompt, Similar
from ibisagent.tools.errors import InputError

__all__ = ["DEFAULT_PROMPTS", "PROMPT_KINDS", "refusal", "require_taken", "taken_by"]

_KINDS = {Click: "point", Box: "box", Similar: "similar"}
_WORDS = {"point": "a point", "box": "a box", "similar": "Similar (all like this)"}

PROMPT_KINDS = tuple(_KINDS.values())
"""All kinds of prompt, as in the type of their plain form."""

DEFAULT_PROMPTS = ("point", "box")
"""What a segmenter takes that says nothing of it."""


def taken_by(segmenter: object) -> tuple[str, ...]:
    """Return the kinds of prompt that a segmenter, or its class, takes: its attribute ``prompts``, if it has one.

    `InputError` for an attribute that holds anything else.
    """
    named = getattr(segmenter, "prompts", DEFAULT_PROMPTS)
    if isinstance(segmenter, type) and not isinstance(named, tuple | list):
        return DEFAULT_PROMPTS  # a property: only an object of the class has its value
    if not isinstance(named, tuple | list) or not named or any(kind not in PROMPT_KINDS for kind in named):
        got = f"segmenter: got prompts = {str(named)[:80]!r}"
        raise InputError(f"{got}, expected a tuple of {', '.join(PROMPT_KINDS)}; correct it")
    return tuple(named)


def refusal(prompt: object, taken: tuple[str, ...], segmenter: str) -> str | None:
    """Return the line that refuses a prompt, None for one of the ``taken`` kinds and for what is no prompt.

    >>> refusal(Similar(0.5, 0.5), ("point", "box"), "disk")
    "segmenter 'disk': got Similar (all like this), expected a point or a box; give those, or choose another segmenter"
    """
    kind = _KINDS.get(type(prompt))
    if kind is None or kind in taken:
        return None
    expected = " or ".join(_WORDS.get(each, each) for each in taken)
    got = f"segmenter {segmenter!r}: got {_WORDS[kind]}"
    return f"{got}, expected {expected}; give those, or choose another segmenter"


def require_taken(prompts: Iterable[Prompt], taken: tuple[str, ...], segmenter: str) -> None:
    """Raise `InputError` for the first prompt that is not of a ``taken`` kind."""
    for prompt in prompts:
        if problem := refusal(prompt, taken, segmenter):
            raise InputError(problem)
