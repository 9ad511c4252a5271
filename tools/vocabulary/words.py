"""The word lists of the TOML files, read once."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

__all__ = ["REQUEST_TEMPLATES", "VOCABULARY", "TargetVocabulary", "read_words", "verb_of"]


@dataclass(frozen=True, slots=True)
class TargetVocabulary:
    """The words for targets; ``names``: all that are drawn; ``templates``: around a description; ``image_names``: by
    modality.
    """

    names: tuple[str, ...]
    plural: tuple[str, ...]
    synonyms: Mapping[str, tuple[str, ...]]
    descriptions: Mapping[str, tuple[str, ...]]
    templates: Mapping[str, tuple[str, ...]]
    image_names: Mapping[str, str]


def read_words(name: str) -> Any:
    """Return a TOML file of this package."""
    return tomllib.loads(files("ibisagent.tools.vocabulary").joinpath(name).read_text(encoding="utf-8"))


def _frozen(table: Mapping[str, list[str]]) -> dict[str, tuple[str, ...]]:
    return {key: tuple(values) for key, values in table.items()}


def _read_vocabulary() -> TargetVocabulary:
    data = read_words("target_names.toml")
    synonyms, descriptions, templates = (_frozen(data[name]) for name in ("synonyms", "descriptions", "templates"))
    return TargetVocabulary(
        tuple(data["names"]), tuple(data["plural"]), synonyms, descriptions, templates, data["image_names"]
    )


REQUEST_TEMPLATES: dict[str, dict[str, tuple[str, ...]]] = {
    stage: _frozen(table) for stage, table in read_words("requests.toml").items()
}
"""Templates by stage ("initial", "refining") and category."""

VOCABULARY = _read_vocabulary()


def verb_of(target: str) -> str:
    """Return the verb that agrees with a target's name.

    >>> verb_of("lungs"), verb_of("upper left nucleus")
    ('are', 'is')
    """
    return "are" if target.split()[-1:] and target.split()[-1] in VOCABULARY.plural else "is"
