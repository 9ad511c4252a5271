"""The words of requests, by what they do in them."""

import re
import tomllib
from functools import cache
from importlib.resources import files
from typing import NamedTuple

__all__ = ["BETWEEN", "Token", "reserved", "tokens", "words"]

BETWEEN = ("ask", "joining", "denying", "clause", "before", "determiner", "other")
"""Kinds of word that are no part of what is asked for; one in several lists is of the first."""

_SHORTEST_ADVERB = 4  # letters that a longer word has more
_TOKEN = re.compile(r"&|\+|[^\W_]+(?:['\-][^\W_]+)*")


class Token(NamedTuple):
    """A word in lower case, where it stands in the request, and the signs between it and the one before.

    ``kind``: one of `BETWEEN`, "" for a word that may be part of what is asked for.
    """

    text: str
    start: int
    end: int
    gap: str
    kind: str

    @property
    def breaks(self) -> bool:
        """A sentence ends before it."""
        return any(sign in self.gap for sign in ".?!;:\n")


@cache
def words(kind: str) -> frozenset[str]:
    """Give the words of a kind."""
    return _lists()[kind]


@cache
def reserved() -> frozenset[str]:
    """Give all words that are typed as they are meant, as they have a part in requests."""
    return frozenset().union(*_lists().values())


@cache
def _lists() -> dict[str, frozenset[str]]:
    text = files("ibisagent.agent.policies.abstention").joinpath("lexicon.toml").read_text(encoding="utf-8")
    return {kind: frozenset(listed.split()) for kind, listed in tomllib.loads(text).items()}


def tokens(request: str) -> list[Token]:
    """Split a request into its words."""
    found, last = [], 0
    for match in _TOKEN.finditer(request.lower() if len(request.lower()) == len(request) else request):
        found.append(Token(match[0], match.start(), match.end(), request[last : match.start()], _kind(match[0])))
        last = match.end()
    return found


def _kind(text: str) -> str:
    kind = next((kind for kind in BETWEEN if text in words(kind)), "")
    adverb = text.endswith("ly") and len(text) > _SHORTEST_ADVERB and text not in reserved()
    return kind or ("other" if adverb else "")
