"""What a noun phrase of a request is: a target that was learned, another thing, or nothing that is asked for."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from ibisagent.agent.policies.abstention.known_targets import Name, Targets
from ibisagent.agent.policies.abstention.lexicon import words
from ibisagent.agent.policies.abstention.name_matching import Item, named
from ibisagent.agent.policies.abstention.noun_phrases import Phrase

__all__ = ["Kind", "Worth", "alone", "worth_of"]

Kind = Literal["known", "unknown", "wrong", "vague", "person", "about", "none"]
"""A target that was learned; another one; something abnormal; a thing without a name; whom the picture shows; what is
about a target; nothing."""


class Worth(NamedTuple):
    """What a phrase is; ``item`` says it, ``name`` is the learned one, which ends with ``last`` where that is there."""

    kind: Kind
    item: Item | None = None
    name: Name | None = None
    last: Item | None = None


def worth_of(chain: Sequence[Phrase], targets: Targets) -> Worth:
    """Tell what a phrase with all that hangs on it is."""
    head, rest = alone(chain[0], targets), chain[1:]
    if head.kind in ("known", "unknown") or not rest:
        return _placed(head, rest, targets) if head.kind == "known" else head
    of = rest[0].by == "of"
    if head.kind == "about" or (head.kind in ("vague", "none") and of and not _is_picture(chain[0])):
        inner = worth_of(rest, targets)
        return inner if inner.kind in ("known", "unknown") else head
    return head


def _placed(head: Worth, rest: Sequence[Phrase], targets: Targets) -> Worth:
    """Tell whether a learned target is still that with where it is said to lie."""
    assert head.item is not None
    assert head.name is not None
    for phrase in rest:
        where = alone(phrase, targets)
        if phrase.by not in words("belonging") or where.kind not in ("known", "unknown"):
            continue
        typed = _words_of(phrase.items)
        if joined := _with_place(typed, head.name, targets):
            return Worth("known", head.item, joined, phrase.items[-1])
        strange = phrase.by == "of" and where.kind == "unknown" and not targets.around & set(typed)
        if strange or head.name.target in targets.elsewhere:
            return Worth("unknown", head.item)
    return head


def _with_place(typed: Sequence[str], name: Name, targets: Targets) -> Name | None:
    """Find the name that a place makes with a target: the lesion in the liver is the liver lesion."""
    same = [each.words for each in targets.names if each.target == name.target] if name.target else []
    for ending in (name.words, *same):
        near = named([*typed, *ending], targets)
        if near is not None and near[0].target is not None:
            return near[0]
    return None


def _kept(phrase: Phrase) -> list[Item]:
    return [item for item in phrase.items if item.name is not None or item.text not in words("look")]


def _is_picture(phrase: Phrase) -> bool:
    return any(item.name is None and item.text in words("neutral") for item in phrase.items)


def alone(phrase: Phrase, targets: Targets) -> Worth:
    """Tell what a phrase is without what hangs on it."""
    kept = _kept(phrase)
    if not kept or (kept[-1].name is None and kept[-1].text in words("neutral")):
        return Worth("wrong" if any(item.text in words("wrong") for item in phrase.items) else "none")
    bare = _stripped(kept)
    if not bare:
        return Worth("about")
    if bare[-1].text in words("person"):
        return Worth("person", bare[0])
    if len(bare) == 1 and bare[0].name is not None:
        name = bare[0].name
        return Worth("known", bare[0], name) if name.target is not None else Worth("unknown", bare[0])
    texts = {item.text for item in bare if item.name is None}
    if len(texts) == len(bare) and texts <= words("vague") | words("wrong"):
        return Worth("wrong" if texts & words("wrong") else "vague")
    if phrase.described and bare[-1].text in words("described"):
        return Worth("vague")
    together = named(_words_of(bare), targets) if len(bare) > 1 else None
    if together is not None and together[0].target is not None:
        return Worth("known", bare[0], together[0], bare[-1])
    return Worth("unknown", bare[0])


def _words_of(items: Sequence[Item]) -> list[str]:
    """Give the words that say what it is: of the right lung nodule the last two."""
    return [word for item in items for word in item.text.split() if word not in words("look")]


def _stripped(kept: Sequence[Item]) -> list[Item]:
    """Drop the words before and after a target that are about it."""
    bare = list(kept)
    while bare and bare[0].name is None and bare[0].text in words("about") | words("neutral"):
        bare.pop(0)
    while bare and bare[-1].name is None and bare[-1].text in words("about") | words("after"):
        if len(bare) == 1 and bare[0].text in words("vague"):
            break
        bare.pop()
    return bare
