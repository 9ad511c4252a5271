"""What the answer of a stop on an empty mask asserts, in English: absence, unless it is uncertain or presence."""

import re

__all__ = ["asserts_presence", "is_uncertain"]

_JUDGMENT_VERBS = (
    "tell told judge determin decid assess evaluat assist help say said answer confirm process open load read access "
    "comment provide diagnos interpret analy"
).replace(" ", "|")
_UNCERTAIN = re.compile(
    rf"\b(?:cannot|can\s+not|could\s+not|unable\s+to|not\s+able\s+to)\s+(?:\w{{1,12}}\s+){{0,2}}(?:{_JUDGMENT_VERBS})"
    rf"|n['’]t\s+(?:\w{{1,12}}\s+){{0,2}}(?:{_JUDGMENT_VERBS})"
    r"|\bnot\s+(?:\w{1,12}\s+)?(?:sure|certain)\b|\b(?:unsure|uncertain|inconclusive|indeterminate)\b"
    r"|\bno\s+(?:image|picture|scan|slice)s?\s+(?:(?:was|were|is|has\s+been)\s+)?"
    r"(?:provided|given|attached|sent|loaded|received)"
    r"|\b(?:image|picture|scan|slice)\s+(?:(?:could|can|was|is|did)\s*(?:not|n['’]t)|failed\s+to)\s+(?:be\s+)?"
    r"(?:load|open|read|display|provid|attach|receiv|process)"
    r"|\A\W*(?:error|exception|traceback)\b",
    re.IGNORECASE,
)
_PRESENT = re.compile(
    r"\A\W*yes\b|\b(?:is|are|was|were|been|have|has|well|fully|now)\s+(?:\w{1,12}\s+){0,2}"
    r"(?:segmented|outlined|covered|delineated)\b",
    re.IGNORECASE,
)
_NEGATED = re.compile(r"\b(?:no|not|none|nothing|never|cannot|without|absent|un\w+)\b|n['’]t\b", re.IGNORECASE)


def is_uncertain(answer: str | None) -> bool:
    """Whether an answer states that the target could not be judged, or that the image could not be read.

    >>> is_uncertain("I cannot tell whether there is a cyst."), is_uncertain("I cannot see a cyst.")
    (True, False)
    """
    return _UNCERTAIN.search(answer or "") is not None


def asserts_presence(answer: str | None) -> bool:
    """Whether an answer states that the target is present or segmented.

    >>> asserts_presence("The cyst is segmented."), asserts_presence("No cyst was segmented.")
    (True, False)
    """
    return _PRESENT.search(answer or "") is not None and not _NEGATED.search(answer or "")
