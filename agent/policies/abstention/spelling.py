"""The distance between a typed word and a word of a name: equal, a variant, or a misspelling."""

import re
from functools import cache, lru_cache

__all__ = [
    "EXACT",
    "MISSPELLING",
    "VARIANT",
    "is_misspelling",
    "is_short_misspelling",
    "spelling_distance",
    "to_american",
]

EXACT, VARIANT, MISSPELLING = 0, 1, 2
"""Distances of a typed word from the intended one; plurals and the other English spelling are variants."""

# Letters: shorter words are taken as typed, those of four keep their first letter, long ones may have two edits.
_SHORT, _LONG = 4, 9
_ABBREVIATIONS = {"l": "left", "lt": "left", "r": "right", "rt": "right"}
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
def spelling_distance(
    typed: str, word: str, *, allow_misspelling: bool = True, allow_short: bool = False
) -> int | None:
    """Return the distance of a typed word from a word of a name, None for another word.

    ``allow_short``: a short word may be misspelled too, as the other words of the name are typed as they are.
    """
    if typed == word:
        return EXACT
    plain, meant = to_american(_ABBREVIATIONS.get(typed, typed)), to_american(word)
    if plain == meant or plain in _plurals(meant):
        return VARIANT
    pairs = {(plain, meant), (typed, word)}  # a British word misspelled in its British part is not converted
    near = [(one, two) for one, two in pairs if allow_short or len(two) > _SHORT or one[0] == two[0]]
    near += [(one, f"{two}s") for one, two in near]
    if allow_misspelling and any(is_misspelling(one, two, allow_short=allow_short) for one, two in near):
        return MISSPELLING
    return None


def is_misspelling(typed: str, word: str, *, allow_short: bool = False) -> bool:
    """Whether one letter is inserted, missing or wrong, or two neighbors are swapped; in a long word twice.

    ``allow_short``: words of three letters count as well.

    >>> is_misspelling("liverr", "liver"), is_misspelling("kindey", "kidney"), is_misspelling("leaver", "liver")
    (True, True, False)
    """
    most = 2 if len(word) >= _LONG else 1
    if min(len(word), len(typed) + 1) < _SHORT - allow_short or abs(len(typed) - len(word)) > most:
        return False
    return _edits(typed, word) <= most


@cache
def is_short_misspelling(typed: str, word: str) -> bool:
    """Whether an unknown word is a misspelling of a short function word, and unlikely to be a word itself.

    >>> is_short_misspelling("fo", "of"), is_short_misspelling("teh", "the"), is_short_misspelling("toe", "the")
    (True, True, False)
    """
    other_vowel = any(letter in "aiou" for letter in typed if letter not in word)
    return typed != word and typed.isalpha() and not other_vowel and _edits(typed, word) == 1


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
