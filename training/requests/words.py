"""The word lists, read once."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

__all__ = ["CATEGORIES", "TARGETS", "Targets", "verb_of"]


@dataclass(frozen=True, slots=True)
class Targets:
    """What is known of targets by name; ``asking``: templates around a description; ``pictures``: by modality."""

    plural: tuple[str, ...]
    synonyms: Mapping[str, tuple[str, ...]]
    described: Mapping[str, tuple[str, ...]]
    asking: Mapping[str, tuple[str, ...]]
    pictures: Mapping[str, str]


def _read(name: str) -> Any:
    return tomllib.loads(files("ibisagent.training.requests").joinpath(name).read_text(encoding="utf-8"))


def _frozen(table: Mapping[str, list[str]]) -> dict[str, tuple[str, ...]]:
    return {key: tuple(values) for key, values in table.items()}


def _targets() -> Targets:
    data = _read("targets.toml")
    synonyms, described, asking = (_frozen(data[name]) for name in ("synonyms", "described", "asking"))
    return Targets(tuple(data["plural"]), synonyms, described, asking, data["pictures"])


CATEGORIES: dict[str, dict[str, tuple[str, ...]]] = {
    stage: _frozen(table) for stage, table in _read("requests.toml").items()
}
"""Templates by stage ("initial", "refining") and category."""

TARGETS = _targets()


def verb_of(target: str) -> str:
    """Give the verb that goes with a target's name.

    >>> verb_of("lungs"), verb_of("upper left nucleus")
    ('are', 'is')
    """
    return "are" if target.split()[-1:] and target.split()[-1] in TARGETS.plural else "is"
