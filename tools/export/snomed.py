"""SNOMED CT codes for what is segmented, found in the words of a target or of a request.

`snomed_codes.csv` holds, a row each, a name, synonyms of it (``|`` between them), a category, and the code with the
meaning that DICOM gives it (PS3.16, context groups 7150 to 7199 and the anatomic regions) wherever it has one.
"""

import csv
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import NamedTuple

__all__ = ["CATEGORIES", "Concept", "SegmentCode", "SnomedEntry", "find_code", "read_entries"]


class Concept(NamedTuple):
    """A code of SNOMED CT and its meaning."""

    value: str
    meaning: str


class SnomedEntry(NamedTuple):
    """A row of the table; ``names`` are in lower case, the first is the one to show."""

    names: tuple[str, ...]
    category: str
    concept: Concept


@dataclass(frozen=True, slots=True)
class SegmentCode:
    """What a segment shows: DICOM's property category and type, the body part that it lies in, and the side.

    ``known`` is False when the words hold nothing of the table; the codes are then those of any tissue.
    """

    label: str
    category: Concept
    type: Concept
    region: Concept | None = None
    side: Concept | None = None
    is_known: bool = True


CATEGORIES = {
    "anatomy": Concept("91723000", "Anatomical Structure"),
    "tissue": Concept("85756007", "Tissue"),
    "abnormal": Concept("49755003", "Morphologically Abnormal Structure"),
    "object": Concept("260787004", "Physical object"),
    "substance": Concept("91720002", "Body Substance"),
}
_PLACE_CATEGORIES = ("anatomy", "tissue")
_SIDES = {"left": Concept("7771000", "Left"), "right": Concept("24028007", "Right")}
_LONGEST = 64  # characters of a DICOM label (LO)


def find_code(words: str) -> SegmentCode:
    """Code a target's name or a request: the first thing that is not mere anatomy, in the first place named, or that.

    >>> found = find_code("Segment the stone in the left kidney.")
    >>> found.label, found.type.meaning, found.region.meaning, found.side.meaning
    ('left kidney calculus', 'Calculus', 'Kidney', 'Left')
    """
    plain = _normalize_words(words)
    named = [_entries_by_name()[match[1]] for match in _compile_name_pattern().finditer(plain)]
    places = [entry for entry in named if entry.category in _PLACE_CATEGORIES]
    things = [entry for entry in named if entry.category not in _PLACE_CATEGORIES]
    if not named:
        label = "".join(letter for letter in words if letter.isprintable() and letter != "\\").strip()[:_LONGEST]
        return SegmentCode(label or "segment", CATEGORIES["tissue"], CATEGORIES["tissue"], is_known=False)
    main = (things or places)[0]
    place = places[0] if things and places else None
    sides = set(re.findall(r"\b(?:left|right)\b", _compile_name_pattern().sub(" ", plain)))
    side = sides.pop() if len(sides) == 1 else None
    return SegmentCode(
        label=" ".join(word for word in (side, place and place.names[0], main.names[0]) if word),
        category=CATEGORIES[main.category],
        type=main.concept,
        region=place.concept if place else None,
        side=_SIDES[side] if side else None,
    )


@cache
def read_entries() -> tuple[SnomedEntry, ...]:
    """Return the table, row by row."""
    text = (files("ibisagent.tools.export") / "snomed_codes.csv").read_text("utf-8")
    return tuple(
        SnomedEntry(
            (row["name"], *filter(None, row["synonyms"].split("|"))),
            row["category"],
            Concept(row["code"], row["meaning"]),
        )
        for row in csv.DictReader(text.splitlines())
    )


@cache
def _entries_by_name() -> dict[str, SnomedEntry]:
    return {name: entry for entry in read_entries() for name in entry.names}


@cache
def _compile_name_pattern() -> re.Pattern[str]:
    """Match a name of the table, the longest first, or its plural."""
    names = sorted(_entries_by_name(), key=len, reverse=True)
    return re.compile(rf"\b({'|'.join(map(re.escape, names))})(?:e?s)?\b")


def _normalize_words(words: str) -> str:
    """Leave words of letters and digits, one space between them, no articles."""
    plain = re.sub(r"[^\w]+|_+", " ", words.casefold())
    return " ".join(word for word in plain.split() if word not in ("the", "a", "an"))
