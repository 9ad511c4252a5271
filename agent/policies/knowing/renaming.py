"""Telling in the asker's words what a model says in those that it learned."""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import takewhile

from ibisagent.agent.policies.knowing.asking import Asked
from ibisagent.agent.policies.knowing.targets import Targets
from ibisagent.agent.policies.knowing.words import words

__all__ = ["heard", "renamed"]

_UNNAMED, _ABNORMAL = "target", "abnormality"
_ACTION = re.compile(r"(<action>.*?</action>)", re.DOTALL)
_SINGULAR, _SEVERAL = ("ss", "us", "is"), ("i", "ae")


def heard(request: str, asked: Asked) -> str:
    """Give the request with the names that the model learned in place of others, of slips and of capitals."""
    if request.isupper() and len(request.lower()) == len(request):
        request = request[0] + request[1:].lower()
    for found in sorted(asked.known, key=lambda found: found.start, reverse=True):
        if found.said is not None or not request[found.start : found.end].islower():
            said = found.said or request[found.start : found.end].lower()
            request = request[: found.start] + said + request[found.end :]
    return request


def renamed(reply: str, request: str, asked: Asked, targets: Targets) -> str:
    """Put the asker's words in place of every target's name outside the action.

    A request that names none is answered without a name, one that describes its target with that one's alone; one
    that leaves a choice, as between two kidneys, with what all of them are: the choice may be wrong.
    """
    called = {found.target: request[found.start : found.end] for found in asked.known}
    default = next(iter(called.values()), _ABNORMAL if asked.abnormal else _UNNAMED)
    names = _names(targets)
    choice = _shared(asked.described) if len(asked.described) > 1 else None

    def told(match: re.Match[str]) -> str:
        target = names.get(match[1].lower())
        said = (choice or match[1]) if target in asked.described else called.get(target, default)
        return said + _verb(said, match[2])

    pieces = _ACTION.split(reply)
    pattern = _pattern(targets, bool(called))
    return "".join(piece if number % 2 else pattern.sub(told, piece) for number, piece in enumerate(pieces))


def _shared(targets: Sequence[str]) -> str:
    """Give the last words that all of several targets have, such as "kidney"; without any, that of no target."""
    reversed_words = [target.split()[::-1] for target in targets]
    same = [row[0] for row in takewhile(lambda row: len(set(row)) == 1, zip(*reversed_words, strict=False))]
    return " ".join(reversed(same)) or _UNNAMED


def _verb(said: str, verb: str | None) -> str:
    if verb is None:
        return ""
    head = list(takewhile(lambda word: word not in words("before"), said.lower().split())) or [said.lower()]
    plural = head[-1].endswith(_SEVERAL) or (head[-1].endswith("s") and not head[-1].endswith(_SINGULAR))
    plural = (plural and head[-1] not in words("singular")) or head[-1] in words("plural")
    return " are" if plural else " is"


@lru_cache(maxsize=16)
def _names(targets: Targets) -> dict[str, str | None]:
    return {" ".join(name.words): name.target for name in reversed(targets.names)}


@lru_cache(maxsize=16)
def _pattern(targets: Targets, named: bool) -> re.Pattern[str]:
    """Match any name, the longest first; where a target was named, "abnormality" as well."""
    names = [re.escape(name) for name in _by_length(targets)] + (["abnormality"] if named else [])
    return re.compile(rf"\b({'|'.join(names)})\b( is| are)?", re.IGNORECASE)


def _by_length(targets: Targets) -> Iterator[str]:
    learned = {" ".join(name.words) for name in targets.names if name.target is not None}
    yield from sorted(learned, key=lambda name: (-len(name), name))
