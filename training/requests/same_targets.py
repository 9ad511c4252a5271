"""Names of one target: synonyms, British and American spelling."""

from functools import cache

from ibisagent.agent.policies.abstention.spelling import to_american
from ibisagent.tools.vocabulary.words import VOCABULARY

__all__ = ["canonical_target"]


def canonical_target(name: str) -> str:
    """Return the same text for all names of a target in our list, whatever their spelling; another name's own text.

    >>> canonical_target("Cell nuclei") == canonical_target("all nuclei"), canonical_target("Haemorrhage")
    (True, 'bleeding')
    """
    plain = _normalize(name)
    return _read_groups().get(plain, plain)


def _normalize(name: str) -> str:
    return " ".join(to_american(word) for word in name.casefold().replace("_", " ").split())


@cache
def _read_groups() -> dict[str, str]:
    """Return the first, by the alphabet, of the names that belong together, by each of them."""
    groups: dict[str, str] = {}
    for target, others in VOCABULARY.synonyms.items():
        names = {_normalize(name) for name in (target, *others)}
        joined = names | {name for name, first in groups.items() if first in {groups.get(each) for each in names}}
        groups |= dict.fromkeys(joined, min(joined))
    return groups
