"""The list of what a model learned to see, a file in its folder."""

import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from ibisagent.tools.errors import InputError
from ibisagent.tools.files import printable_text

__all__ = ["TARGETS", "Name", "Targets", "read_targets"]

TARGETS = "targets.toml"
"""In a model folder: the targets that the model learned, and how they are named; see that of nano for every key."""

_LISTS = ("loose", "other", "elsewhere", "around")
_PLACE = re.compile(r"(?:upper|lower) (?:left|right) |largest ")


class Name(NamedTuple):
    """A name by its words; ``target``: what it names, None for something that was not learned.

    ``said``: how the model is asked for it; ``loose``: it may be one of several targets.
    """

    words: tuple[str, ...]
    target: str | None
    said: str
    loose: bool = False


@dataclass(frozen=True)
class Targets:
    """What a model learned, and how it is named.

    ``learned``: each target with all names that it was trained on; ``also``: further names of it; ``loose``: names that
    fit several; ``other``: names of other things that read alike; ``alike``: words that are no slip of a name;
    ``elsewhere``: targets that have their like in other places; ``around``: where the others lie; ``described``:
    by target, phrases that stand for it without its name.
    """

    learned: tuple[tuple[str, tuple[str, ...]], ...]
    also: tuple[tuple[str, tuple[str, ...]], ...]
    loose: tuple[str, ...]
    other: tuple[str, ...]
    alike: frozenset[str]
    elsewhere: frozenset[str]
    around: frozenset[str]
    described: tuple[tuple[str, tuple[str, ...]], ...]

    @cached_property
    def names(self) -> tuple[Name, ...]:
        """Every name that a request may hold; the learned ones come first."""
        return tuple(self._names())

    def _names(self) -> Iterator[Name]:
        for target, others in self.learned:
            for name in (target, *others):
                yield Name(tuple(name.split()), target, name)
        for target, others in self.also:
            yield from (Name(tuple(name.split()), target, target) for name in others)
        yield from (Name((word,), word, word, loose=True) for word in self.loose)
        yield from (Name(tuple(name.split()), None, name) for name in self.other)

    @cached_property
    def runs(self) -> dict[str, Name]:
        """Each name of a target by its letters without spaces."""
        return {"".join(name.words): name for name in reversed(self.names) if name.target is not None}

    def of_length(self, count: int) -> Sequence[Name]:
        """Give the names of so many words."""
        return self._by_length.get(count, ())

    @cached_property
    def _by_length(self) -> dict[int, list[Name]]:
        found: dict[int, list[Name]] = {}
        for name in self.names:
            found.setdefault(len(name.words), []).append(name)
        return found

    @property
    def told(self) -> str:
        """What a person is told of the list: every target but those that differ by their place alone."""
        return ", ".join(name for name, _ in self.learned if not _PLACE.match(name))


def read_targets(folder: Path) -> Targets | None:
    """Read the list in a model's folder, None where there is none; `InputError` names what is wrong with it."""
    path = folder / TARGETS
    if not path.is_file():
        return None
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{printable_text(path)}: not a readable TOML file ({str(error).splitlines()[0]})") from error
    try:
        return _targets(data)
    except (AttributeError, KeyError, TypeError) as error:
        raise InputError(
            f"{printable_text(path)}: got no list of targets, expected a table learned of lists of names; see that of nano"
        ) from error


def _targets(data: dict[str, Any]) -> Targets:
    lists = {name: tuple(_text(word) for word in data.get(name, {}).get("words", ())) for name in _LISTS}
    return Targets(
        learned=_table(data["learned"]),
        also=_table(data.get("also", {})),
        loose=lists["loose"],
        other=lists["other"],
        alike=frozenset(_text(data.get("other", {}).get("alike", "")).split()),
        elsewhere=frozenset(lists["elsewhere"]),
        around=frozenset(lists["around"]),
        described=_table(data.get("described", {})),
    )


def _table(data: dict[str, list[str]]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    return tuple((name, tuple(_text(other) for other in others)) for name, others in data.items())


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("expected a text")
    return value.lower()
