"""Names in requests and replies: the user's words in place of the model's learned names, and the other way round."""

import re
from collections.abc import Iterator, Sequence, Set
from functools import cache, lru_cache
from itertools import takewhile
from string import Template

from ibisagent.agent.policies.abstention.known_targets import KnownTargets
from ibisagent.agent.policies.abstention.lexicon import reserved_words, words_of_kind
from ibisagent.agent.policies.abstention.requested_target import ParsedRequest
from ibisagent.tools.vocabulary.words import REQUEST_TEMPLATES, VOCABULARY

__all__ = ["canonicalize_names", "canonicalize_request", "restore_names"]

_UNNAMED, _ABNORMAL = "target", "abnormality"
_PLACE, _PLAIN = "$target", "Segment the $target."
_LEAST_CUT = 5  # letters of a name that the model broke off
_ACTION = re.compile(r"(<action>.*?</action>)", re.DOTALL)
_SINGULAR, _PLURAL = ("ss", "us", "is"), ("i", "ae")


def canonicalize_request(request: str, parsed: ParsedRequest) -> str:
    """Return the request for one learned target in a wording that the models learned, with the learned name.

    A wording of the vocabulary's templates keeps its words, any other becomes "Segment the $target.", as a small model
    draws worse when it is asked in words that it has not seen. A request that names no learned target, or several,
    keeps its wording.
    """
    if len({found.target for found in parsed.known}) != 1 or _words(request) in _questions():
        return canonicalize_names(request, parsed)
    found = parsed.known[0]
    name = found.canonical_name or request[found.start : found.end].lower()
    around = (*_words(request[: found.start]), _PLACE, *_words(request[found.end :]))
    return Template(_templates().get(around, _PLAIN)).substitute(target=" ".join(name.split()))


def canonicalize_names(request: str, parsed: ParsedRequest) -> str:
    """Return the request with the learned names in place of synonyms, misspellings and capitals."""
    if request.isupper() and len(request.lower()) == len(request):
        request = request[0] + request[1:].lower()
    for found in sorted(parsed.known, key=lambda found: found.start, reverse=True):
        if found.canonical_name is not None or not request[found.start : found.end].islower():
            said = found.canonical_name or request[found.start : found.end].lower()
            request = request[: found.start] + said + request[found.end :]
    return request


@cache
def _templates() -> dict[tuple[str, ...], str]:
    """Return the vocabulary's wordings by their words, without punctuation and capitals."""
    every = [template for stage in REQUEST_TEMPLATES.values() for some in stage.values() for template in some]
    spoken = [each.replace("$is", verb) for each in every for verb in ("is", "are")]
    return {_words(each): each for each in spoken}


@cache
def _questions() -> frozenset[tuple[str, ...]]:
    """Return the vocabulary's questions for anything abnormal, by their words."""
    pictures = VOCABULARY.image_names.values()
    return frozenset(
        _words(each.replace("$picture", name)) for each in VOCABULARY.templates["abnormal"] for name in pictures
    )


def _words(text: str) -> tuple[str, ...]:
    return tuple(re.findall(r"[\w$]+", text.lower()))


def restore_names(reply: str, request: str, parsed: ParsedRequest, targets: KnownTargets) -> str:
    """Return the reply with the user's words in place of every target's name outside the action.

    A request without a name gets a reply without one; one that describes its target gets that target's name alone; one
    whose description fits several, as "the smaller of the two kidneys" does, gets the words that their names share, as
    the model's choice may be wrong.
    """
    words = {found.target: request[found.start : found.end] for found in parsed.known}
    default = next(iter(words.values()), _ABNORMAL if parsed.abnormal else _UNNAMED)
    names = _names(targets)
    shared = _shared_name(parsed.described) if len(parsed.described) > 1 else None

    def replacement(match: re.Match[str]) -> str:
        target = names.get(match[1].lower())  # None for a name that the model broke off
        name = (shared or match[1]) if target in parsed.described else words.get(target, default)
        return name + _verb(name, match[2])

    pieces = _ACTION.split(reply)
    pattern = _pattern(targets, bool(words))
    return "".join(piece if number % 2 else pattern.sub(replacement, piece) for number, piece in enumerate(pieces))


def _shared_name(targets: Sequence[str]) -> str:
    """Return the last words that several targets' names share, such as "kidney"; "target" where they share none."""
    reversed_words = [target.split()[::-1] for target in targets]
    same = [row[0] for row in takewhile(lambda row: len(set(row)) == 1, zip(*reversed_words, strict=False))]
    return " ".join(reversed(same)) or _UNNAMED


def _verb(name: str, verb: str | None) -> str:
    if verb is None:
        return ""
    words = name.lower().split()
    head = (list(takewhile(lambda word: word not in words_of_kind("preposition"), words)) or [name.lower()])[-1]
    plural = head.endswith(_PLURAL) or (head.endswith("s") and not head.endswith(_SINGULAR))
    plural = (plural and head not in words_of_kind("singular_noun")) or head in words_of_kind("plural_noun")
    return " are" if plural else " is"


@lru_cache(maxsize=16)
def _names(targets: KnownTargets) -> dict[str, str | None]:
    return {" ".join(name.words): name.target for name in reversed(targets.names)}


@lru_cache(maxsize=16)
def _pattern(targets: KnownTargets, named: bool) -> re.Pattern[str]:
    """Match any name, whole or broken off, the longest first; where a target was named, "abnormality" as well."""
    names = [re.escape(name) for name in _by_length(targets)] + (["abnormality"] if named else [])
    return re.compile(rf"\b({'|'.join(names)})\b( is| are)?", re.IGNORECASE)


def _by_length(targets: KnownTargets) -> Iterator[str]:
    asked = {" ".join(name.words) for name in targets.names if name.target is not None}
    learned = {name for target, others in targets.learned for name in (target, *others)}
    yield from sorted(asked | set(_broken_off(learned)), key=lambda name: (-len(name), name))


def _broken_off(names: Set[str]) -> Iterator[str]:
    """Yield the beginnings of names that end within a word, as a small model may write one: breas."""
    whole = {word for name in names for word in name.split()} | reserved_words()
    for name in names:
        for end in range(_LEAST_CUT, len(name)):
            if name[end - 1 : end + 1].isalpha() and name[:end].split()[-1] not in whole:
                yield name[:end]
