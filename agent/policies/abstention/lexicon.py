"""The lexicon of requests: words by their function, and the tokenizer."""

import re
import tomllib
from functools import cache, lru_cache
from importlib.resources import files
from typing import NamedTuple

from ibisagent.agent.policies.abstention.spelling import is_misspelling, is_short_misspelling

__all__ = ["FUNCTION_KINDS", "Token", "is_modifier", "reserved_words", "tokenize", "words_of_kind"]

FUNCTION_KINDS = (
    "request_verb",
    "secondary_verb",
    "conjunction",
    "negation",
    "relative_pronoun",
    "preposition",
    "subordinator",
    "determiner",
    "filler",
)
"""Kinds of function word, which are no part of a target's name; a word in several lists is of the first kind."""

_SHORTEST_ADVERB = 4  # letters that a longer word has more
_LONG_VERB = 7  # letters from which a request verb may be misspelled
_MAX_UNIT = 3  # words that are one entry of a list
_TOKEN = re.compile(r"\b[^\W_]&[^\W_]\b|&|\+|[^\W_]+(?:['\-][^\W_]+|(?<=\d)[.,]\d+)*")
_ABBREVIATION = re.compile(r"(?:[lr]|[lr]t|dr)\Z")
_PARTICIPLE = re.compile(r"\w{3,}(?<!e)ed\Z")
_NUMERAL = re.compile(r"(?:\d\d?|[ivx]+)[a-d]?\Z")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)?(?:-?[cm]m)?\Z|[ctls]\d\d?\Z")


class Token(NamedTuple):
    """A word in lower case, its character span in the request, and the characters between it and the word before.

    ``kind``: one of `FUNCTION_KINDS`, "locative_verb" before a place, "" for a content word, which may be part of a
    target's name.
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


def is_modifier(text: str) -> bool:
    """Whether a word is of appearance, size, side or number, so that the target is the same without it.

    >>> is_modifier("left"), is_modifier("2.5cm"), is_modifier("L4".lower()), is_modifier("renal")
    (True, True, True, False)
    """
    return text in words_of_kind("modifier") or _NUMBER.match(text) is not None


def tokenize(request: str) -> list[Token]:
    """Split a request into tokens."""
    found: list[Token] = []
    for match in _TOKEN.finditer(request.lower() if len(request.lower()) == len(request) else request):
        gap = request[found[-1].end if found else 0 : match.start()]
        if found and _ABBREVIATION.match(found[-1].text):
            gap = gap.removeprefix(".")
        found.append(Token(match[0], match.start(), match.end(), gap, _kind(match[0])))
    for at in range(len(found)):
        _tag_unit(found, at)
    for at in range(len(found)):
        found[at] = _tag_in_context(found, at)
    return found


def _kind(text: str) -> str:
    kind = next((kind for kind in FUNCTION_KINDS if text in words_of_kind(kind)), "")
    return kind or ("filler" if text.endswith("n't") else "")


def _tag_unit(found: list[Token], at: int) -> None:
    """Set the kind of words in a row that are one entry of the lexicon."""
    for count in range(_MAX_UNIT, 1, -1):
        unit = found[at : at + count]
        kind = _kind("_".join(token.text for token in unit)) if len(unit) == count else ""
        if kind and not any(token.gap.strip() for token in unit[1:]):
            found[at : at + count] = [token._replace(kind=kind) for token in unit]
            return


def _tag_in_context(found: list[Token], at: int) -> Token:
    """Return a token with its kind among its neighbors, and with misspellings of "of", "the" and "please" corrected."""
    token, before = found[at], found[at - 1] if at else None
    following, second = (*found[at + 1 : at + 3], None, None)[:2]
    if token.text in ("segment", "segments", "seg") and following is not None and _NUMERAL.match(following.text):
        counted = second is not None and not second.kind and not second.gap.strip()
        return token if counted else token._replace(kind="")
    if token.text in words_of_kind("verb_noun") and _is_noun(token, before, found[:at], following):
        return token._replace(kind="")
    participle = token.kind != "filler" and _PARTICIPLE.match(token.text) is not None
    locative = participle or token.text in words_of_kind("locative_verb")
    if locative and before is not None and following is not None:
        near = second if following.text == "just" or following.text.endswith("ly") else following
        return token._replace(kind="locative_verb") if near is not None and near.kind == "preposition" else token
    is_known = bool(token.kind) or token.text in reserved_words()
    if not is_known and is_misspelling(token.text, "please"):
        return token._replace(kind="filler")
    if is_known or following is None:
        return token._replace(kind="filler") if not token.kind and _is_adverb(token, before, following) else token
    after_noun = before is not None and not before.kind
    if is_short_misspelling(token.text, "of") and following.kind == "determiner" and after_noun:
        return token._replace(text="of", kind="preposition")
    if is_short_misspelling(token.text, "the") and not following.kind and not following.gap.strip():
        return token._replace(text="the", kind="determiner")
    initial = before is None or (before.kind and before.kind not in ("determiner", "preposition"))
    if initial and _is_misspelled_verb(token.text):
        return token._replace(kind="request_verb")
    return token._replace(kind="filler") if _is_adverb(token, before, following) else token


def _is_noun(token: Token, before: Token | None, earlier: list[Token], following: Token | None) -> bool:
    """Whether a word that may be a verb is a noun: it stands alone, or after an article and before no other noun."""
    if before is None and following is None:
        return True
    improved = token.text in words_of_kind("mask_noun") and any(
        each.text in words_of_kind("refining_verb") for each in earlier
    )
    led = before is not None and before.kind == "determiner" and not token.gap.strip()
    placed = following is not None and following.kind == "preposition" and following.text not in ("of", "for", "to")
    return led and not improved and (following is None or following.starts_sentence or placed)


@lru_cache(maxsize=4096)
def _is_misspelled_verb(text: str) -> bool:
    """Whether an unknown word is a misspelling of a long request verb."""
    return any(len(word) >= _LONG_VERB and is_misspelling(text, word) for word in words_of_kind("request_verb"))


def _is_adverb(token: Token, before: Token | None, following: Token | None) -> bool:
    """Whether a word ends like an adverb and stands where no noun does: it is no -megaly, nor last after "the"."""
    if not token.text.endswith("ly") or len(token.text) <= _SHORTEST_ADVERB or token.text in reserved_words():
        return False
    led = before is not None and before.kind in ("determiner", "preposition")
    ends_phrase = ("preposition", "conjunction", "filler", "locative_verb")
    last = following is None or bool(following.gap.strip()) or following.kind in ends_phrase
    return token.text[-3] not in "aoy" and not (led and last)
