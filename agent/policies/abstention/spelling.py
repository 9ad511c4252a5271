"""The distance between a typed word and a word of a name: equal, a variant, or a misspelling."""

import re
from functools import cache, lru_cache

__all__ = ["EXACT", "MISSPELLING", "VARIANT", "is_misspelling", "spelling_distance", "to_american"]

EXACT, VARIANT, MISSPELLING = 0, 1, 2
"""Distances of a typed word from the intended one; plurals and the other English spelling are variants."""

# Letters: shorter words are taken as typed, those of four keep their first letter, long ones may have two edits.
_SHORT, _LONG = 4, 9
_BRITISH = re.compile(r"(?<=\w\w)our|(?<=h)ae(?=m)|(?<=f)oe(?=t)|(?<=n)ae(?=v)|(?<=dis)k\b")


@cache
def to_american(word: str) -> str:
    """Spell a British word the American way.

    >>> to_american("tumour"), to_american("haemorrhage"), to_american("disk")
    ('tumor', 'hemorrhage', 'disc')
    """
    return _BRITISH.sub(lambda part: {"our": "or", "k": "c"}.get(part[0], "e"), word)


@cache
def _plurals(word: str) -> frozenset[str]:
    """Return the possible plurals of a word, and its possessives."""
    stem = word[:-1] if word.endswith("y") else word
    return frozenset((f"{word}s", f"{word}es", f"{stem}ies", f"{word}'s", f"{word}'"))


@lru_cache(maxsize=65536)
def spelling_distance(typed: str, word: str, *, allow_misspelling: bool = True) -> int | None:
    """Return the distance of a typed word from a word of a name, None for another word."""
    if typed == word:
        return EXACT
    plain, meant = to_american(typed), to_american(word)
    if plain == meant or plain in _plurals(meant):
        return VARIANT
    near = (meant, f"{meant}s") if len(meant) > _SHORT or plain[0] == meant[0] else ()
    return MISSPELLING if allow_misspelling and any(is_misspelling(plain, form) for form in near) else None


def is_misspelling(typed: str, word: str) -> bool:
    """Whether one letter is inserted, missing or wrong, or two neighbors are swapped; in a long word twice.

    >>> is_misspelling("liverr", "liver"), is_misspelling("kindey", "kidney"), is_misspelling("leaver", "liver")
    (True, True, False)
    """
    most = 2 if len(word) >= _LONG else 1
    if min(len(word), len(typed) + 1) < _SHORT or abs(len(typed) - len(word)) > most:
        return False
    return _edits(typed, word) <= most


def _edits(one: str, other: str) -> int:
    """Return the Damerau-Levenshtein distance (optimal string alignment) of two words."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        before, last, row = row, before, [i]
        for j, wanted in enumerate(other, 1):
            least = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != wanted))
            if last and j > 1 and one[i - 2 : i] == other[j - 2 : j][::-1]:
                least = min(least, last[j - 2] + 1)
            row.append(least)
    return row[-1]
