"""Whether a typed word is one of a name: the same, another form of it, or a slip of the hand away."""

import re
from functools import cache, lru_cache

__all__ = ["FORM", "SAME", "SLIP", "american", "cost", "is_misspelt", "is_slip"]

SAME, FORM, SLIP = 0, 1, 2
"""How far a typed word is from the one that is meant: a plural and the other spelling are forms of it."""

_SHORT, _LONG = (
    4,
    9,
)  # letters: shorter words are typed right, those of four keep their first letter, long ones have two
_SHORT_FOR = {"l": "left", "lt": "left", "r": "right", "rt": "right"}
_BRITISH = re.compile(r"(?<=\w\w)our|(?<=h)ae(?=m)|(?<=f)oe(?=t)|(?<=n)ae(?=v)|(?<=dis)k\b")


@cache
def american(word: str) -> str:
    """Spell a British word the American way.

    >>> american("tumour"), american("haemorrhage"), american("disk")
    ('tumor', 'hemorrhage', 'disc')
    """
    return _BRITISH.sub(lambda part: {"our": "or", "k": "c"}.get(part[0], "e"), word)


@cache
def _plurals(word: str) -> frozenset[str]:
    """Give what the plural of a word may be, and its possessive."""
    stem = word[:-1] if word.endswith("y") else word
    return frozenset((f"{word}s", f"{word}es", f"{stem}ies", f"{word}'s", f"{word}'"))


@lru_cache(maxsize=65536)
def cost(typed: str, word: str, *, slips: bool = True, sure: bool = False) -> int | None:
    """Tell how far a typed word is from one of a name, None for another word.

    ``slips``: it may be misspelt; ``sure``: also where it is short, as the name's other words are typed right.
    """
    if typed == word:
        return SAME
    plain, meant = american(_SHORT_FOR.get(typed, typed)), american(word)
    if plain == meant or plain in _plurals(meant):
        return FORM
    pairs = {(plain, meant), (typed, word)}  # a slip in the British part of a word leaves it British
    near = [(one, two) for one, two in pairs if sure or len(two) > _SHORT or one[0] == two[0]]
    near += [(one, f"{two}s") for one, two in near]
    return SLIP if slips and any(is_slip(one, two, sure=sure) for one, two in near) else None


def is_slip(typed: str, word: str, *, sure: bool = False) -> bool:
    """Tell whether one letter is too many, missing, wrong, or two have changed places; in a long word twice.

    Words of three letters are slips only of one that is ``sure`` to be meant.

    >>> is_slip("liverr", "liver"), is_slip("kindey", "kidney"), is_slip("leaver", "liver")
    (True, True, False)
    """
    most = 2 if len(word) >= _LONG else 1
    if min(len(word), len(typed) + 1) < _SHORT - sure or abs(len(typed) - len(word)) > most:
        return False
    return _edits(typed, word) <= most


@cache
def is_misspelt(typed: str, word: str) -> bool:
    """Tell whether an unknown word is a slip of a short one that has a part in requests, and no word of its own.

    >>> is_misspelt("fo", "of"), is_misspelt("teh", "the"), is_misspelt("toe", "the")
    (True, True, False)
    """
    spoken = any(letter in "aiou" for letter in typed if letter not in word)
    return typed != word and typed.isalpha() and not spoken and _edits(typed, word) == 1


def _edits(one: str, other: str) -> int:
    """Count the edits of a letter, or of two neighbours that change places, between two words."""
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
