"""Options at the end of a policy's name: ``...?longest=256&grammar=1``."""

from collections.abc import Callable, Mapping
from math import inf
from typing import Any

from ibisagent.agent.coordinates import PROFILES
from ibisagent.tools.errors import InputError
from ibisagent.tools.split_options import split_options

__all__ = ["COUNT", "NUMBERS", "PROFILE_NAME", "one_of", "split"]

Reader = Callable[[str], Any]


def split(name: str, readers: Mapping[str, tuple[str, Reader]]) -> tuple[str, dict[str, Any]]:
    """Part a name from its options; ``readers``: for each option what it may be, in words, and what reads it.

    >>> split("hf:folder?longest=64", {"longest": ("N", int)})
    ('hf:folder', {'longest': 64})
    """
    bare, options = split_options(name)
    told: dict[str, Any] = {}
    for key, value in options:
        try:
            told[key] = readers[key][1](value)
        except (LookupError, ValueError, RuntimeError) as error:
            known = ", ".join(f"{key}={words}" for key, (words, _) in readers.items())
            raise InputError(f"policy {name!r}: got the option {key}={value!r}, expected {known}") from error
    return bare, told


def one_of(**values: Any) -> tuple[str, Reader]:
    """Read one of a few words; each has a value."""
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


NUMBERS: tuple[str, Reader] = ("X,Y", _numbers)
COUNT: tuple[str, Reader] = ("N", _count)
PROFILE_NAME: tuple[str, Reader] = one_of(**{profile: profile for profile in PROFILES})
