"""The words of requests, by what they do in them."""

import re
import tomllib
from functools import cache, lru_cache
from importlib.resources import files
from typing import NamedTuple

from ibisagent.agent.policies.knowing.slips import is_misspelt, is_slip

__all__ = ["BETWEEN", "Token", "is_look", "reserved", "tokens", "words"]

BETWEEN = ("ask", "second", "joining", "denying", "clause", "before", "aside", "determiner", "other")
"""Kinds of word that are no part of what is asked for; one in several lists is of the first."""

_SHORTEST_ADVERB = 4  # letters that a longer word has more
_LONG_VERB = 7  # letters from which a word of asking may hold a slip
_LONGEST_ROW = 3  # words that are one of a list together
_TOKEN = re.compile(r"\b[^\W_]&[^\W_]\b|&|\+|[^\W_]+(?:['\-][^\W_]+|(?<=\d)[.,]\d+)*")
_SHORTENED = re.compile(r"(?:[lr]|[lr]t|dr)\Z")
_PARTICIPLE = re.compile(r"\w{3,}(?<!e)ed\Z")
_NUMERAL = re.compile(r"(?:\d\d?|[ivx]+)[a-d]?\Z")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)?(?:-?[cm]m)?\Z|[ctls]\d\d?\Z")


class Token(NamedTuple):
    """A word in lower case, where it stands in the request, and the signs between it and the one before.

    ``kind``: one of `BETWEEN`, "placed" before a place, "" for a word that may be part of what is asked for.
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
    text = files("ibisagent.agent.policies.knowing").joinpath("words.toml").read_text(encoding="utf-8")
    return {kind: frozenset(listed.split()) for kind, listed in tomllib.loads(text).items()}


def is_look(text: str) -> bool:
    """Whether a word says how a target looks, which one it is or how large: it is the same without.

    >>> is_look("left"), is_look("2.5cm"), is_look("L4".lower()), is_look("renal")
    (True, True, True, False)
    """
    return text in words("look") or _NUMBER.match(text) is not None


def tokens(request: str) -> list[Token]:
    """Split a request into its words."""
    found: list[Token] = []
    for match in _TOKEN.finditer(request.lower() if len(request.lower()) == len(request) else request):
        gap = request[found[-1].end if found else 0 : match.start()]
        if found and _SHORTENED.match(found[-1].text):
            gap = gap.removeprefix(".")
        found.append(Token(match[0], match.start(), match.end(), gap, _kind(match[0])))
    for at in range(len(found)):
        _join(found, at)
    for at in range(len(found)):
        found[at] = _in_place(found, at)
    return found


def _kind(text: str) -> str:
    kind = next((kind for kind in BETWEEN if text in words(kind)), "")
    return kind or ("other" if text.endswith("n't") else "")


def _join(found: list[Token], at: int) -> None:
    """Give the words of a row that is in a list its kind."""
    for count in range(_LONGEST_ROW, 1, -1):
        row = found[at : at + count]
        kind = _kind("_".join(token.text for token in row)) if len(row) == count else ""
        if kind and not any(token.gap.strip() for token in row[1:]):
            found[at : at + count] = [token._replace(kind=kind) for token in row]
            return


def _in_place(found: list[Token], at: int) -> Token:
    """Give a word the kind that it has among its neighbours, and a slip of "of" or "the" that word."""
    token, before = found[at], found[at - 1] if at else None
    following, second = (*found[at + 1 : at + 3], None, None)[:2]
    if token.text in ("segment", "segments", "seg") and following is not None and _NUMERAL.match(following.text):
        counted = second is not None and not second.kind and not second.gap.strip()
        return token if counted else token._replace(kind="")
    told = token.text in words("placed") or (token.kind != "other" and _PARTICIPLE.match(token.text) is not None)
    if told and before is not None and following is not None:
        near = second if following.text == "just" or following.text.endswith("ly") else following
        return token._replace(kind="placed") if near is not None and near.kind == "before" else token
    if token.kind or token.text in reserved() or following is None:
        return token._replace(kind="other") if not token.kind and _is_adverb(token, before, following) else token
    if is_misspelt(token.text, "of") and following.kind == "determiner" and before is not None and not before.kind:
        return token._replace(text="of", kind="before")
    if is_misspelt(token.text, "the") and not following.kind and not following.gap.strip():
        return token._replace(text="the", kind="determiner")
    started = before is None or (before.kind and before.kind not in ("determiner", "before"))
    if started and _is_order(token.text):
        return token._replace(kind="ask")
    return token._replace(kind="other") if _is_adverb(token, before, following) else token


@lru_cache(maxsize=4096)
def _is_order(text: str) -> bool:
    """Whether an unknown word is a slip of a long one of those that ask."""
    return any(len(word) >= _LONG_VERB and is_slip(text, word) for word in words("ask"))


def _is_adverb(token: Token, before: Token | None, following: Token | None) -> bool:
    """Whether a word ends as adverbs do and stands where no thing is named: it is no -megaly, nor last after "the"."""
    if not token.text.endswith("ly") or len(token.text) <= _SHORTEST_ADVERB or token.text in reserved():
        return False
    led = before is not None and before.kind in ("determiner", "before")
    last = (
        following is None or bool(following.gap.strip()) or following.kind in ("before", "joining", "other", "placed")
    )
    return token.text[-3] not in "aoy" and not (led and last)
