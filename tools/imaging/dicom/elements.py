"""Header elements as a file may hold them: whatever is empty, not a number or invalid is read as missing.

Every reader of this package uses `read_numbers`, `read_texts` and `read_items`, which never raise; `list_unreadable`
names what is in the file and is read as missing.
"""

import math
import re
from collections.abc import Sequence
from typing import Any

import pydicom.sequence
from pydicom import Dataset
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement

from ibisagent.tools.imaging.dicom.element_rules import OFTEN_EMPTY, RULES, Values

__all__ = [
    "Values",
    "get_frame_header",
    "is_readable",
    "list_mistyped",
    "list_unreadable",
    "read_code",
    "read_int",
    "read_items",
    "read_numbers",
    "read_texts",
    "read_vector",
]

_FUNCTIONAL = (
    *("PixelMeasuresSequence", "PlanePositionSequence", "PlaneOrientationSequence", "FrameContentSequence"),
    *("PixelValueTransformationSequence", "FrameVOILUTSequence", "FrameAnatomySequence"),
)
_SEQUENCES = (
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", "SequenceOfUltrasoundRegions"),
    *("ModalityLUTSequence", "VOILUTSequence"),
)
_TEXTS = {"DS", "IS", "LO", "SH", "ST", "LT", "UT", "UC", "CS", "AE", "AS", "UR", "PN", "DA", "DT", "TM"}
_NUMBER = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)[\s\0]*", re.ASCII)


def read_numbers(head: Dataset, keyword: str) -> Values:
    """Return an element's values, one or several; none when they are too few or too many, not finite, or invalid.

    Numbers that are written in an element of another representation, such as UT for DS, are read all the same.
    """
    values, rule = _read_values(head, keyword), RULES[keyword]
    fit = (
        bool(values)
        and rule.value_count in (None, len(values))
        and all(map(math.isfinite, values))
        and rule.is_valid(values)
    )
    return values if fit else []


def _read_values(head: Dataset, keyword: str) -> Values:
    raw = head.get_item(keyword, keep_deferred=True)
    if raw is None:
        return []
    kind = raw.VR if raw.VR not in (None, "UN") else dictionary_VR(raw.tag)
    if isinstance(raw, RawDataElement) and kind in _TEXTS:  # ten times as fast as pydicom's own values
        return _parse_numbers((raw.value or b"").decode("latin-1"))
    value = _read_value(head, keyword)
    several = value if isinstance(value, Sequence) and not isinstance(value, str | bytes) else [value]
    try:
        return [number for one in several for number in (_parse_numbers(one) if isinstance(one, str) else [float(one)])]
    except (TypeError, ValueError):
        return []


def _parse_numbers(text: str) -> Values:
    parts = [_NUMBER.fullmatch(part) for part in text.strip(" \0").rstrip("\\").split("\\")]
    return [float(part[1]) for part in parts if part] if all(parts) else []


def _read_value(head: Dataset, keyword: str) -> Any:
    """Return an element's value as pydicom gives it, None where it cannot."""
    try:
        return head.get(keyword)
    except Exception:  # a representation that is none, bytes that are too few, a character set that is none
        return None


def read_vector(head: Dataset, keyword: str) -> tuple[float, ...] | None:
    """Return an element's values as `read_numbers` does, or None."""
    return tuple(read_numbers(head, keyword)) or None


def read_int(head: Dataset, keyword: str, otherwise: int = 0) -> int:
    """Return the first value as a whole number."""
    values = read_numbers(head, keyword)
    return int(values[0]) if values else otherwise


def read_texts(head: Dataset, keyword: str) -> list[str]:
    """Return an element's texts, one or several, without spaces around them."""
    value = _read_value(head, keyword)
    if value is None or value == "" or isinstance(value, bytes):
        return []
    several = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    return [str(one).strip() for one in several]


def read_code(head: Dataset, keyword: str) -> str:
    """Return an element's first text in capitals, which is how codes are compared; empty when there is none."""
    return next(iter(read_texts(head, keyword)), "").upper()


def read_items(head: Dataset, keyword: str) -> Sequence[Dataset]:
    """Return a sequence's items, none when it is no sequence."""
    value = _read_value(head, keyword)
    return value if isinstance(value, pydicom.sequence.Sequence) else ()


def is_readable(head: Dataset, keyword: str) -> bool:
    """Whether an element is not there at all, or holds what it should."""
    return keyword not in head or bool(read_numbers(head, keyword))


def list_unreadable(head: Dataset) -> list[str]:
    """Name the elements that are there and read as missing, but for those that are empty in many valid files."""
    values = [keyword for keyword in RULES if not is_readable(head, keyword)]
    groups = [keyword for keyword in _SEQUENCES if keyword in head and not read_items(head, keyword)]
    wrong = [keyword for keyword in (*values, *groups) if keyword not in OFTEN_EMPTY or not _is_empty(head, keyword)]
    within = [keyword for item in read_items(head, "SequenceOfUltrasoundRegions") for keyword in list_unreadable(item)]
    return list(dict.fromkeys([*wrong, *within]))


def _is_empty(head: Dataset, keyword: str) -> bool:
    raw = head.get_item(keyword, keep_deferred=True)
    value = raw.value if raw is not None else None
    return not (value.strip(b" \0") if isinstance(value, bytes) else value)


def list_mistyped(head: Dataset) -> list[str]:
    """Name the elements that `read_numbers` reads although they are written as text of another representation."""
    kinds = {keyword: raw.VR for keyword in RULES if (raw := head.get_item(keyword, keep_deferred=True)) is not None}
    odd = _TEXTS - {"DS", "IS"}
    return [keyword for keyword, kind in kinds.items() if kind in odd and is_readable(head, keyword)]


def get_frame_header(dataset: Dataset, frame: int, only: tuple[str, ...] | None = None) -> Dataset:
    """Return the header as one frame sees it: its own functional groups over the shared ones over the file's elements.

    ``only`` those of the file's elements are looked at, where a file's many frames make a copy of all too slow.
    """
    shared = read_items(dataset, "SharedFunctionalGroupsSequence")
    own = read_items(dataset, "PerFrameFunctionalGroupsSequence")
    groups = [*shared[:1], *own[frame : frame + 1]]
    if not groups:
        return dataset
    head = Dataset()
    head.file_meta = dataset.file_meta
    head.set_original_encoding(*dataset.original_encoding)
    if only is None:
        head.update(dataset)
    for keyword in only or ():
        raw = dataset.get_item(keyword, keep_deferred=True)
        if raw is not None:
            head[raw.tag] = raw
    for group in groups:
        for keyword in _FUNCTIONAL:
            for item in read_items(group, keyword)[:1]:
                head.update(item)
    return head
