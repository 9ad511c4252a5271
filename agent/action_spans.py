"""Which of the actions matched in a text count: those alone on a line, in no sentence, and complete."""

import re
from enum import Enum
from typing import NamedTuple

from ibisagent.agent.json_actions import NUMBERS

__all__ = [
    "LINE_START",
    "PADDING",
    "TARGET",
    "ActionMatch",
    "TextEnd",
    "TruncatedAction",
    "has_words",
    "is_complete",
    "is_in_json_object",
    "is_only_mentioned",
    "is_standalone",
    "match_action",
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
_OMISSION = re.compile(r"\.\.|…|\s{0,2}[\[<]\s{0,2}(?:\.\.|…|truncat|omit)", re.IGNORECASE)
_WORD_OR_QUESTION = re.compile(r"[\w?]")
_LINKED = re.compile(r"\W*(?:and|then|and then)?\W*", re.IGNORECASE)
_EXPLAINED = re.compile(r"[^\w?:：]*[:：](?!\W*(?:no|not|not yet|not now|never|false|none|0)\W*\Z)", re.IGNORECASE)
_SENTENCE = re.compile(r"\b(?:not|never|would|could|should|will|is|was|are|be)\b", re.IGNORECASE)
_MAX_LINE = 1000  # characters of a line that are read
_MAX_BEFORE = 160  # characters before a line that are read
_ACT_VERBS = (
    "use emit output write say send give return reply answer respond click do choose pick try perform repeat issue "
    "print propose suggest execute place add"
).replace(" ", "|")
_NOUNS = "(?:action|click|point|prompt|reply|answer|output|response|step|move|choice|option)s?"
_ACT_PARTICIPLES = "used|emitted|output|written|said|sent|given|clicked|done|chosen|repeated|issued"
_REGION = r"(?:part|area|region|spot|piece|portion|side|edge|border|zone|structure|tissue|vessel|bit)s?\b"
_MENTION = re.compile(
    rf"(?:(?:\b(?:not|never|cannot)|n['’]t)(?:\s+(?:ever|again|to|just|simply|even|please|under\s+(?:any|no)\s+circumstances?))*"
    rf"(?:\s+(?:(?:{_ACT_VERBS})(?:ing)?|using|writing|giving|be\s+(?:{_ACT_PARTICIPLES}))\b[^.!?;,:\n]{{0,60}}"
    rf"|\s+(?:this|that|these|so|the\s+following))?"
    rf"|\bavoid(?:ing)?(?:\s+(?:\w{{1,12}}ing|this|these|the\s+following|such)\b[^.!?;,:\n]{{0,40}})?"
    rf"|(?:(?:\b(?:no|not|never)|n['’]t)\b(?:(?!\b(?:and|so|but)\b)[^.!?;,:\n]){{0,60}}\b(?:to|from|against)"
    rf"|\b(?:(?:wrong|bad|unwise|incorrect)(?:\s+\w{{1,12}})?|too\s+\w{{1,12}})\s+to)(?:\s+(?:{_ACT_VERBS}))?"
    rf"|\brefrain(?:ing)?\s+from|\bdecided\s+against"
    rf"|\b(?:wrong|bad|incorrect|invalid|forbidden)\s+{_NOUNS}\s+(?:would\s+be|is|looks?\s+like)"
    rf"|\b{_NOUNS}\s+(?:that\s+)?(?:i|we)\s+(?:reject|refuse|discard|decide\s+against)(?:e?d)?"
    rf"|\bformat\s+(?:is|was)|\bfor\s+instance"
    rf"|(?:\A|\n)\W{{0,8}}(?:(?:my|the|your)\s+)?(?:previous|last|earlier|prior)\s+{_NOUNS}"
    rf"|\b(?:this|these|following)\b(?!\s+{_REGION})[^.!?;,:\n]{{0,24}}\b(?:wrong|incorrect|forbidden|mistakes?)"
    rf"|\bexamples?(?:\s+\w{{1,20}}){{0,2}}|\be\.g\.?|\bsuch\s+as"
    rf"|\b(?:said|says|wrote|writes|quotes?|quoted|suggests?|suggested|proposed|replied|mentioned)"
    rf"|\b{_NOUNS}\b[^.!?;,:\n]{{0,24}}\s(?:was|were|had\s+been)"
    rf"|\b(?:instead\s+of|rather\s+than|without)|\bif\s+(?:i|you|we|one)\b[^.!?;,:\n]{{0,40}}"
    rf"|(?:\A|\n)\W{{0,8}}(?:wrong|incorrect|bad|no|forbidden|invalid|undone|rejected|discarded)\s?[:：])[^\w.!?;]*\Z",
    re.IGNORECASE,
)
_DESCRIPTION = re.compile(  # what a mask or a click does not do, which speaks of the picture and of no action
    rf"\b(?:did|does|has|have|had)(?:\s+not|n['’]t)\s+(?:{_ACT_VERBS})\b"
    rf"|\b(?:mask|segmentation|outline|contour)\s+(?:\w{{1,12}}\s+){{0,2}}avoid\w*",
    re.IGNORECASE,
)
_NO_CLICK = re.compile(  # before a stop or an undo: that no click is to follow
    r"(?:\b(?:not|never|no)|n['’]t)\b[^.!?;:\n]{0,30}?\b(?:click|place|add)(?:ing)?"
    r"(?:\s(?:again|any\w*|more|further|another)\b[^.!?;:\n]{0,40})"
    r"|\bno\s+(?:need|reason)\s+to\s+(?:click|place|add)\b[^.!?;:\n]{0,40}",
    re.IGNORECASE,
)
_WITHOUT_PLACE = re.compile(
    r"\W{0,16}(?:action\W{1,4})?(?:terminat|backtrack|undo|stop|finish|done|declin)", re.IGNORECASE
)
_CODE_FENCE = re.compile(r"\s*```\w{0,12}\s*\Z")


class TextEnd(Enum):
    """What comes after a text: a tag, which closes it, the end of the reply, or a place where the reply was cut."""

    TAG = "tag"
    REPLY = "reply"
    CUT = "cut"


class TruncatedAction(Exception):
    """The action is incomplete."""


class ActionMatch(NamedTuple):
    """An action in a text: its numbers, where the last one and the action end, and where the action's line ends."""

    match: re.Match[str]
    numbers: list[re.Match[str]]
    last: int
    after: int
    line_end: int


def match_action(match: re.Match[str]) -> ActionMatch | None:
    """Find the numbers of a match of the action pattern; None unless they are 2 of a point or 4 of a box."""
    numbers = _numbers(match) if match["run"] else []
    if match["run"] and len(numbers) != (4 if match["box"] else 2):
        return None
    last = numbers[-1].end() if numbers else match.end()
    line_end = match.string.find("\n", last, last + _MAX_LINE)
    line_end = line_end if line_end >= 0 else min(last + _MAX_LINE, len(match.string))
    after = min(match.start("run") + len(match["run"].rstrip()), line_end) if numbers else last
    return ActionMatch(match, numbers, last, after, line_end)


def _numbers(match: re.Match[str]) -> list[re.Match[str]]:
    """Find the numbers of one point or box: to the first closing bracket, or to the line's end without brackets."""
    start, end = match.end("run") - len(match["run"].lstrip()), match.end("run")
    closed = (_CLOSER if match.string[start] in _OPENERS else _NEWLINE).search(match.string, start, end)
    numbers = list(NUMBERS.finditer(match.string, start, closed.start() if closed else end))
    # a box may come as two bracketed corners
    return list(NUMBERS.finditer(match.string, start, end)) if match["box"] and len(numbers) == 2 else numbers


def has_words(text: str) -> bool:
    """Whether there is a word or a question mark in a text, apart from the tokens that end a turn."""
    return _WORD_OR_QUESTION.search(_CONTROL.sub("", text)) is not None


def is_only_mentioned(before: str, line: str = "") -> bool:
    """Whether the text ``before`` a line only mentions the action in it; ``line`` is what the line begins with.

    It does so as a prohibition, an example or a quotation; a line that begins with ">" below any words is quoted too.
    """
    if line.lstrip().startswith(">") and re.search(r"\w", before):
        return True
    nearest = _DESCRIPTION.sub(" ", _CODE_FENCE.sub("", before[-_MAX_BEFORE:]))
    if _WITHOUT_PLACE.match(line):
        nearest = _NO_CLICK.sub(" . ", nearest)
    return _MENTION.search(nearest) is not None


def is_standalone(found: ActionMatch, bare: bool) -> bool:
    """Whether an action is alone on its line: followed only by its target, an explanation, or further actions.

    In ``bare`` text, which may be prose, no explanation may follow, and nothing at all after a word such as Terminate.
    """
    match, text = found.match, found.match.string
    label = LINE_START.search(text, max(0, match.start() - 60), match.start())
    if not label or is_only_mentioned(text[max(0, label.start() - _MAX_BEFORE) : label.start()], label[0] + match[0]):
        return False
    rest = _CONTROL.sub("", text[found.after : found.line_end])
    if not _WORD_OR_QUESTION.search(rest):
        return True
    if bare and not found.numbers:
        return False
    if named := TARGET.match(text, found.after):
        return not (bare and _SENTENCE.search(named[1]))
    if found.numbers and (further := match.re.search(rest)) and _LINKED.fullmatch(rest, 0, further.start()):
        return True
    return not bare and _EXPLAINED.match(rest) is not None


def is_in_json_object(found: ActionMatch) -> bool:
    """Whether an action lies inside a JSON object that is still open."""
    text, start = found.match.string, found.match.start()
    return text.count("{", 0, start) > text.count("}", 0, start)


def is_complete(found: ActionMatch, end: TextEnd) -> bool:
    """Whether an action cannot continue after the text's end: its bracket is closed, or a line ends after it.

    At the end of a reply that is not known to be cut, only a number that touches the end is in doubt; a number without
    its decimals is incomplete anywhere.
    """
    text, run = found.match.string, (found.match["run"] or "").lstrip()
    if found.numbers and _is_truncated_number(found.numbers[-1]):
        return False
    is_open = bool(run) and run[0] in _OPENERS and not _CLOSER.search(run)
    if is_open and _CONTROL.match(text, found.last):
        return False
    if end is TextEnd.REPLY:
        return not run or found.last < len(text)
    if end is TextEnd.TAG or (not is_open and text.find("\n", found.last) >= 0):
        return True
    return bool(run) and _CLOSED.match(text, found.last) is not None and not has_words(text[found.after :])


def _is_truncated_number(number: re.Match[str]) -> bool:
    """Whether decimals of a number are missing: a mark of omission follows, or "0." is not closed by its bracket."""
    text, end = number.string, number.end()
    if _OMISSION.match(text, end):
        return True
    return number[0].lstrip("+-0") in (".", "1.") and not _CLOSED.match(text, end)
