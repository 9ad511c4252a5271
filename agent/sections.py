"""Split a reply at its tags: thought, action, answer, and the text outside of them."""

import re
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from ibisagent.agent.actions import TAG
from ibisagent.agent.reading import MANY, has_action
from ibisagent.agent.standing import is_mentioned

__all__ = ["Sections", "joined", "split", "tag_repairs"]

_CLICK_TAGS = ["<think>", "</think>", "<action>", "</action>"]
_STOP_TAGS = [*_CLICK_TAGS, "<answer>", "</answer>"]
_TORN = re.compile(r"<\s{0,4}/\s{0,4}[a-z]{0,8}\Z", re.IGNORECASE)
_NEGATED = re.compile(r"(?:\b(?:not|never|cannot)|n['’]t)\b[^.!?,;:]{0,8}\Z", re.IGNORECASE)
_WORD = re.compile(r"\w")
_LINE = 400  # characters beside a tag that are looked at


class Sections(NamedTuple):
    """The pieces of each section in the order of the text, and its tags in canonical spelling and as they came.

    ``last``: the section that the reply ends in, "" outside the tags; ``torn``: it ends in a part of an end tag.
    """

    think: list[str]
    action: list[str]
    answer: list[str]
    outside: list[str]
    tags: list[str]
    written: list[str]
    last: str = ""
    torn: bool = False


def joined(pieces: list[str]) -> str:
    """Join the pieces of a section, a line each, without the whitespace around them."""
    return "\n".join(filter(None, (piece.strip() for piece in pieces)))


def split(text: str) -> Sections:
    """Split at the tags; tags inside a thought are text, unless one by itself at its end is the only action."""
    torn = _TORN.search(text, max(0, len(text) - 18))
    if torn and any(tag.startswith("".join(torn[0].split()).lower()) for tag in _STOP_TAGS):
        return _split(text[: torn.start()])._replace(torn=True)
    return _split(text)


def _split(text: str) -> Sections:
    found = list(islice(TAG.finditer(text), MANY))
    last = max((index for index, tag in enumerate(found) if _plain(tag) == "</think>"), default=-1)
    sections = _walk(text, found, last)
    if last < 0 or joined(sections.action + sections.answer) or has_action(joined(sections.outside)):
        return sections
    return _walk(text, found, -1) if _ends_in_action(text, found[: last + 1]) else sections


def _plain(tag: re.Match[str]) -> str:
    name = tag[2].lower()
    return f"<{tag[1]}{'think' if name[0] == 't' else name}>"


def _ends_in_action(text: str, found: list[re.Match[str]]) -> bool:
    """Tell whether nothing but an action tag on its own line, and its answer, stands at the end of a thought."""
    plain = [_plain(tag) for tag in found]
    first = max((index for index, tag in enumerate(plain) if tag == "<action>"), default=-1)
    if first < 0 or plain[first:] not in (["<action>", *rest, "</think>"] for rest in _ENDS):
        return False
    gaps = [text[found[index].end() : found[index + 1].start()] for index in range(first + 1, len(found) - 1, 2)]
    start = found[first - 1].end() if first else 0
    earlier, _, line = text[start : found[first].start()].rpartition("\n")
    return not any(gap.strip() for gap in (*gaps, line)) and not is_mentioned(earlier)


_ENDS = (["</action>"], ["</action>", "<answer>", "</answer>"])


def _walk(text: str, found: list[re.Match[str]], thought_end: int) -> Sections:
    """Give each piece to its section; tags before the one of index ``thought_end`` do not end a thought."""
    sections = Sections([], [], [], [], [], [])
    by_name = {"think": sections.think, "action": sections.action, "answer": sections.answer, "": sections.outside}
    here, start, quoted = "", 0, False
    for index, tag in enumerate(found):
        plain = _plain(tag)
        name = plain.strip("</>")
        sections.tags.append(plain)
        sections.written.append(tag[0])
        quoted = (quoted and plain == "</action>") or (
            plain == "<action>" and not here and _is_quoted(text, start, found[index : index + 3])
        )
        if quoted or (here == "think" != name and index < thought_end):
            continue
        by_name[here or (name if tag[1] else "")].append(text[start : tag.start()])
        here, start = "" if tag[1] else name, tag.end()
    by_name[here].append(text[start:])
    return sections._replace(last=here)


def _is_quoted(text: str, start: int, tags: list[re.Match[str]]) -> bool:
    """Tell whether a sentence only mentions an action tag: it goes on after it on the same line, or negates it.

    It may have begun on the line before.
    """
    earlier, _, before = text[max(start, tags[0].start() - _LINE) : tags[0].start()].rpartition("\n")
    if not _WORD.search(before):
        return is_mentioned(earlier, before)
    after = ""
    if len(tags) > 1 and _plain(tags[1]) == "</action>":
        end = tags[2].start() if len(tags) > 2 else len(text)
        after = text[tags[1].end() : min(end, tags[1].end() + _LINE)].partition("\n")[0]
    return bool(_WORD.search(after) or _NEGATED.search(before))


def tag_repairs(sections: Sections, stop: bool) -> Iterator[str]:
    """List how the tags differ from the canonical ones, those of a stop or of any other action."""
    if sections.tags != sections.written:
        yield "spelling of a tag"
    expected = _STOP_TAGS if stop else _CLICK_TAGS
    seen = [tag for tag in sections.tags if stop or "answer" not in tag]
    known = set(seen)
    if missing := [tag for tag in expected if tag not in known]:
        yield "missing " + " ".join(missing)
    elif seen != expected:
        yield "tags repeated or out of order"
    elif not all("\n" in piece for piece in sections.outside[1:-1]):
        yield "two tags on a line"
    if joined(sections.outside):
        yield "text outside the tags"
    if sections.torn:
        yield "a tag cut short"
