"""Options at the end of a policy's name: ``...?max_tokens=256&grammar=1``."""

from collections.abc import Callable, Mapping
from math import inf
from typing import Any

from ibisagent.agent.coordinates import PROFILES
from ibisagent.tools.errors import InputError
from ibisagent.tools.split_options import split_options

__all__ = ["COUNT", "NUMBER_PAIR", "PROFILE_NAME", "one_of", "parse_policy_name"]

Reader = Callable[[str], Any]


def parse_policy_name(name: str, readers: Mapping[str, tuple[str, Reader]]) -> tuple[str, dict[str, Any]]:
    """Split a policy's name into its base and its options; ``readers``: by option, its form in words and its parser.

    >>> parse_policy_name("hf:folder?max_tokens=64", {"max_tokens": ("N", int)})
    ('hf:folder', {'max_tokens': 64})
    """
    bare, options = split_options(name)
    values: dict[str, Any] = {}
    for key, value in options:
        try:
            values[key] = readers[key][1](value)
        except (LookupError, ValueError, RuntimeError) as error:
            known = ", ".join(f"{key}={words}" for key, (words, _) in readers.items())
            raise InputError(f"policy {name!r}: got the option {key}={value!r}, expected {known}") from error
    return bare, values


def one_of(**values: Any) -> tuple[str, Reader]:
    """Return the form and the parser of an option that is one of a few words, each with a value."""
    return "|".join(values), values.__getitem__


def _count(text: str) -> int:
    if (count := int(text)) < 1:
        raise ValueError(text)
    return count


def _numbers(text: str) -> tuple[float, ...]:
    first, second = (float(part) for part in text.split(","))
    if not (0 <= first < inf and 0 <= second < inf):
        raise ValueError(text)
    return first, second


NUMBER_PAIR: tuple[str, Reader] = ("X,Y", _numbers)
COUNT: tuple[str, Reader] = ("N", _count)
PROFILE_NAME: tuple[str, Reader] = one_of(**{profile: profile for profile in PROFILES})
