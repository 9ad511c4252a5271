"""Which of the actions found in a text count: those by themselves on a line, in no sentence, and whole."""

import re
from enum import Enum
from typing import NamedTuple

from ibisagent.agent.fields import NUMBERS

__all__ = [
    "LINE_START",
    "PADDING",
    "TARGET",
    "Cut",
    "End",
    "Found",
    "found_in",
    "in_object",
    "is_mentioned",
    "is_said",
    "is_whole",
    "stands",
]

PADDING = r"[\s*`_\"'#>-]{0,16}+"
LINE_START = re.compile(
    rf"^{PADDING}(?:action\s?[:：=])?{PADDING}[(\[]{{0,2}}(?:bounding[\s_-]{{1,2}})?\Z", re.IGNORECASE | re.MULTILINE
)
TARGET = re.compile(r"[)\]）］ \t*`]{0,8}\bfor\b([^\n]{1,500})", re.IGNORECASE)
_OPENERS = "([（［"
_CLOSER = re.compile(r"[)\]）］]")
_CLOSED = re.compile(r"\s{0,8}[)\]）］]")
_NEWLINE = re.compile(r"\n")
_CONTROL = re.compile(r"<\|[^|<>\n]{0,40}\|>")  # tokens such as <|im_end|>
_SAID = re.compile(r"[\w?]")
_LINKED = re.compile(r"\W*(?:and|then|and then)?\W*", re.IGNORECASE)
_EXPLAINED = re.compile(r"[^\w?:：]*[:：](?!\W*(?:no|not|not yet|not now|never|false|none|0)\W*\Z)", re.IGNORECASE)
_SENTENCE = re.compile(r"\b(?:not|never|would|could|should|will|is|was|are|be)\b", re.IGNORECASE)
_LINE = 1000  # characters of a line that are looked at
_BEFORE = 160  # characters before a line that are looked at
_DO = (
    "use emit output write say send give return reply answer respond click do choose pick try perform repeat issue "
    "print propose suggest execute place add"
).replace(" ", "|")
_DONE = "used|emitted|output|written|said|sent|given|clicked|done|chosen|repeated|issued"
_MENTIONED = re.compile(
    rf"(?:(?:\b(?:not|never|cannot)|n['’]t)(?:\s+(?:ever|again|to|just|simply|even))*"
    rf"(?:\s+(?:(?:{_DO})(?:ing)?|using|writing|giving|be\s+(?:{_DONE}))\b[^.!?;,:\n]{{0,60}}"
    rf"|\s+(?:this|that|these|so|the\s+following))?"
    rf"|\bavoid(?:ing)?(?:\s+(?:\w{{1,12}}ing|this|these|the\s+following|such)\b[^.!?;,:\n]{{0,40}})?"
    rf"|\b(?:this|these|following)\b[^.!?;,:\n]{{0,24}}\b(?:wrong|incorrect|forbidden|mistakes?)"
    rf"|\bexamples?(?:\s+\w{{1,20}}){{0,2}}|\be\.g\.?|\bsuch\s+as"
    rf"|\b(?:said|says|wrote|writes|quotes?|quoted|suggests?|suggested|proposed|replied|mentioned|was|were|had\s+been)"
    rf"|\b(?:instead\s+of|rather\s+than|without)|\bif\s+(?:i|you|we|one)\b[^.!?;,:\n]{{0,40}}"
    rf"|(?:\A|\n)\W{{0,8}}(?:wrong|incorrect|bad|no|forbidden|invalid)\s?[:：])[^\w.!?;]*\Z",
    re.IGNORECASE,
)
_FENCE = re.compile(r"\s*```\w{0,12}\s*\Z")


class End(Enum):
    """What comes after a text: a tag, which closes it, the end of the reply, or a place where the reply was cut."""

    TAG = "tag"
    REPLY = "reply"
    CUT = "cut"


class Cut(Exception):
    """The action that was read is not whole."""


class Found(NamedTuple):
    """An action in a text: its numbers, where its own words end, and where the line of the last of them does."""

    match: re.Match[str]
    numbers: list[re.Match[str]]
    last: int
    after: int
    line_end: int


def found_in(match: re.Match[str]) -> Found | None:
    """Find the numbers of a match of an action's pattern; None where they are not 2 of a point or 4 of a box."""
    numbers = _numbers(match) if match["run"] else []
    if match["run"] and len(numbers) != (4 if match["box"] else 2):
        return None
    last = numbers[-1].end() if numbers else match.end()
    line_end = match.string.find("\n", last, last + _LINE)
    line_end = line_end if line_end >= 0 else min(last + _LINE, len(match.string))
    after = min(match.start("run") + len(match["run"].rstrip()), line_end) if numbers else last
    return Found(match, numbers, last, after, line_end)


def _numbers(match: re.Match[str]) -> list[re.Match[str]]:
    """Find the numbers of one point or box: to the first closing bracket, or to the line's end without brackets."""
    start, end = match.end("run") - len(match["run"].lstrip()), match.end("run")
    closed = (_CLOSER if match.string[start] in _OPENERS else _NEWLINE).search(match.string, start, end)
    numbers = list(NUMBERS.finditer(match.string, start, closed.start() if closed else end))
    # a box may come as two bracketed corners
    return list(NUMBERS.finditer(match.string, start, end)) if match["box"] and len(numbers) == 2 else numbers


def is_said(text: str) -> bool:
    """Whether there is a word or a question in a text, less the tokens that end a turn."""
    return _SAID.search(_CONTROL.sub("", text)) is not None


def is_mentioned(before: str, line: str = "") -> bool:
    """Whether the words ``before`` a line, which begins with ``line``, go on to it as to what is only spoken of.

    So do an order not to do it, an example, somebody's words; what is quoted with ">" below any words is such, too.
    """
    if line.lstrip().startswith(">") and re.search(r"\w", before):
        return True
    return _MENTIONED.search(_FENCE.sub("", before[-_BEFORE:])) is not None


def stands(found: Found, bare: bool) -> bool:
    """Whether an action stands by itself on its line: behind it are its target, an explanation, or further actions.

    In ``bare`` text, which may be prose, there is no explanation, and nothing at all behind a word such as Terminate.
    """
    match, text = found.match, found.match.string
    label = LINE_START.search(text, max(0, match.start() - 60), match.start())
    if not label or is_mentioned(text[max(0, label.start() - _BEFORE) : label.start()], label[0] + match[0]):
        return False
    rest = _CONTROL.sub("", text[found.after : found.line_end])
    if not _SAID.search(rest):
        return True
    if bare and not found.numbers:
        return False
    if named := TARGET.match(text, found.after):
        return not (bare and _SENTENCE.search(named[1]))
    if found.numbers and (further := match.re.search(rest)) and _LINKED.fullmatch(rest, 0, further.start()):
        return True
    return not bare and _EXPLAINED.match(rest) is not None


def in_object(found: Found) -> bool:
    """Whether an action lies inside a JSON object that is still open."""
    text, start = found.match.string, found.match.start()
    return text.count("{", 0, start) > text.count("}", 0, start)


def is_whole(found: Found, end: End) -> bool:
    """Whether an action cannot go on behind the text's end: its bracket is closed, or a line ends behind it.

    At the end of a reply that was not cut knowingly, only a number that touches it is in doubt; one whose decimals are
    missing is, wherever it stands.
    """
    text, run = found.match.string, (found.match["run"] or "").lstrip()
    if found.numbers and _is_broken_off(found.numbers[-1]):
        return False
    if end is End.REPLY:
        return not run or found.last < len(text)
    is_open = bool(run) and run[0] in _OPENERS and not _CLOSER.search(run)
    if end is End.TAG or (not is_open and text.find("\n", found.last) >= 0):
        return True
    return bool(run) and _CLOSED.match(text, found.last) is not None and not is_said(text[found.after :])


def _is_broken_off(number: re.Match[str]) -> bool:
    """Whether the decimals of a number are missing: dots follow it, or "0." is not closed by its bracket."""
    text, end = number.string, number.end()
    if text.startswith(("..", "…"), end):
        return True
    return number[0].lstrip("+-0") in (".", "1.") and not _CLOSED.match(text, end)
