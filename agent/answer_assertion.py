"""What the answer of a stop on an empty mask asserts, by its words of absence and of presence, in English."""

import re
from typing import Literal

__all__ = ["Assertion", "read_assertion"]

Assertion = Literal["absent", "present", "unknown"]

_REST = r"[^.;:!?,\n]*"  # of a clause
_WITHIN = r"[^.;:!?,\n]{0,60}?"
_NOT = r"(?:\b(?:not|never|cannot)|n't)\b"
_IMAGE = r"(?:image|picture|scan|slice|photo|photograph|view|section|frame|volume|plane|field(?:\s+of\s+view)?)s?"
_FILE = r"(?:image|picture|scan|photo|file|attachment|input)s?"
_STATED = re.compile(  # the sentences that the shipped policies write, whatever words the target's name holds
    r"The\b[^\n]{1,400}\b(?:is|are)\snot\svisible(?:\sin\sthis\spicture)?\.?"
    r"|I\ssee\sno\b[^\n]{1,400}\sin\sthis\spicture\.?|There\s(?:is|are)\sno\s(?!doubt)[^\n]{1,400}\sto\sbe\sseen\shere\.?"
)
_JUDGE = (
    "tell|told|judg|determin|decid|decision|assess|evaluat|assist|help|say|said|answer|confirm|process|open|load|read|"
    "access|comment|diagnos|interpret|analy|know|distinguish|differentiat|rule|exclud|provide(?!\\s+evidence)"
)
_BEFORE_VERB = r"(?:(?:be|been|to|have|yet|even|able|possible|\w{1,12}ly)\s+){0,3}"
_UNCERTAIN = re.compile(
    rf"(?:{_NOT}|\bunable)\s+{_BEFORE_VERB}(?:{_JUDGE}){_REST}|\bnothing\s+can\s+be\s+(?:{_JUDGE}){_REST}"
    rf"|{_NOT}\s+(?:\w{{1,12}}\s+)?(?:sure|certain|enough|sufficient|clear|qualified|trained|familiar|applicable)\b{_REST}"
    rf"|\b(?:whether|maybe|perhaps|possibly|might|may|if|unsure|uncertain|inconclusive|indeterminate|unclear|unknown|I\s+doubt)\b{_REST}"
    rf"|\b(?:hard|difficult|impossible|too\s+\w{{1,12}})\s+to\s+(?:{_JUDGE}){_REST}"
    rf"|\bno\s+(?:{_FILE}|slices?)\s+(?:(?:was|were|is|has\s+been)\s+)?"
    r"(?:provided|given|attached|sent|loaded|received|available|here)\b"
    rf"|\bno\s+{_FILE}(?=\s*(?:[.;:!?,\n]|\Z))"
    rf"|{_NOT}\s+(?:\w{{1,12}}ly\s+)?(?:see|view|find|have|receive)\s+(?:(?:an?|any|the|your|this|medical)\s+){{0,2}}"
    rf"{_FILE}(?=\s*(?:[.;:!?,\n]|\Z))"
    rf"|\b{_IMAGE}\s+(?:(?:was|were|is|has|had|could|can|did|do|does)\s*(?:not|n't)|cannot|failed\s+to)\s+(?:be(?:en)?\s+)?"
    r"(?:loaded|load|opened|read|displayed|provided|attached|received|processed|arrive)"
    r"|\b(?:an?\s+AI|language\s+model)\b|\A\W*(?:error|exception|traceback|sorry|i'm\s+sorry|n/a)\b",
    re.IGNORECASE,
)
_DEED = (
    "further|more|additional|other|else|clicks?|steps?|prompts?|actions?|masks?|segmentation|corrections?|refinements?|"
    "changes?|edits?|adjustments?|idea|doubt|problems?|issues?|gaps?|leaks?|leakage|spill|overlap|longer|need|way|"
    "information|knowledge|conclusion|diagnosis|decision|judge?ment|assessment|answer|comment|opinion|errors?|touching"
)
_OF_NO_TARGET = re.compile(  # negations about the work, the mask or a part: nothing that is absent
    rf"\b(?:no|nothing|without)\s+(?:\w{{1,16}}\s+)?(?:{_DEED})\b"
    rf"|\b(?:no|nothing){_WITHIN}\b(?:missing|missed|left\s+out|uncovered|left|elsewhere)\b"
    rf"|{_NOT}\s+(?:absent|missing|removed|only|just|fully|entirely|completely|wholly)\b{_REST}|{_NOT}{_WITHIN}\belsewhere\b"
    rf"|{_NOT}\s+(?:\w{{1,12}}\s+)?(?:click|place|mark|prompt|touch|change|move|continue|need|require|extend)\w*{_REST}"
    r"|\b(?:mask|segmentation|outline|contour|overlay|green\s+area)\b"
    r"(?:(?!\b(?:because|since|as|so|and\s+there)\b)[^.;:!?,\n])*",
    re.IGNORECASE,
)
_SEEN = (
    "visible|there|here|present|seen|see|found|find|identif\\w+|show\\w*|detect\\w*|appear\\w*|visuali\\w+|depict\\w*|"
    "display\\w*|locat\\w+|observ\\w+|contain\\w*|captured|recogni\\w+|spot|imaged|evident|evidence|discern\\w*|exist\\w*"
)
_ABSENT = re.compile(
    rf"\b(?:no|none|nothing|nowhere|absent|absence|missing|lacks?|lacking|invisible|unseen|undetect\w+|zero)\b"
    rf"|(?:{_NOT}|\bunable\s+to|\bfail(?:s|ed)?\s+to){_WITHIN}(?:\b(?:{_SEEN})\b"
    rf"|\b(?:in|on|inside|within|part\s+of)\s+(?:the|this|that)\s+(?:\w{{1,16}}\s+)?{_IMAGE}\b)"
    rf"|\bthere\s+(?:is|are|was|were)(?:n't|\s+not)\b|n't\s+any\b|\b(?:is|are)(?:n't|\s+not)(?=\s*(?:[.;!?,\n]|\Z))"
    rf"|\b{_IMAGE}\b[^.;:!?,\n]{{0,30}}{_NOT}\s+(?:include|have|cover|reach)"
    rf"|\b(?:outside|out|beyond)\s+(?:of\s+)?(?:it\b|(?:(?:the|this|that|our)\s+)?(?:\w{{1,16}}\s+){{0,2}}{_IMAGE}\b)"
    r"|\b(?:been|was|were|is|are)\s+(?:\w{1,12}ly\s+)?(?:removed|resected|excised)\b"
    r"|\bwithout\s+(?:any|an?|evidence|signs?)\b|\b(?:free|devoid)\s+of\b|\bnegative\s+for\b",
    re.IGNORECASE,
)
_MARKED = "segmented|outlined|covered|delineated|marked|contoured|captured"
_PRESENT = re.compile(
    rf"\A\W*yes\b|\b(?:{_MARKED})\b|\bthere\s+(?:is|are|it\s+is|they\s+are)\b|\bhere\s+(?:is|are|it\s+is)\b"
    r"|\b(?:is|are|was|were)\s+(?:\w{1,12}\s+){0,2}(?:visible|present|seen|there|here|shown|found|identified|located)\b"
    r"|\bI\s+(?:can\s+|have\s+)?(?:\w{1,12}ly\s+)?(?:see|found|located|identified)\b"
    r"|\b(?:mask|segmentation|outline|contour|overlay|green\s+area)\s+(?:is\s+)?(?:\w{1,12}ly\s+)?(?:cover|fit|show|match|"
    r"follow|mark|outlin|accurate|complete|correct|done|finished)",
    re.IGNORECASE,
)
_NEGATED = re.compile(rf"{_NOT}{_REST}", re.IGNORECASE)


def read_assertion(answer: str | None) -> Assertion:
    """Return what an answer asserts of the target; a plain clause of absence counts most, and no answer is one.

    An answer that is uncertain, a refusal, or about something else asserts nothing.

    >>> [read_assertion(answer) for answer in ("I cannot see a cyst.", "I cannot tell.", "The cyst is segmented.", "")]
    ['absent', 'unknown', 'present', 'absent']
    """
    text = (answer or "").replace("’", "'").strip()
    if not text or _STATED.fullmatch(text):
        return "absent"
    judged = _UNCERTAIN.sub(" ", text)
    if _ABSENT.search(_OF_NO_TARGET.sub(" ", judged)):
        return "absent"
    return "present" if judged == text and _PRESENT.search(_NEGATED.sub(" ", text)) else "unknown"
