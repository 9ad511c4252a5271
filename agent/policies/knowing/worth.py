"""What a noun phrase of a request is: a target that was learned, another thing, or nothing that is asked for."""

from collections.abc import Sequence
from itertools import product
from typing import Literal, NamedTuple

from ibisagent.agent.policies.knowing.naming import Item, named
from ibisagent.agent.policies.knowing.phrases import Phrase
from ibisagent.agent.policies.knowing.targets import Name, Targets
from ibisagent.agent.policies.knowing.words import is_look, words

__all__ = ["Kind", "Worth", "alone", "is_picture", "worth_of"]

Kind = Literal["known", "unknown", "wrong", "vague", "person", "about", "none"]
"""A target that was learned; another one; something abnormal; a thing without a name; whom the picture shows; what is
about a target; nothing."""


class Worth(NamedTuple):
    """What a phrase is; ``item`` says it, ``name`` is the learned one, which ends with ``last`` where that is there."""

    kind: Kind
    item: Item | None = None
    name: Name | None = None
    last: Item | None = None


def worth_of(chain: Sequence[Phrase], targets: Targets, *, asked: bool = False) -> Worth:
    """Tell what a phrase with all that hangs on it is; ``asked``: something is to be done with it."""
    wanted = asked and not chain[0].pictured  # the pancreas scan is a pancreas, this pancreas scan a picture
    head, rest = alone(chain[0], targets, wanted=wanted), chain[1:]
    picture = is_picture(chain[0])
    sought = next((number for number, phrase in enumerate(rest) if picture and phrase.by == "for"), len(rest))
    if sought < len(rest) and (inner := worth_of(rest[sought:], targets)).kind == "known":
        return inner
    if head.kind in ("known", "unknown") or not rest:
        return _placed(head, rest, targets) if head.kind == "known" else head
    of = rest[0].by == "of" and (wanted or not picture)
    verb = rest[0].by not in words("before")
    if head.kind == "about" or (head.kind in ("vague", "none") and of) or (head.kind in ("person", "none") and verb):
        inner = worth_of(rest, targets)
        return inner if inner.kind in ("known", "unknown") else head
    return worth_of(rest[sought:], targets) if head.kind == "none" and sought < len(rest) else head


def _placed(head: Worth, rest: Sequence[Phrase], targets: Targets) -> Worth:
    """Tell whether a learned target is still that with where it is said to lie."""
    assert head.item is not None
    assert head.name is not None
    bound = " ".join(head.name.words) in targets.elsewhere and head.name.target not in targets.elsewhere
    near = [phrase for phrase in rest if bound or phrase.by in words("belonging")]
    places = [(phrase, where) for phrase in near if (where := alone(phrase, targets)).kind in ("known", "unknown")]
    for phrase, _ in places:
        if joined := _with_place(_words_of(phrase.items), head.name, targets):
            return Worth("known", head.item, joined, phrase.items[-1])
    if any(_is_elsewhere(phrase, where, head.name, targets, bound=bound) for phrase, where in places):
        return Worth("unknown", head.item)
    return head


def _is_elsewhere(phrase: Phrase, where: Worth, name: Name, targets: Targets, *, bound: bool) -> bool:
    """Tell whether a place makes another thing of a target; ``bound``: the name holds in its own place alone."""
    if where.name is not None and where.name.target == name.target:
        return False
    around = bool(targets.around & set(_words_of(phrase.items)))
    if bound:
        return where.kind == "known" or (phrase.by != "on" and not around)
    of = phrase.by == "of" and where.kind == "unknown" and not around and len(name.words) == 1
    return of or name.target in targets.elsewhere


def _with_place(typed: Sequence[str], name: Name, targets: Targets) -> Name | None:
    """Find the name that a place makes with a target: the lesion in the liver is the liver lesion."""
    same = [each.words for each in targets.names if each.target == name.target] if name.target else []
    parts = [[word] for word in typed] if len(typed) > 1 else []
    for part, ending in product([typed, *parts], (name.words, *same)):
        near = named([*part, *ending], targets)
        if near is not None and near[0].target is not None:
            return near[0]
    return None


def _kept(phrase: Phrase) -> list[Item]:
    return [item for item in phrase.items if item.name is not None or not is_look(item.text)]


def is_picture(phrase: Phrase) -> bool:
    """Whether a word for a picture is in a phrase."""
    return any(item.name is None and item.text in words("neutral") for item in phrase.items)


def _unpictured(kept: list[Item]) -> list[Item]:
    """Drop the words for the picture that stand behind a target; without one they are what is named."""
    bare = list(kept)
    while bare and bare[-1].name is None and bare[-1].text in words("neutral"):
        bare.pop()
    empty = words("neutral") | words("about") | words("vague") | words("wrong") | words("person")
    return bare if any(item.name is not None or item.text not in empty for item in bare) else kept


def alone(phrase: Phrase, targets: Targets, *, wanted: bool = False) -> Worth:
    """Tell what a phrase is without what hangs on it; ``wanted``: it is no picture, although it may end as one."""
    kept = _unpictured(_kept(phrase)) if wanted else _kept(phrase)
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
    if phrase.described and len(bare) == 1 and bare[-1].text in words("described"):
        return Worth("vague")
    together = named(_words_of(bare), targets) if len(bare) > 1 else None
    if together is not None and together[0].target is not None:
        return Worth("known", bare[0], together[0], bare[-1])
    return Worth("unknown", bare[0])


def _words_of(items: Sequence[Item]) -> list[str]:
    """Give the words that say what it is: of the right lung nodule the last two."""
    return [word for item in items for word in item.text.split() if not is_look(word)]


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
