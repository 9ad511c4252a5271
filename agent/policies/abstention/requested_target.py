"""The target that a request names: a learned one, an unknown one, or none."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from ibisagent.agent.policies.abstention.known_targets import KnownTargets
from ibisagent.agent.policies.abstention.lexicon import Token, tokenize, words_of_kind
from ibisagent.agent.policies.abstention.name_matching import chunk_tokens, match_name
from ibisagent.agent.policies.abstention.noun_phrases import NounPhrase, find_noun_phrases
from ibisagent.agent.policies.abstention.phrase_kinds import (
    PhraseKind,
    PhraseReading,
    classify_chain,
    classify_phrase,
    is_image,
)
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

    ``described``: the targets that a description in it fits; ``abnormal``: any abnormality is requested;
    ``other_unknown``: unknown targets that may be requested beside the known ones.
    """

    known: tuple[TargetMention, ...] = ()
    unknown: TargetMention | None = None
    described: tuple[str, ...] = ()
    abnormal: bool = False
    other_unknown: tuple[TargetMention, ...] = ()


@lru_cache(maxsize=1024)
def parse_request(request: str, targets: KnownTargets) -> ParsedRequest:
    """Parse a request into a `ParsedRequest`."""
    plain = request.replace("\u2019", "'")
    split = tokenize(plain)
    if described := tuple(_described_targets([token.text for token in split], targets)):
        return ParsedRequest(described=described)
    groups = _group_coordinated(_chain_phrases(find_noun_phrases(chunk_tokens(split, targets))))
    single = len(groups) == 1 and len(groups[0]) == 1
    every = [_Candidate(chain, group, single or _is_requested(chain, targets)) for group in groups for chain in group]
    readings = [
        (candidate, classify_chain(candidate.chain, targets, requested=candidate.requested))
        for candidate in every
        if not candidate.head.negated
    ]
    readings = [(candidate, _complete_name(candidate, reading, readings, targets)) for candidate, reading in readings]
    if (presented := _find_antecedent(readings, split)) is not None:
        return ParsedRequest(unknown=_unknown_mention(presented[0].chain, presented[1], targets))
    requested = _drop_places([pair for pair in readings if pair[0].requested and pair[1].kind in _REQUESTED])
    main = _drop_places([pair for pair in readings if not pair[0].head.subordinate])
    parsed = _choose(requested, _REQUESTED, targets) or _choose(main, _ORDER, targets)
    return parsed or _choose(readings, _ORDER, targets) or ParsedRequest()


def _is_requested(chain: Sequence[NounPhrase], targets: KnownTargets) -> bool:
    """Whether the phrase is the object of a request verb, or of an attribute such as its mask."""
    return chain[0].requested or (len(chain) > 1 and classify_phrase(chain[0], targets).kind == "attribute")


def _described_targets(typed: Sequence[str], targets: KnownTargets) -> Iterator[str]:
    spaced = f" {' '.join(typed)} "
    for target, said in targets.descriptions:
        if any(f" {_normalize(phrase)} " in spaced for phrase in said):
            yield target


@lru_cache(maxsize=256)
def _normalize(phrase: str) -> str:
    """Return the tokens of a phrase as one text."""
    return " ".join(token.text for token in tokenize(phrase))


def _chain_phrases(found: Sequence[NounPhrase]) -> list[list[NounPhrase]]:
    """Group every phrase with the one that it is attached to."""
    chains: list[list[NounPhrase]] = []
    for phrase in found:
        if phrase.attached_by:
            chains[-1].append(phrase)
        else:
            chains.append([phrase])
    return chains


def _group_coordinated(chains: Sequence[list[NounPhrase]]) -> list[list[list[NounPhrase]]]:
    """Group the chains that "and" or commas coordinate."""
    groups: list[list[list[NounPhrase]]] = []
    for chain in chains:
        if chain[0].coordinator and groups:
            groups[-1].append(chain)
        else:
            groups.append([chain])
    return groups


class _Candidate(NamedTuple):
    """A chain, the chains coordinated with it, itself included, and whether it is requested."""

    chain: list[NounPhrase]
    group: list[list[NounPhrase]]
    requested: bool

    @property
    def head(self) -> NounPhrase:
        return self.chain[0]

    @property
    def has_attribute(self) -> bool:
        """Whether it is of a mask rather than of a place in the body: in the mask of the liver."""
        return any(chunk.text in words_of_kind("attribute") for phrase in self.chain for chunk in phrase.chunks)

    @property
    def is_certain(self) -> bool:
        """Whether it is requested like the others of its group: after a mere comma it may be an apposition."""
        others = [chain[0].coordinator for chain in self.group[1:]]
        listed = others[:1] == [","] and not is_image(self.head)
        first = self.chain is self.group[0] and (self.requested or listed)
        return not self.head.secondary and (first or "and" in others)


_Reading = tuple[_Candidate, PhraseReading]


def _drop_places(readings: Sequence[_Reading]) -> Sequence[_Reading]:
    """Return the readings without the learned targets at which an unknown one is said to lie, if there is one."""
    others = [pair for pair in readings if not pair[0].head.place or pair[1].kind != "known" or pair[0].has_attribute]
    kinds = {reading.kind for _, reading in others}
    return others if "unknown" in kinds and not kinds & {"known", "abnormal"} else readings


def _find_antecedent(readings: Sequence[_Reading], split: Sequence[Token]) -> _Reading | None:
    """Return the unknown target for which a requested pronoun stands: below it is the gallbladder, segment it."""
    for candidate, reading in reversed(readings):
        if candidate.head.presented and reading.kind in ("known", "unknown"):
            end = candidate.chain[-1].chunks[-1].tokens[-1].end
            asked = any(_is_pronoun_requested(split, at) for at, token in enumerate(split) if token.start >= end)
            return (candidate, reading) if asked and reading.kind == "unknown" else None
    return None


def _is_pronoun_requested(split: Sequence[Token], at: int) -> bool:
    """Whether a token is a request verb with a pronoun for its object."""
    verb, pronoun, after = (*split[at : at + 3], None, None)[:3]
    if verb is None or verb.kind not in ("request_verb", "secondary_verb") or pronoun is None:
        return False
    ended = after is None or bool(after.kind) or bool(after.gap.strip()) or after.text in ("one", "ones")
    return pronoun.text in words_of_kind("pronoun") and ended


def _choose(readings: Sequence[_Reading], order: Sequence[PhraseKind], targets: KnownTargets) -> ParsedRequest | None:
    """Choose what is requested: an unknown target wherever one certainly is, as a run has one target."""
    good = [(candidate, reading) for candidate, reading in readings if reading.kind in ("known", "abnormal")]
    mixed = [
        (candidate, reading)
        for candidate, reading in readings
        if reading.kind == "unknown" and _is_requested_with(candidate, good)
    ]
    for candidate, reading in mixed:
        if good and candidate.is_certain:
            return ParsedRequest(unknown=_unknown_mention(candidate.chain, reading, targets))
    for kind in order:
        same = [(candidate, reading) for candidate, reading in readings if reading.kind == kind]
        if same and kind == "known":
            others = tuple(_unknown_mention(candidate.chain, reading, targets) for candidate, reading in mixed)
            return ParsedRequest(known=tuple(_known_mention(reading) for _, reading in same), other_unknown=others)
        if same and kind in ("unknown", "person"):
            return ParsedRequest(unknown=_unknown_mention(same[0][0].chain, same[0][1], targets))
        if same:
            return ParsedRequest(abnormal=kind == "abnormal")
    return None


def _complete_name(
    candidate: _Candidate,
    reading: PhraseReading,
    others: Sequence[_Reading],
    targets: KnownTargets,
) -> PhraseReading:
    """Read a last word after "and" with the first words of the name before: of the optic disc and cup."""
    head = candidate.head
    if reading.kind != "unknown" or head.coordinator != "and" or len(head.chunks) > 1:
        return reading
    for name in (other.name for each, other in others if each.group is candidate.group and other.name is not None):
        near = match_name([*name.words[:-1], head.chunks[0].text], targets) if len(name.words) > 1 else None
        if near is not None and near[0].target is not None:
            return PhraseReading("known", head.chunks[0], near[0])
    return reading


def _is_requested_with(candidate: _Candidate, others: Sequence[_Reading]) -> bool:
    """Whether a candidate is requested, or coordinated with one of others."""
    return candidate.requested or any(candidate.group is other.group for other, _ in others)


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
    learned = reading.chunk is not None and reading.chunk.name is not None and reading.chunk.name.target is not None
    for phrase in chain[at + 1 :]:  # the place that makes a learned name unknown is part of it, however attached
        attached = learned or phrase.attached_by in words_of_kind("belonging_preposition")
        if not attached or classify_phrase(phrase, targets).kind not in ("known", "unknown"):
            break
        last = phrase
    return TargetMention(None, first.chunks[0].tokens[0].start, last.chunks[-1].tokens[-1].end)
