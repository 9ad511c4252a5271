"""Changes of a request: the same target in other words, the other side of the body, or nothing that could be there.

Each takes a case and a generator and returns the changed case, or None where the change cannot be made: a request that
does not name its target cannot be reworded without giving the target away.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from string import Template

import numpy as np

from ibisagent.tools.datasets import Case
from ibisagent.tools.vocabulary.words import REQUEST_TEMPLATES, VOCABULARY, read_words, verb_of

__all__ = [
    "CONTRADICTIONS",
    "IMPOSSIBLE",
    "LANGUAGES",
    "RequestChange",
    "ask_in",
    "change_letters",
    "contradict",
    "make_absent",
    "make_impossible",
    "make_lower_case",
    "make_upper_case",
    "mistype",
    "put_as_question",
    "swap_sides",
    "use_synonym",
]

RequestChange = Callable[[Case, np.random.Generator], Case | None]

LANGUAGES = ("german", "french", "spanish")
IMPOSSIBLE = ("bicycle", "coffee cup", "traffic light", "umbrella", "piano", "cloud in the sky")
"""What no medical picture shows."""
CONTRADICTIONS = (
    "Segment the $target, but leave out the $target.",
    "Mark the part of the $target that is not the $target.",
    "Segment the $target, and mark nothing.",
)
_SIDES = {"left": "right", "right": "left"}
_SIDE = re.compile(r"(?<!\bis )\b(left|right)\b", re.IGNORECASE)  # "is right" is no side
_LONG = 4  # letters of a word in which a slip leaves the word readable
_NEIGHBOURS = {
    letter: row[place + 1] if place + 1 < len(row) else row[place - 1]
    for row in ("qwertyuiop", "asdfghjkl", "zxcvbnm")
    for place, letter in enumerate(row)
}


def swap_sides(case: Case, rng: np.random.Generator) -> Case | None:
    """Exchange left and right in target and request, as a flip of the picture does with what they name."""
    del rng
    return replace(case, target=_swap(case.target), request=_swap(case.request))


def _swap(text: str) -> str:
    def other(found: re.Match[str]) -> str:
        side = _SIDES[found[0].lower()]
        return side.upper() if found[0].isupper() else side.capitalize() if found[0][0].isupper() else side

    return _SIDE.sub(other, text)


def _name(case: Case) -> re.Match[str] | None:
    """Return where a request names its target."""
    return re.search(rf"\b{re.escape(case.target)}\b", case.request, re.IGNORECASE)


def _rename(case: Case, name: str) -> Case | None:
    found = _name(case)
    if found is None:
        return None
    return replace(case, request=case.request[: found.start()] + name + case.request[found.end() :])


def use_synonym(case: Case, rng: np.random.Generator) -> Case | None:
    """Call the target by another name of it (`ibisagent.tools.vocabulary`)."""
    names = VOCABULARY.synonyms.get(case.target, ())
    return _rename(case, names[int(rng.integers(len(names)))]) if names else None


def make_lower_case(case: Case, rng: np.random.Generator) -> Case | None:
    """Write the request in small letters."""
    del rng
    return replace(case, request=case.request.lower())


def make_upper_case(case: Case, rng: np.random.Generator) -> Case | None:
    """Write the request in capitals."""
    del rng
    return replace(case, request=case.request.upper())


def put_as_question(case: Case, rng: np.random.Generator) -> Case | None:
    """Ask for the target in a question."""
    questions = REQUEST_TEMPLATES["initial"]["question"]
    words = {"target": case.target, "is": verb_of(case.target)}
    chosen = questions[int(rng.integers(len(questions)))]
    return replace(case, request=Template(chosen).substitute(words)) if _name(case) else None


def ask_in(language: str) -> RequestChange:
    """Return the change that asks in one of `LANGUAGES`."""

    def ask(case: Case, rng: np.random.Generator) -> Case | None:
        del rng
        templates, targets = _read_languages()
        if case.target not in targets or _name(case) is None:
            return None
        name = targets[case.target][LANGUAGES.index(language)]
        return replace(case, request=Template(templates[language]).substitute(target=name))

    return ask


@cache
def _read_languages() -> tuple[Mapping[str, str], Mapping[str, Sequence[str]]]:
    data = read_words("languages.toml")
    return data["templates"], data["targets"]


def mistype(count: int) -> RequestChange:
    """Return the change that makes ``count`` slips of the keyboard in the target's name."""

    def change(case: Case, rng: np.random.Generator) -> Case | None:
        found = _name(case)
        typed = change_letters(found[0], count, rng) if found else None
        return _rename(case, typed) if typed is not None else None

    return change


def change_letters(name: str, count: int, rng: np.random.Generator) -> str | None:
    """Drop, double, exchange or mishit ``count`` letters of a name, never a word's first; None if all words are short.

    >>> change_letters("spleen", 1, np.random.default_rng(3))
    'splen'
    """
    for _ in range(count):
        places = [
            found.start() + place
            for found in re.finditer(rf"[^\W\d_]{{{_LONG},}}", name)
            for place in range(1, len(found[0]) - 1)
        ]
        if not places:
            return None
        at = places[int(rng.integers(len(places)))]
        letter, following = name[at], name[at + 1]
        slips = ["", letter * 2, _NEIGHBOURS.get(letter.lower(), letter * 2)]
        slip = int(rng.integers(4)) if letter != following else int(rng.integers(3))
        name = name[:at] + (following + letter + name[at + 2 :] if slip == 3 else slips[slip] + name[at + 1 :])
    return name


def make_impossible(case: Case, rng: np.random.Generator) -> Case | None:
    """Ask for something that no medical picture shows, in place of a target that is present."""
    return make_absent(case, IMPOSSIBLE[int(rng.integers(len(IMPOSSIBLE)))])


def contradict(case: Case, rng: np.random.Generator) -> Case | None:
    """Ask for a present target in a way that no mask can satisfy."""
    chosen = CONTRADICTIONS[int(rng.integers(len(CONTRADICTIONS)))]
    return make_absent(case, case.target, Template(chosen).substitute(target=case.target))


def make_absent(case: Case, target: str, request: str = "") -> Case | None:
    """Ask for a target that is not there in place of one that is; None where the case's own is absent already."""
    return replace(case, target=target, request=request, present=False, mask=None, label=None) if case.present else None
