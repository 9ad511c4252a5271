"""Names that a caller may have misspelt."""

from collections.abc import Iterable
from difflib import get_close_matches

from ibisagent.tools.files import printable_text

__all__ = ["describe_unknown_name"]

_MIN_SIMILARITY = 0.7
_MIN_LENGTH = 3  # characters of a name that is looked for inside others


def describe_unknown_name(name: object, known: Iterable[str], summary: str | None = None) -> str:
    """Return a line on ``name`` being none of ``known``, with the one that may be meant.

    ``summary``: what ``known`` are, in place of their list where none of them is near.

    >>> describe_unknown_name("mask", ["image", "initial_mask"])
    'mask: got an unknown name, expected initial_mask'
    >>> describe_unknown_name("lung", ["image", "initial_mask"])
    'lung: got an unknown name, expected one of image, initial_mask'
    >>> describe_unknown_name("lung", ["image", "initial_mask"], "an input")
    'lung: got an unknown name, expected an input'
    """
    names, given = list(known), str(name)
    within = [each for each in names if len(given) >= _MIN_LENGTH and (given in each or each in given)]
    near = within or get_close_matches(given, names, 1, _MIN_SIMILARITY)
    if not near and len(names) > 1:
        expected = summary or f"one of {', '.join(names)}"
        return f"{printable_text(given)}: got an unknown name, expected {expected}"
    return f"{printable_text(given)}: got an unknown name, expected {(near or names)[0]}"
