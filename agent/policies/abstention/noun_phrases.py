"""A noun-phrase chunker for requests: phrases, their prepositional attachment, and which of them are requested."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from ibisagent.agent.policies.abstention.lexicon import words_of_kind
from ibisagent.agent.policies.abstention.name_matching import Chunk

__all__ = ["NounPhrase", "find_noun_phrases"]


_VERB_ENDINGS = ("ing", "ed", "s")


@dataclass(slots=True)
class NounPhrase:
    """A noun phrase without articles.

    ``attached_by``: the preposition or the verb that attaches it to the phrase before, "" if it stands alone;
    ``coordinator``: "and" or the comma that coordinates it with that one, and whether it has an article of its own
    after the comma; ``requested``: it is the object of a request verb; ``secondary``: of a secondary verb only, or of
    a verb that is not in the lexicon; ``negated``: it follows a negation; ``subordinate``: it follows a subordinator;
    ``place``: it is where the requested target is, which another phrase names; ``presented``: it is said to lie by a
    target that was named before; ``has_clause``: a relative clause about it follows; ``bare``: it has no article;
    ``may_be_image``: it may be the picture itself.
    """

    chunks: list[Chunk] = field(default_factory=list)
    attached_by: str = ""
    coordinator: Literal["", "and", ",", ", the"] = ""
    requested: bool = False
    secondary: bool = False
    negated: bool = False
    subordinate: bool = False
    place: bool = False
    presented: bool = False
    has_clause: bool = False
    bare: bool = False
    may_be_image: bool = False


def find_noun_phrases(chunks: Iterable[Chunk]) -> list[NounPhrase]:
    """Return the noun phrases in order, without the words of their relative clauses."""
    found: list[NounPhrase] = []
    between: list[Chunk] = []
    parts = False  # a sentence has ended since the last phrase
    for chunk in _drop_clauses(chunks, found, between):
        token = chunk.tokens[0]
        parts = parts or token.starts_sentence
        if _kind(chunk):
            between.append(chunk)
            continue
        before = None if parts or not found else found[-1]
        stops = any(sign in token.gap for sign in ",/")
        if before and not between and not stops and ("(" not in token.gap or ")" in token.gap):
            before.chunks.append(chunk)
            continue
        verb = _pop_verb(found, between) if before and not stops else None
        if verb and not found[-1].chunks:
            found.append(_start_object(chunk, between, found.pop()))
        elif verb:
            found.append(NounPhrase([chunk], attached_by=verb))
        else:
            found.append(_start_phrase(chunk, between, before))
        between.clear()
        parts = False
    return found


def _pop_verb(found: list[NounPhrase], between: list[Chunk]) -> str | None:
    """Return the verb right before the next phrase's article, and remove it from the last phrase if it is there."""
    last = found[-1]
    word = last.chunks[-1]
    if between and between[0].text.endswith("ing") and [_kind(each) for each in between[1:]] == ["determiner"]:
        is_verb = _kind(between[0]) in ("request_verb", "secondary_verb") and "," not in _gap(between[0])
        return between[0].text if is_verb else None
    articles = {_kind(each) for each in between} == {"determiner"} and not any("," in _gap(each) for each in between)
    alone = len(last.chunks) == 1
    may_be_imperative = last.bare and (not last.requested or last.coordinator == "and")
    if not articles or word.name is not None or last.attached_by or (alone and not may_be_imperative):
        return None
    if alone or not last.requested or word.text.endswith(_VERB_ENDINGS):
        last.chunks.pop()
    return word.text


def _start_object(chunk: Chunk, between: list[Chunk], verb: NounPhrase) -> NounPhrase:
    """Start the object of a verb that is not in the lexicon and was taken for a phrase, which it replaces."""
    return NounPhrase(
        [chunk],
        coordinator=verb.coordinator,
        requested=verb.requested,
        secondary=verb.requested,
        negated=verb.negated,
        subordinate=verb.subordinate,
        may_be_image=_may_be_image(between),
    )


def _kind(chunk: Chunk) -> str:
    return chunk.tokens[0].kind if chunk.name is None else ""


def _gap(chunk: Chunk) -> str:
    return chunk.tokens[0].gap


def _start_phrase(chunk: Chunk, between: list[Chunk], before: NounPhrase | None) -> NounPhrase:
    kinds = [_kind(each) for each in between]
    plain = [kind for kind in kinds if kind != "determiner"]
    comma = any("," in _gap(each) for each in (*between, chunk))
    if before is not None and not comma and (preposition := _attaching_preposition(plain, between, before)):
        return NounPhrase([chunk], attached_by=preposition)
    if before is not None and not between and "(" in _gap(chunk):
        return NounPhrase([chunk], attached_by="in")
    phrase = NounPhrase([chunk], bare="determiner" not in kinds, may_be_image=_may_be_image(between))
    clause = _words_after_signs(between, chunk, ",.?!;")
    verbs = {_kind(each) for each in _words_after_signs(between, chunk, ".?!;")} & {"request_verb", "secondary_verb"}
    phrase.negated, phrase.subordinate = _is_negated(clause), "subordinator" in [_kind(each) for each in clause]
    phrase.requested, phrase.secondary = bool(verbs) and not phrase.subordinate, verbs == {"secondary_verb"}
    phrase.place, phrase.presented = _is_place(clause), _is_presented(clause)
    if before is not None and set(plain) <= {"conjunction"}:
        phrase.place = before.place and bool(plain)
        phrase.coordinator = "and" if plain or "/" in _gap(chunk) else "," if phrase.bare else ", the"
        phrase.requested = before.requested
        phrase.secondary = before.secondary or any(each.text in ("its", "their") for each in between)
        goes_on = "but" not in [each.text for each in between] and phrase.coordinator in ("and", ",")
        phrase.negated = phrase.negated or (before.negated and goes_on)
    return phrase


def _is_place(clause: list[Chunk]) -> bool:
    """Whether a phrase is a place without the thing that lies there: behind the heart, what lies behind the heart."""
    at = next((number for number, each in enumerate(clause) if _kind(each) == "preposition"), None)
    if at is None or {_kind(each) for each in clause[at:]} - {"preposition", "determiner"}:
        return False
    preposition = "_".join(each.text for each in clause[at:] if _kind(each) == "preposition")
    led = {each.text for each in clause[:at]} & words_of_kind("placed_pronoun")
    return preposition in words_of_kind("place_preposition") and (at == 0 or bool(led))


def _is_presented(clause: list[Chunk]) -> bool:
    """Whether a phrase is said to lie by a thing named before: below it is the gallbladder."""
    texts = [each.text for each in clause]
    after = [texts[number + 1 :] for number, each in enumerate(clause) if _kind(each) == "preposition"]
    return any(len(rest) > 1 and rest[0] in words_of_kind("pronoun") for rest in after)


def _attaching_preposition(plain: list[str], between: list[Chunk], before: NounPhrase) -> str:
    """Return the preposition that attaches a phrase to the one before, "" if none does."""
    preposition = "_".join(each.text for each in between if _kind(each) == "preposition")
    last = before.chunks[-1]
    locative = "locative_verb" in plain and (last.name is not None or last.text not in words_of_kind("context_noun"))
    placed = locative and plain[-1:] == ["preposition"] and set(plain) <= {"preposition", "locative_verb", "filler"}
    return preposition if placed or set(plain) == {"preposition"} else ""


def _words_after_signs(between: list[Chunk], chunk: Chunk, signs: str) -> list[Chunk]:
    """Return the words before a phrase that follow the last of some punctuation marks."""
    rows: list[list[Chunk]] = [[]]
    for each in (*between, chunk):
        if any(sign in _gap(each) for sign in signs):
            rows.append([])
        rows[-1].append(each)
    return rows[-1][:-1]


def _is_negated(clause: list[Chunk]) -> bool:
    """Whether a negation among the words before a phrase applies to it, by itself or with its request verb."""
    at = max((number for number, each in enumerate(clause) if _kind(each) == "negation"), default=None)
    if at is None:
        return False
    after = {_kind(each) for each in clause[at + 1 :]} - {"determiner"}
    statement = at > 0 and clause[at - 1].text in words_of_kind("auxiliary_verb") and clause[at].text == "not"
    return not after or (after <= {"request_verb", "secondary_verb"} and not statement)


def _may_be_image(between: list[Chunk]) -> bool:
    """Whether a phrase may be the picture itself: this scan, in the scan; the pancreas scan names its target."""
    prepositions = [each.text for each in between if _kind(each) == "preposition"]
    pointed_at = any(each.text in words_of_kind("image_determiner") for each in between)
    return pointed_at or prepositions[-1:] not in ([], ["for"])


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
