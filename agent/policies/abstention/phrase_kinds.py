"""Classification of a request's noun phrases: a learned target, another thing, or no target."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from ibisagent.agent.policies.abstention.known_targets import KnownTargets, TargetName
from ibisagent.agent.policies.abstention.lexicon import words_of_kind
from ibisagent.agent.policies.abstention.name_matching import Chunk, match_name
from ibisagent.agent.policies.abstention.noun_phrases import NounPhrase

__all__ = ["PhraseKind", "PhraseReading", "classify_chain", "classify_phrase"]

PhraseKind = Literal["known", "unknown", "abnormal", "vague", "person", "attribute", "none"]
"""A learned target; another thing; something abnormal; a thing without a name; the patient; an attribute of a target,
as its outline; no target."""


class PhraseReading(NamedTuple):
    """The kind of a phrase; ``chunk``: its deciding chunk; ``name``: the learned name, up to ``last_chunk`` if any."""

    kind: PhraseKind
    chunk: Chunk | None = None
    name: TargetName | None = None
    last_chunk: Chunk | None = None


def classify_chain(chain: Sequence[NounPhrase], targets: KnownTargets) -> PhraseReading:
    """Classify a phrase with the phrases attached to it."""
    head, rest = classify_phrase(chain[0], targets), chain[1:]
    if head.kind in ("known", "unknown") or not rest:
        return _classify_with_place(head, rest, targets) if head.kind == "known" else head
    of = rest[0].preposition == "of"
    if head.kind == "attribute" or (head.kind in ("vague", "none") and of and not _is_image(chain[0])):
        inner = classify_chain(rest, targets)
        return inner if inner.kind in ("known", "unknown") else head
    return head


def _classify_with_place(head: PhraseReading, rest: Sequence[NounPhrase], targets: KnownTargets) -> PhraseReading:
    """Classify a learned target with the place it is said to lie at, which can make it another target."""
    assert head.chunk is not None
    assert head.name is not None
    for phrase in rest:
        where = classify_phrase(phrase, targets)
        if phrase.preposition not in words_of_kind("belonging_preposition") or where.kind not in ("known", "unknown"):
            continue
        typed = _words_of(phrase.chunks)
        if joined := _name_with_place(typed, head.name, targets):
            return PhraseReading("known", head.chunk, joined, phrase.chunks[-1])
        strange = phrase.preposition == "of" and where.kind == "unknown" and not targets.surroundings & set(typed)
        if strange or head.name.target in targets.site_specific:
            return PhraseReading("unknown", head.chunk)
    return head


def _name_with_place(typed: Sequence[str], name: TargetName, targets: KnownTargets) -> TargetName | None:
    """Find the name that a place makes with a target: the lesion in the liver is the liver lesion."""
    same = [each.words for each in targets.names if each.target == name.target] if name.target else []
    for ending in (name.words, *same):
        near = match_name([*typed, *ending], targets)
        if near is not None and near[0].target is not None:
            return near[0]
    return None


def _content_chunks(phrase: NounPhrase) -> list[Chunk]:
    return [chunk for chunk in phrase.chunks if chunk.name is not None or chunk.text not in words_of_kind("modifier")]


def _is_image(phrase: NounPhrase) -> bool:
    return any(chunk.name is None and chunk.text in words_of_kind("context_noun") for chunk in phrase.chunks)


def classify_phrase(phrase: NounPhrase, targets: KnownTargets) -> PhraseReading:
    """Classify a phrase without the phrases attached to it."""
    kept = _content_chunks(phrase)
    if not kept or (kept[-1].name is None and kept[-1].text in words_of_kind("context_noun")):
        return PhraseReading(
            "abnormal" if any(chunk.text in words_of_kind("abnormal") for chunk in phrase.chunks) else "none"
        )
    bare = _strip_modifiers(kept)
    if not bare:
        return PhraseReading("attribute")
    if bare[-1].text in words_of_kind("person"):
        return PhraseReading("person", bare[0])
    if len(bare) == 1 and bare[0].name is not None:
        name = bare[0].name
        return PhraseReading("known", bare[0], name) if name.target is not None else PhraseReading("unknown", bare[0])
    texts = {chunk.text for chunk in bare if chunk.name is None}
    if len(texts) == len(bare) and texts <= words_of_kind("vague") | words_of_kind("abnormal"):
        return PhraseReading("abnormal" if texts & words_of_kind("abnormal") else "vague")
    if phrase.has_clause and bare[-1].text in words_of_kind("described_noun"):
        return PhraseReading("vague")
    together = match_name(_words_of(bare), targets) if len(bare) > 1 else None
    if together is not None and together[0].target is not None:
        return PhraseReading("known", bare[0], together[0], bare[-1])
    return PhraseReading("unknown", bare[0])


def _words_of(chunks: Sequence[Chunk]) -> list[str]:
    """Return the words without modifiers: of the right lung nodule the last two."""
    return [word for chunk in chunks for word in chunk.text.split() if word not in words_of_kind("modifier")]


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
