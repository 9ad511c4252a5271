"""What a request asks for: a target that was learned, one that was not, or none by name."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple

from ibisagent.agent.policies.knowing.naming import Item, itemised, named
from ibisagent.agent.policies.knowing.phrases import Phrase, phrases
from ibisagent.agent.policies.knowing.slips import FORM
from ibisagent.agent.policies.knowing.targets import Name, Targets
from ibisagent.agent.policies.knowing.words import tokens, words

__all__ = ["Asked", "Found", "understand"]

Kind = Literal["known", "unknown", "wrong", "vague", "person", "about", "none"]
"""A target that was learned; another one; something abnormal; a thing without a name; whom the picture shows; what is
about a target; nothing."""

_ORDER: tuple[Kind, ...] = ("known", "wrong", "unknown")
_ASKED: tuple[Kind, ...] = ("known", "unknown", "person", "wrong", "vague")


@dataclass(frozen=True, slots=True)
class Found:
    """A target in a request: what it is, None where it was not learned, and where it stands in characters.

    ``said``: how the model is asked for it, None where it is typed as it was learned.
    """

    target: str | None
    start: int
    end: int
    said: str | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request names: targets that were ``known``, or one that is ``unknown``; neither where it names none."""

    known: tuple[Found, ...] = ()
    unknown: Found | None = None


class _Worth(NamedTuple):
    kind: Kind
    item: Item | None = None
    name: Name | None = None
    last: Item | None = None  # up to which the name goes, where it is more than the item


@lru_cache(maxsize=1024)
def understand(request: str, targets: Targets) -> Asked:
    """Read a request; see `Asked`."""
    plain = request.replace("\u2019", "'")
    split = tokens(plain)
    if _described([token.text for token in split], targets):
        return Asked()
    chains = _chains(phrases(itemised(split, targets)))
    worths = [(chain, _worth(chain, targets)) for chain in chains if not chain[0].denied]
    asked = [pair for pair in worths if (_is_asked(pair[0], targets) or len(chains) == 1) and pair[1].kind in _ASKED]
    return _chosen(asked, _ASKED, targets) or _chosen(worths, _ORDER, targets) or Asked()


def _is_asked(chain: Sequence[Phrase], targets: Targets) -> bool:
    """Tell whether something is to be done with it, or it has a mask already."""
    return chain[0].asked or (len(chain) > 1 and _alone(chain[0], targets).kind == "about")


def _described(typed: Sequence[str], targets: Targets) -> bool:
    spaced = f" {' '.join(typed)} "
    return any(f" {' '.join(token.text for token in tokens(phrase))} " in spaced for phrase in targets.described)


def _chains(found: Sequence[Phrase]) -> list[list[Phrase]]:
    """Put every phrase behind the one on which it hangs."""
    chains: list[list[Phrase]] = []
    for phrase in found:
        if phrase.by:
            chains[-1].append(phrase)
        else:
            chains.append([phrase])
    return chains


def _chosen(worths: Sequence[tuple[list[Phrase], _Worth]], order: Sequence[Kind], targets: Targets) -> Asked | None:
    for kind in order:
        same = [(chain, worth) for chain, worth in worths if worth.kind == kind]
        if same and kind == "known":
            return Asked(known=tuple(_found(worth) for _, worth in same))
        if same and kind in ("unknown", "person"):
            return Asked(unknown=_span(*same[0], targets))
        if same:
            return Asked()
    return None


def _found(worth: _Worth) -> Found:
    assert worth.item is not None
    assert worth.name is not None
    start, end = worth.item.tokens[0].start, (worth.last or worth.item).tokens[-1].end
    typed = worth.name.loose and worth.item.far <= FORM
    learned = worth.last is None and (typed or worth.item.text == worth.name.said)
    return Found(worth.name.target, start, end, None if learned else worth.name.said)


def _span(chain: list[Phrase], worth: _Worth, targets: Targets) -> Found:
    """Give where something unknown stands, with what hangs on it but the picture and the person."""
    at = next(number for number, phrase in enumerate(chain) if worth.item in phrase.items)
    first = last = chain[at]
    for phrase in chain[at + 1 :]:
        if phrase.by not in words("belonging") or _alone(phrase, targets).kind not in ("known", "unknown"):
            break
        last = phrase
    return Found(None, first.items[0].tokens[0].start, last.items[-1].tokens[-1].end)


def _worth(chain: Sequence[Phrase], targets: Targets) -> _Worth:
    """Tell what a phrase with all that hangs on it is."""
    head, rest = _alone(chain[0], targets), chain[1:]
    if head.kind in ("known", "unknown") or not rest:
        return _placed(head, rest, targets) if head.kind == "known" else head
    of = rest[0].by == "of"
    if head.kind == "about" or (head.kind in ("vague", "none") and of and not _is_picture(chain[0])):
        inner = _worth(rest, targets)
        return inner if inner.kind in ("known", "unknown") else head
    return head


def _placed(head: _Worth, rest: Sequence[Phrase], targets: Targets) -> _Worth:
    """Tell whether a learned target is still that with where it is said to lie."""
    assert head.item is not None
    assert head.name is not None
    elsewhere = head.name.loose or head.name.target in targets.elsewhere
    for phrase in rest:
        where = _alone(phrase, targets)
        if phrase.by not in words("belonging") or where.kind not in ("known", "unknown"):
            continue
        typed = _words_of(phrase.items)
        if joined := _with_place(typed, head.name, targets):
            return _Worth("known", head.item, joined, phrase.items[-1])
        strange = phrase.by == "of" and not targets.around & set(typed) and where.kind == "unknown"
        if elsewhere and head.name.said not in ("kidney", "lung"):
            return _Worth("unknown", head.item)
        if strange:
            return _Worth("unknown", head.item)
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


def _alone(phrase: Phrase, targets: Targets) -> _Worth:
    """Tell what a phrase is without what hangs on it."""
    kept = _kept(phrase)
    if not kept or (kept[-1].name is None and kept[-1].text in words("neutral")):
        return _Worth("none")
    bare = _stripped(kept)
    if not bare:
        return _Worth("about")
    if bare[-1].text in words("person"):
        return _Worth("person", bare[0])
    if len(bare) == 1 and bare[0].name is not None:
        name = bare[0].name
        return _Worth("known", bare[0], name) if name.target is not None else _Worth("unknown", bare[0])
    texts = {item.text for item in bare if item.name is None}
    if len(texts) == len(bare) and texts <= words("vague") | words("wrong"):
        return _Worth("wrong" if texts & words("wrong") else "vague")
    if phrase.described and bare[-1].text in words("described"):
        return _Worth("vague")
    together = named(_words_of(bare), targets) if len(bare) > 1 else None
    if together is not None and together[0].target is not None:
        return _Worth("known", bare[0], together[0], bare[-1])
    return _Worth("unknown", bare[0])


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
