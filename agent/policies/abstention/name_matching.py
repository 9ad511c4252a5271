"""Matching of target names among the tokens of a request."""

from collections.abc import Iterator, Sequence
from operator import eq
from typing import NamedTuple

from ibisagent.agent.policies.abstention.known_targets import KnownTargets, TargetName
from ibisagent.agent.policies.abstention.lexicon import Token, reserved_words
from ibisagent.agent.policies.abstention.spelling import EXACT, MISSPELLING, VARIANT, is_misspelling, spelling_distance

__all__ = ["Chunk", "chunk_tokens", "match_name"]

_MAX_WORDS = 6  # of a name
_MIN_JOINED = 7  # letters of a name typed as one word from which it may be misspelled


class Chunk(NamedTuple):
    """One token, or several that are one name; ``distance``: of the typed words from that name (`spelling`)."""

    tokens: tuple[Token, ...]
    name: TargetName | None = None
    distance: int = EXACT

    @property
    def text(self) -> str:
        """The words as one text, in lower case."""
        return " ".join(token.text for token in self.tokens)


def chunk_tokens(found: Sequence[Token], targets: KnownTargets) -> Iterator[Chunk]:
    """Yield chunks: the tokens of a name together, the longest name first, every other token by itself."""
    at = 0
    while at < len(found):
        chunk = _longest_chunk(found, at, targets)
        yield chunk
        at += len(chunk.tokens)


def _longest_chunk(found: Sequence[Token], at: int, targets: KnownTargets) -> Chunk:
    for count in range(min(_MAX_WORDS, len(found) - at), 0, -1):
        some = tuple(found[at : at + count])
        inside = some[1:-1] if _is_side_after_comma(found, at + count - 1) else some[1:]
        if any(token.starts_sentence or "," in token.gap for token in inside):
            continue
        near = match_name([token.text for token in some], targets)
        if near is not None:
            return Chunk(some, *near)
    return Chunk((found[at],))


def _is_side_after_comma(found: Sequence[Token], at: int) -> bool:
    """Whether a token is a side said after its name: kidney, left; not in kidney, left lung."""
    following = found[at + 1] if at + 1 < len(found) else None
    ends = following is None or bool(following.kind) or bool(following.gap.strip())
    return found[at].text in ("left", "right") and found[at].gap.strip() == "," and ends


def match_name(typed: Sequence[str], targets: KnownTargets) -> tuple[TargetName, int] | None:
    """Return the name nearest to the words, with its distance; None if they are no name."""
    may_be_misspelled = [_may_be_misspelled(one, targets) for one in typed]
    same = ((_distance(typed, name, may_be_misspelled), name) for name in targets.names_of_length(len(typed)))
    far = [(distance, name) for distance, name in (*same, *_match_joined(typed, targets)) if distance is not None]
    nearest = min(far, key=lambda pair: pair[0], default=None)
    return (nearest[1], nearest[0]) if nearest is not None else None


def _distance(typed: Sequence[str], name: TargetName, may_be_misspelled: Sequence[bool]) -> int | None:
    total = 0
    others_exact = len(typed) > 1 and sum(map(eq, typed, name.words)) == len(typed) - 1
    for one, word, allowed in zip(typed, name.words, may_be_misspelled, strict=True):
        far = spelling_distance(
            one, word, allow_misspelling=allowed and name.target is not None, allow_short=others_exact
        )
        if far is None:
            return None
        total += far
    return total


def _match_joined(typed: Sequence[str], targets: KnownTargets) -> Iterator[tuple[int, TargetName]]:
    """Match without spaces and hyphens: a name may be typed as one word, or as one word more than it has."""
    run = "".join(typed).replace("-", "")
    name = targets.joined_names.get(run) or targets.joined_names.get(run.removesuffix("s"))
    if name is not None and len(name.words) != len(typed) <= len(name.words) + 1:
        yield VARIANT, name
    if len(typed) == 1 and len(run) >= _MIN_JOINED and _may_be_misspelled(run, targets):
        near = (
            name for whole, name in targets.joined_names.items() if len(name.words) > 1 and is_misspelling(run, whole)
        )
        yield from ((MISSPELLING + 1, name) for name in near)


def _may_be_misspelled(typed: str, targets: KnownTargets) -> bool:
    singulars = {typed, typed.removesuffix("s"), typed.removesuffix("es")}
    return not singulars & targets.similar_words and typed not in reserved_words()
