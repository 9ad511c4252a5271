"""Split a reply at its tags: thought, action, answer, and the text outside of them."""

import re
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from ibisagent.agent.action_parser import MAX_MATCHES, has_action
from ibisagent.agent.action_spans import is_only_mentioned
from ibisagent.agent.actions import TAG

__all__ = ["Sections", "join_pieces", "split_sections", "tag_repairs"]

_CLICK_TAGS = ["<think>", "</think>", "<action>", "</action>"]
_STOP_TAGS = [*_CLICK_TAGS, "<answer>", "</answer>"]
_CUT_TAG = re.compile(r"<\s{0,4}/\s{0,4}[a-z]{0,8}\Z", re.IGNORECASE)
_NEGATED = re.compile(r"(?:\b(?:not|never|cannot)|n['’]t)\b[^.!?,;:]{0,8}\Z", re.IGNORECASE)
_WORD = re.compile(r"\w")
_MAX_ACTION = 40  # characters behind a tag that show which action it is
_MAX_LINE = 400  # characters beside a tag that are read


class Sections(NamedTuple):
    """The pieces of each section in the order of the text, and its tags in canonical spelling and as written.

    ``last``: the section that the reply ends in, "" outside the tags; ``cut_tag``: it ends in a part of an end tag.
    """

    think: list[str]
    action: list[str]
    answer: list[str]
    outside: list[str]
    tags: list[str]
    written: list[str]
    last: str = ""
    cut_tag: bool = False


def join_pieces(pieces: list[str]) -> str:
    """Join the pieces of a section, a line each, without the whitespace around them."""
    return "\n".join(filter(None, (piece.strip() for piece in pieces)))


def split_sections(text: str) -> Sections:
    """Split at the tags; tags inside a thought are text, unless one alone at its end is the only action."""
    cut = _CUT_TAG.search(text, max(0, len(text) - 18))
    if cut and any(tag.startswith("".join(cut[0].split()).lower()) for tag in _STOP_TAGS):
        return _split_tags(text[: cut.start()])._replace(cut_tag=True)
    return _split_tags(text)


def _split_tags(text: str) -> Sections:
    found = list(islice(TAG.finditer(text), MAX_MATCHES))
    last = max((index for index, tag in enumerate(found) if _canonical_tag(tag) == "</think>"), default=-1)
    sections = _assign_pieces(text, found, last)
    if last < 0 or join_pieces(sections.action + sections.answer) or has_action(join_pieces(sections.outside)):
        return sections
    return _assign_pieces(text, found, -1) if _ends_in_action(text, found[: last + 1]) else sections


def _canonical_tag(tag: re.Match[str]) -> str:
    name = tag[2].lower()
    return f"<{tag[1]}{'think' if name[0] == 't' else name}>"


def _ends_in_action(text: str, found: list[re.Match[str]]) -> bool:
    """Whether a thought ends in nothing but an action tag on its own line, and its answer."""
    plain = [_canonical_tag(tag) for tag in found]
    first = max((index for index, tag in enumerate(plain) if tag == "<action>"), default=-1)
    if first < 0 or plain[first:] not in (["<action>", *rest, "</think>"] for rest in _ENDS):
        return False
    gaps = [text[found[index].end() : found[index + 1].start()] for index in range(first + 1, len(found) - 1, 2)]
    start = found[first - 1].end() if first else 0
    earlier, _, line = text[start : found[first].start()].rpartition("\n")
    return not any(gap.strip() for gap in (*gaps, line)) and not is_only_mentioned(earlier)


_ENDS = (["</action>"], ["</action>", "<answer>", "</answer>"])


def _assign_pieces(text: str, found: list[re.Match[str]], thought_end: int) -> Sections:
    """Assign each piece to its section; tags before the one of index ``thought_end`` do not end a thought."""
    sections = Sections([], [], [], [], [], [])
    by_name = {"think": sections.think, "action": sections.action, "answer": sections.answer, "": sections.outside}
    here, start, quoted = "", 0, False
    for index, tag in enumerate(found):
        plain = _canonical_tag(tag)
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
    """Whether a sentence only mentions an action tag: it continues after it on the same line, or negates it.

    The sentence may have begun on the line before.
    """
    earlier, _, before = text[max(start, tags[0].start() - _MAX_LINE) : tags[0].start()].rpartition("\n")
    if not _WORD.search(before):
        return is_only_mentioned(earlier, before + text[tags[0].end() : tags[0].end() + _MAX_ACTION])
    after = ""
    if len(tags) > 1 and _canonical_tag(tags[1]) == "</action>":
        end = tags[2].start() if len(tags) > 2 else len(text)
        after = text[tags[1].end() : min(end, tags[1].end() + _MAX_LINE)].partition("\n")[0]
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
    if join_pieces(sections.outside):
        yield "text outside the tags"
    if sections.cut_tag:
        yield "a tag cut short"
