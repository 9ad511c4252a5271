"""What a request asks for: a target that was learned, one that was not, or none by name."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from ibisagent.agent.policies.abstention.known_targets import Targets
from ibisagent.agent.policies.abstention.lexicon import tokens, words
from ibisagent.agent.policies.abstention.name_matching import itemised
from ibisagent.agent.policies.abstention.noun_phrases import Phrase, phrases
from ibisagent.agent.policies.abstention.phrase_kinds import Kind, Worth, alone, worth_of
from ibisagent.agent.policies.abstention.spelling import FORM

__all__ = ["Asked", "Found", "understand"]

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
    """What a request names: targets that were ``known``, or one that is ``unknown``; neither where it names none.

    ``described``: the targets that its description stands for; ``abnormal``: whatever is wrong is asked for.
    """

    known: tuple[Found, ...] = ()
    unknown: Found | None = None
    described: tuple[str, ...] = ()
    abnormal: bool = False


@lru_cache(maxsize=1024)
def understand(request: str, targets: Targets) -> Asked:
    """Read a request; see `Asked`."""
    plain = request.replace("\u2019", "'")
    split = tokens(plain)
    if described := tuple(_described([token.text for token in split], targets)):
        return Asked(described=described)
    chains = _chains(phrases(itemised(split, targets)))
    worths = [(chain, worth_of(chain, targets)) for chain in chains if not chain[0].denied]
    asked = [pair for pair in worths if (_is_asked(pair[0], targets) or len(chains) == 1) and pair[1].kind in _ASKED]
    return _chosen(asked, _ASKED, targets) or _chosen(worths, _ORDER, targets) or Asked()


def _is_asked(chain: Sequence[Phrase], targets: Targets) -> bool:
    """Tell whether something is to be done with it, or it has a mask already."""
    return chain[0].asked or (len(chain) > 1 and alone(chain[0], targets).kind == "about")


def _described(typed: Sequence[str], targets: Targets) -> Iterator[str]:
    spaced = f" {' '.join(typed)} "
    for target, said in targets.described:
        if any(f" {' '.join(token.text for token in tokens(phrase))} " in spaced for phrase in said):
            yield target


def _chains(found: Sequence[Phrase]) -> list[list[Phrase]]:
    """Put every phrase behind the one on which it hangs."""
    chains: list[list[Phrase]] = []
    for phrase in found:
        if phrase.by:
            chains[-1].append(phrase)
        else:
            chains.append([phrase])
    return chains


def _chosen(worths: Sequence[tuple[list[Phrase], Worth]], order: Sequence[Kind], targets: Targets) -> Asked | None:
    for kind in order:
        same = [(chain, worth) for chain, worth in worths if worth.kind == kind]
        if same and kind == "known":
            return Asked(known=tuple(_found(worth) for _, worth in same))
        if same and kind in ("unknown", "person"):
            return Asked(unknown=_span(*same[0], targets))
        if same:
            return Asked(abnormal=kind == "wrong")
    return None


def _found(worth: Worth) -> Found:
    assert worth.item is not None
    assert worth.name is not None
    start, end = worth.item.tokens[0].start, (worth.last or worth.item).tokens[-1].end
    typed = worth.name.loose and worth.item.far <= FORM
    learned = worth.last is None and (typed or worth.item.text == worth.name.said)
    return Found(worth.name.target, start, end, None if learned else worth.name.said)


def _span(chain: list[Phrase], worth: Worth, targets: Targets) -> Found:
    """Give where something unknown stands, with what hangs on it but the picture and the person."""
    at = next(number for number, phrase in enumerate(chain) if worth.item in phrase.items)
    first = last = chain[at]
    for phrase in chain[at + 1 :]:
        if phrase.by not in words("belonging") or alone(phrase, targets).kind not in ("known", "unknown"):
            break
        last = phrase
    return Found(None, first.items[0].tokens[0].start, last.items[-1].tokens[-1].end)
