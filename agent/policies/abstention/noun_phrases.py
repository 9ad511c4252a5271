"""A noun-phrase chunker for requests: phrases, their prepositional attachment, and which of them are requested."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from ibisagent.agent.policies.abstention.lexicon import words_of_kind
from ibisagent.agent.policies.abstention.name_matching import Chunk

__all__ = ["NounPhrase", "find_noun_phrases"]


@dataclass(slots=True)
class NounPhrase:
    """A noun phrase without articles.

    ``preposition``: attaches it to the phrase before, "" if it stands alone; ``requested``: it is the object of a
    request verb; ``negated``: it follows a negation; ``has_clause``: a relative clause about it follows.
    """

    chunks: list[Chunk] = field(default_factory=list)
    preposition: str = ""
    requested: bool = False
    negated: bool = False
    has_clause: bool = False


def find_noun_phrases(chunks: Iterable[Chunk]) -> list[NounPhrase]:
    """Return the noun phrases in order, without the words of their relative clauses."""
    found: list[NounPhrase] = []
    between: list[Chunk] = []
    parts = False  # a sentence has ended since the last phrase
    for chunk in _drop_clauses(chunks, found, between):
        token = chunk.tokens[0]
        if _kind(chunk):
            parts = parts or token.starts_sentence
            between.append(chunk)
            continue
        parts = parts or token.starts_sentence
        if found and not between and not parts and "," not in token.gap and "/" not in token.gap:
            found[-1].chunks.append(chunk)
            continue
        if found and not parts and between and {_kind(each) for each in between} == {"determiner"}:
            _drop_verb(found)
        found.append(_start_phrase(chunk, between, None if parts or not found else found[-1]))
        between.clear()
        parts = False
    return found


def _drop_verb(found: list[NounPhrase]) -> None:
    """Drop the chunk right before the next phrase's article: a verb that is not in the lexicon."""
    last = found[-1]
    if last.chunks[-1].name is None and not last.requested and not last.preposition:
        last.chunks.pop()
    if not last.chunks:
        found.pop()


def _kind(chunk: Chunk) -> str:
    return chunk.tokens[0].kind if chunk.name is None else ""


def _start_phrase(chunk: Chunk, between: list[Chunk], before: NounPhrase | None) -> NounPhrase:
    kinds = [_kind(each) for each in between]
    plain = [kind for kind in kinds if kind != "determiner"]
    denied = plain[-1:] == ["negation"]
    if before is not None and set(plain) == {"preposition"}:
        return NounPhrase([chunk], preposition=next(each.text for each in between if _kind(each) == "preposition"))
    goes_on = before is not None and set(plain) <= {"conjunction"}
    return NounPhrase(
        [chunk],
        requested="request_verb" in kinds or (goes_on and before is not None and before.requested),
        negated=denied,
    )


def _drop_clauses(chunks: Iterable[Chunk], found: list[NounPhrase], between: list[Chunk]) -> Iterator[Chunk]:
    """Yield the chunks outside of relative clauses, and mark the phrases that have one."""
    every = list(chunks)
    skipping = False
    for number, chunk in enumerate(every):
        if skipping and not chunk.tokens[0].starts_sentence:
            continue
        skipping = False
        after = found and all(_kind(each) == "preposition" for each in between) and not chunk.tokens[0].starts_sentence
        if _kind(chunk) == "relative_pronoun" and after:
            following = every[number + 1].text if number + 1 < len(every) else ""
            if following not in words_of_kind("depicting_verb"):
                found[-1].has_clause = skipping = True
                continue
        yield chunk
