"""The lexicon of requests: words by their function, and the tokenizer."""

import re
import tomllib
from functools import cache
from importlib.resources import files
from typing import NamedTuple

__all__ = ["FUNCTION_KINDS", "Token", "reserved_words", "tokenize", "words_of_kind"]

FUNCTION_KINDS = ("request_verb", "conjunction", "negation", "relative_pronoun", "preposition", "determiner", "filler")
"""Kinds of function word, which are no part of a target's name; a word in several lists is of the first kind."""

_SHORTEST_ADVERB = 4  # letters that a longer word has more
_TOKEN = re.compile(r"&|\+|[^\W_]+(?:['\-][^\W_]+)*")


class Token(NamedTuple):
    """A word in lower case, its character span in the request, and the characters between it and the word before.

    ``kind``: one of `FUNCTION_KINDS`, "" for a content word, which may be part of a target's name.
    """

    text: str
    start: int
    end: int
    gap: str
    kind: str

    @property
    def starts_sentence(self) -> bool:
        """Whether a sentence ends before it."""
        return any(sign in self.gap for sign in ".?!;:\n")


@cache
def words_of_kind(kind: str) -> frozenset[str]:
    """Return the words of a kind."""
    return _lists()[kind]


@cache
def reserved_words() -> frozenset[str]:
    """Return all words of the lexicon, which are never read as misspellings."""
    return frozenset().union(*_lists().values())


@cache
def _lists() -> dict[str, frozenset[str]]:
    text = files("ibisagent.agent.policies.abstention").joinpath("lexicon.toml").read_text(encoding="utf-8")
    return {kind: frozenset(listed.split()) for kind, listed in tomllib.loads(text).items()}


def tokenize(request: str) -> list[Token]:
    """Split a request into tokens."""
    found, last = [], 0
    for match in _TOKEN.finditer(request.lower() if len(request.lower()) == len(request) else request):
        found.append(Token(match[0], match.start(), match.end(), request[last : match.start()], _kind(match[0])))
        last = match.end()
    return found


def _kind(text: str) -> str:
    kind = next((kind for kind in FUNCTION_KINDS if text in words_of_kind(kind)), "")
    adverb = text.endswith("ly") and len(text) > _SHORTEST_ADVERB and text not in reserved_words()
    return kind or ("filler" if adverb else "")
