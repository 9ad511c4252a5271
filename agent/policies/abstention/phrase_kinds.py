"""Classification of a request's noun phrases: a learned target, another thing, or no target."""

from collections.abc import Sequence
from itertools import product
from typing import Literal, NamedTuple

from ibisagent.agent.policies.abstention.known_targets import KnownTargets, TargetName
from ibisagent.agent.policies.abstention.lexicon import is_modifier, words_of_kind
from ibisagent.agent.policies.abstention.name_matching import Chunk, match_name
from ibisagent.agent.policies.abstention.noun_phrases import NounPhrase

__all__ = ["PhraseKind", "PhraseReading", "classify_chain", "classify_phrase", "is_image"]

PhraseKind = Literal["known", "unknown", "abnormal", "vague", "person", "attribute", "none"]
"""A learned target; another thing; something abnormal; a thing without a name; the patient; an attribute of a target,
as its outline; no target."""


class PhraseReading(NamedTuple):
    """The kind of a phrase; ``chunk``: its deciding chunk; ``name``: the learned name, up to ``last_chunk`` if any."""

    kind: PhraseKind
    chunk: Chunk | None = None
    name: TargetName | None = None
    last_chunk: Chunk | None = None


def classify_chain(chain: Sequence[NounPhrase], targets: KnownTargets, *, requested: bool = False) -> PhraseReading:
    """Classify a phrase with the phrases attached to it; ``requested``: it is the object of a request verb."""
    as_target = requested and not chain[0].may_be_image  # the pancreas scan is a pancreas, this pancreas scan an image
    head, rest = classify_phrase(chain[0], targets, as_target=as_target), chain[1:]
    image = is_image(chain[0])
    after_for = next((number for number, phrase in enumerate(rest) if image and phrase.attached_by == "for"), len(rest))
    if after_for < len(rest) and (inner := classify_chain(rest[after_for:], targets)).kind == "known":
        return inner
    if head.kind == "known" or not rest:
        return _classify_with_place(head, rest, targets) if head.kind == "known" else head
    if head.kind == "unknown" and _is_drawing(chain[0], rest[0].attached_by):
        inner = classify_chain(rest, targets)
        return inner if inner.kind in ("known", "unknown") else head
    of = rest[0].attached_by == "of" and (as_target or not image)
    same = rest[0].attached_by in ("for", "with", "to") and not _content_chunks(chain[0])  # the same for the liver
    verb = rest[0].attached_by not in words_of_kind("preposition")
    if (
        head.kind == "attribute"
        or (head.kind in ("vague", "none") and of)
        or same
        or (head.kind in ("person", "none") and verb)
    ):
        inner = classify_chain(rest, targets)
        return inner if inner.kind in ("known", "unknown") else head
    return classify_chain(rest[after_for:], targets) if head.kind == "none" and after_for < len(rest) else head


def _is_drawing(phrase: NounPhrase, attached_by: str) -> bool:
    """Whether a phrase is a mask or an outline of the next one, with words that are no modifiers in the lexicon."""
    word = phrase.chunks[-1].text
    if any(chunk.name is not None for chunk in phrase.chunks):
        return False
    drawn = word in words_of_kind("drawing") and attached_by in ("of", "around", "for")
    return drawn or (word in words_of_kind("encircling_line") and attached_by == "around")


def _classify_with_place(head: PhraseReading, rest: Sequence[NounPhrase], targets: KnownTargets) -> PhraseReading:
    """Classify a learned target with the place it is said to lie at, which can make it another target."""
    assert head.chunk is not None
    assert head.name is not None
    name, target = " ".join(head.name.words), head.name.target
    fixed = name in targets.site_specific and target not in targets.site_specific
    near = [phrase for phrase in rest if fixed or phrase.attached_by in words_of_kind("belonging_preposition")]
    readings = [(phrase, classify_phrase(phrase, targets)) for phrase in near]
    places = [(phrase, where) for phrase, where in readings if where.kind in ("known", "unknown")]
    for phrase, _ in places:
        if joined := _name_with_place(_words_of(phrase.chunks), head.name, targets):
            return PhraseReading("known", head.chunk, joined, phrase.chunks[-1])
    if any(_is_at_other_site(phrase, where, head.name, targets, fixed=fixed) for phrase, where in places):
        return PhraseReading("unknown", head.chunk)
    return head


def _is_at_other_site(
    phrase: NounPhrase, where: PhraseReading, name: TargetName, targets: KnownTargets, *, fixed: bool
) -> bool:
    """Whether a place makes a target another one; ``fixed``: the name holds at the site of its target only."""
    if where.name is not None and where.name.target == name.target:
        return False
    surrounds = bool(targets.surroundings & set(_words_of(phrase.chunks)))
    if fixed:
        return where.kind == "known" or (phrase.attached_by != "on" and not surrounds)
    of = phrase.attached_by == "of" and where.kind == "unknown" and not surrounds and len(name.words) == 1
    return of or name.target in targets.site_specific


def _name_with_place(typed: Sequence[str], name: TargetName, targets: KnownTargets) -> TargetName | None:
    """Find the name that a place makes with a target: the lesion in the liver is the liver lesion."""
    same = [each.words for each in targets.names if each.target == name.target] if name.target else []
    parts = [[word] for word in typed] if len(typed) > 1 else []
    for part, ending in product([typed, *parts], (name.words, *same)):
        near = match_name([*part, *ending], targets)
        if near is not None and near[0].target is not None:
            return near[0]
    return None


def _content_chunks(phrase: NounPhrase) -> list[Chunk]:
    return [chunk for chunk in phrase.chunks if chunk.name is not None or not is_modifier(chunk.text)]


def is_image(phrase: NounPhrase) -> bool:
    """Whether a phrase has a word for the picture or its context."""
    return any(chunk.name is None and chunk.text in words_of_kind("context_noun") for chunk in phrase.chunks)


def _strip_context(kept: list[Chunk]) -> list[Chunk]:
    """Return the chunks without the context nouns after a target; all of them if they name none."""
    bare = list(kept)
    while bare and bare[-1].name is None and bare[-1].text in words_of_kind("context_noun"):
        bare.pop()
    kinds = ("context_noun", "attribute", "vague", "abnormal", "person")
    empty = frozenset().union(*(words_of_kind(kind) for kind in kinds))
    return bare if any(chunk.name is not None or chunk.text not in empty for chunk in bare) else kept


def classify_phrase(phrase: NounPhrase, targets: KnownTargets, *, as_target: bool = False) -> PhraseReading:
    """Classify a phrase without the phrases attached to it.

    ``as_target``: it is not the picture, although it may end with a word for it.
    """
    kept = _strip_context(_content_chunks(phrase)) if as_target else _content_chunks(phrase)
    if as_target and len(kept) == 1 and kept[0].text in words_of_kind("depicted_noun"):
        return PhraseReading("unknown", kept[0])
    if not kept or (kept[-1].name is None and kept[-1].text in words_of_kind("context_noun")):
        return PhraseReading(
            "abnormal" if any(chunk.text in words_of_kind("abnormal") for chunk in phrase.chunks) else "none"
        )
    bare = _strip_modifiers(kept)
    if not bare:
        return PhraseReading("attribute")
    if bare[-1].text in words_of_kind("person"):
        return PhraseReading("person", bare[0])
    if bare[0].name is not None and all(chunk.name == bare[0].name for chunk in bare):  # once, or typed again and again
        name = bare[0].name
        return PhraseReading("known", bare[0], name) if name.target is not None else PhraseReading("unknown", bare[0])
    texts = {chunk.text for chunk in bare if chunk.name is None}
    if len(texts) == len(bare) and texts <= words_of_kind("vague") | words_of_kind("abnormal"):
        return PhraseReading("abnormal" if texts & words_of_kind("abnormal") else "vague")
    if phrase.has_clause and len(bare) == 1 and bare[-1].text in words_of_kind("described_noun"):
        return PhraseReading("vague")
    together = match_name(_words_of(bare), targets) if len(bare) > 1 else None
    if together is not None and together[0].target is not None:
        return PhraseReading("known", bare[0], together[0], bare[-1])
    return PhraseReading("unknown", bare[0])


def _words_of(chunks: Sequence[Chunk]) -> list[str]:
    """Return the words without modifiers: of the right lung nodule the last two."""
    return [word for chunk in chunks for word in chunk.text.split() if not is_modifier(word)]


def _strip_modifiers(kept: Sequence[Chunk]) -> list[Chunk]:
    """Return the chunks without the attributes before and after a target."""
    bare = list(kept)
    while bare and bare[0].name is None and bare[0].text in words_of_kind("attribute") | words_of_kind("context_noun"):
        bare.pop(0)
    while (
        bare and bare[-1].name is None and bare[-1].text in words_of_kind("attribute") | words_of_kind("trailing_noun")
    ):
        if len(bare) == 1 and bare[0].text in words_of_kind("vague"):
            break
        bare.pop()
    return bare
