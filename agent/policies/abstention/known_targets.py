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

__all__ = ["TARGETS_FILE", "KnownTargets", "TargetName", "read_targets"]

TARGETS_FILE = "known_targets.toml"
"""In a model folder: the targets that the model learned, and how they are named; see that of nano for every key."""

_LISTS = ("ambiguous", "unknown", "site_specific", "surroundings")
_PLACE = re.compile(r"(?:upper|lower) (?:left|right) |largest ")


class TargetName(NamedTuple):
    """A name by its words; ``target``: what it names, None for something that was not learned.

    ``canonical``: the name by which the model is asked for it; ``ambiguous``: it may be one of several targets.
    """

    words: tuple[str, ...]
    target: str | None
    canonical: str
    ambiguous: bool = False


@dataclass(frozen=True)
class KnownTargets:
    """What a model learned, and how it is named.

    ``learned``: each target with all names that it was trained on; ``synonyms``: further names of it; ``ambiguous``:
    names that fit several; ``unknown``: names of other things that read like a target's; ``similar_words``: words that
    are not misspellings of a name; ``site_specific``: targets that were learned at one place of the body only;
    ``surroundings``: the places that do not make them another target; ``descriptions``: by target, phrases that
    describe it without its name.
    """

    learned: tuple[tuple[str, tuple[str, ...]], ...]
    synonyms: tuple[tuple[str, tuple[str, ...]], ...]
    ambiguous: tuple[str, ...]
    unknown: tuple[str, ...]
    similar_words: frozenset[str]
    site_specific: frozenset[str]
    surroundings: frozenset[str]
    descriptions: tuple[tuple[str, tuple[str, ...]], ...]

    @cached_property
    def names(self) -> tuple[TargetName, ...]:
        """Every name that a request may contain; the learned ones come first."""
        return tuple(self._names())

    def _names(self) -> Iterator[TargetName]:
        for target, others in self.learned:
            for name in (target, *others):
                yield TargetName(tuple(name.split()), target, name)
        for target, others in self.synonyms:
            yield from (TargetName(tuple(name.split()), target, target) for name in others)
        yield from (TargetName((word,), word, word, ambiguous=True) for word in self.ambiguous)
        yield from (TargetName(tuple(name.split()), None, name) for name in self.unknown)

    @cached_property
    def joined_names(self) -> dict[str, TargetName]:
        """Each name of a target by its letters without spaces."""
        return {"".join(name.words): name for name in reversed(self.names) if name.target is not None}

    def names_of_length(self, count: int) -> Sequence[TargetName]:
        """Return the names that have this number of words."""
        return self._by_length.get(count, ())

    @cached_property
    def _by_length(self) -> dict[int, list[TargetName]]:
        found: dict[int, list[TargetName]] = {}
        for name in self.names:
            found.setdefault(len(name.words), []).append(name)
        return found

    @property
    def listing(self) -> str:
        """The targets as one line of text, without those that differ only by their place."""
        return ", ".join(name for name, _ in self.learned if not _PLACE.match(name))


def read_targets(folder: Path) -> KnownTargets | None:
    """Read the list in a model's folder, None if there is none; `InputError` for a file that is not such a list."""
    path = folder / TARGETS_FILE
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
            f"{printable_text(path)}: got no list of targets, expected a table learned of lists of names; "
            "see that of nano"
        ) from error


def _targets(data: dict[str, Any]) -> KnownTargets:
    lists = {name: tuple(_text(word) for word in data.get(name, {}).get("words", ())) for name in _LISTS}
    return KnownTargets(
        learned=_table(data["learned"]),
        synonyms=_table(data.get("synonyms", {})),
        ambiguous=lists["ambiguous"],
        unknown=lists["unknown"],
        similar_words=frozenset(_text(data.get("unknown", {}).get("similar_words", "")).split()),
        site_specific=frozenset(lists["site_specific"]),
        surroundings=frozenset(lists["surroundings"]),
        descriptions=_table(data.get("descriptions", {})),
    )


def _table(data: dict[str, list[str]]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    return tuple((name, tuple(_text(other) for other in others)) for name, others in data.items())


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("expected a text")
    return value.lower()
