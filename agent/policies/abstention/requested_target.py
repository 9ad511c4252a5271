"""The target that a request names: a learned one, an unknown one, or none."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from ibisagent.agent.policies.abstention.known_targets import KnownTargets
from ibisagent.agent.policies.abstention.lexicon import tokenize, words_of_kind
from ibisagent.agent.policies.abstention.name_matching import chunk_tokens
from ibisagent.agent.policies.abstention.noun_phrases import NounPhrase, find_noun_phrases
from ibisagent.agent.policies.abstention.phrase_kinds import PhraseKind, PhraseReading, classify_chain, classify_phrase
from ibisagent.agent.policies.abstention.spelling import VARIANT

__all__ = ["ParsedRequest", "TargetMention", "parse_request"]

_ORDER: tuple[PhraseKind, ...] = ("known", "abnormal", "unknown")
_REQUESTED: tuple[PhraseKind, ...] = ("known", "unknown", "person", "abnormal", "vague")


@dataclass(frozen=True, slots=True)
class TargetMention:
    """A mention of a target in a request: the target, None if it was not learned, and its span in characters.

    ``canonical_name``: the name by which the model is asked for it, None if it is typed so.
    """

    target: str | None
    start: int
    end: int
    canonical_name: str | None = None


@dataclass(frozen=True, slots=True)
class ParsedRequest:
    """The mentions in a request: ``known`` targets, or one ``unknown``; neither if it names none.

    ``described``: the targets that a description in it fits; ``abnormal``: any abnormality is requested.
    """

    known: tuple[TargetMention, ...] = ()
    unknown: TargetMention | None = None
    described: tuple[str, ...] = ()
    abnormal: bool = False


@lru_cache(maxsize=1024)
def parse_request(request: str, targets: KnownTargets) -> ParsedRequest:
    """Parse a request into a `ParsedRequest`."""
    plain = request.replace("\u2019", "'")
    split = tokenize(plain)
    if described := tuple(_described_targets([token.text for token in split], targets)):
        return ParsedRequest(described=described)
    chains = _chain_phrases(find_noun_phrases(chunk_tokens(split, targets)))
    readings = [(chain, classify_chain(chain, targets)) for chain in chains if not chain[0].negated]
    asked = [
        pair
        for pair in readings
        if (_is_requested(pair[0], targets) or len(chains) == 1) and pair[1].kind in _REQUESTED
    ]
    return _choose(asked, _REQUESTED, targets) or _choose(readings, _ORDER, targets) or ParsedRequest()


def _is_requested(chain: Sequence[NounPhrase], targets: KnownTargets) -> bool:
    """Whether the phrase is the object of a request verb, or of an attribute such as its mask."""
    return chain[0].requested or (len(chain) > 1 and classify_phrase(chain[0], targets).kind == "attribute")


def _described_targets(typed: Sequence[str], targets: KnownTargets) -> Iterator[str]:
    spaced = f" {' '.join(typed)} "
    for target, said in targets.descriptions:
        if any(f" {' '.join(token.text for token in tokenize(phrase))} " in spaced for phrase in said):
            yield target


def _chain_phrases(found: Sequence[NounPhrase]) -> list[list[NounPhrase]]:
    """Group every phrase with the one that it is attached to."""
    chains: list[list[NounPhrase]] = []
    for phrase in found:
        if phrase.preposition:
            chains[-1].append(phrase)
        else:
            chains.append([phrase])
    return chains


def _choose(
    readings: Sequence[tuple[list[NounPhrase], PhraseReading]], order: Sequence[PhraseKind], targets: KnownTargets
) -> ParsedRequest | None:
    for kind in order:
        same = [(chain, reading) for chain, reading in readings if reading.kind == kind]
        if same and kind == "known":
            return ParsedRequest(known=tuple(_known_mention(reading) for _, reading in same))
        if same and kind in ("unknown", "person"):
            return ParsedRequest(unknown=_unknown_mention(*same[0], targets))
        if same:
            return ParsedRequest(abnormal=kind == "abnormal")
    return None


def _known_mention(reading: PhraseReading) -> TargetMention:
    assert reading.chunk is not None
    assert reading.name is not None
    start, end = reading.chunk.tokens[0].start, (reading.last_chunk or reading.chunk).tokens[-1].end
    typed = reading.name.ambiguous and reading.chunk.distance <= VARIANT
    learned = reading.last_chunk is None and (typed or reading.chunk.text == reading.name.canonical)
    return TargetMention(reading.name.target, start, end, None if learned else reading.name.canonical)


def _unknown_mention(chain: list[NounPhrase], reading: PhraseReading, targets: KnownTargets) -> TargetMention:
    """Return the mention of an unknown target with its attached phrases, but not those of the picture or the person."""
    at = next(number for number, phrase in enumerate(chain) if reading.chunk in phrase.chunks)
    first = last = chain[at]
    for phrase in chain[at + 1 :]:
        if phrase.preposition not in words_of_kind("belonging_preposition") or classify_phrase(
            phrase, targets
        ).kind not in ("known", "unknown"):
            break
        last = phrase
    return TargetMention(None, first.chunks[0].tokens[0].start, last.chunks[-1].tokens[-1].end)
