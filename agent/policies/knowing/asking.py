"""What a request asks for: a target that was learned, one that was not, or none by name."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from ibisagent.agent.policies.knowing.naming import itemised, named
from ibisagent.agent.policies.knowing.phrases import Phrase, phrases
from ibisagent.agent.policies.knowing.slips import FORM
from ibisagent.agent.policies.knowing.targets import Targets
from ibisagent.agent.policies.knowing.words import tokens, words
from ibisagent.agent.policies.knowing.worth import Kind, Worth, alone, is_picture, worth_of

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

    ``described``: the targets that its description stands for; ``abnormal``: whatever is wrong is asked for;
    ``besides``: what was never learned and may be asked for too.
    """

    known: tuple[Found, ...] = ()
    unknown: Found | None = None
    described: tuple[str, ...] = ()
    abnormal: bool = False
    besides: tuple[Found, ...] = ()


@lru_cache(maxsize=1024)
def understand(request: str, targets: Targets) -> Asked:
    """Read a request; see `Asked`."""
    plain = request.replace("\u2019", "'")
    split = tokens(plain)
    if described := tuple(_described([token.text for token in split], targets)):
        return Asked(described=described)
    groups = _groups(_chains(phrases(itemised(split, targets))))
    only = len(groups) == 1 and len(groups[0]) == 1
    every = [_Meant(chain, group, only or _is_asked(chain, targets)) for group in groups for chain in group]
    worths = [(meant, worth_of(meant.chain, targets, asked=meant.asked)) for meant in every if not meant.head.denied]
    worths = [(meant, _completed(meant, worth, worths, targets)) for meant, worth in worths]
    asked = [pair for pair in worths if pair[0].asked and pair[1].kind in _ASKED]
    told = [pair for pair in worths if not pair[0].head.aside]
    found = _chosen(asked, _ASKED, targets) or _chosen(told, _ORDER, targets) or _chosen(worths, _ORDER, targets)
    return found or Asked()


def _is_asked(chain: Sequence[Phrase], targets: Targets) -> bool:
    """Tell whether something is to be done with it, or it has a mask already."""
    return chain[0].asked or (len(chain) > 1 and alone(chain[0], targets).kind == "about")


def _described(typed: Sequence[str], targets: Targets) -> Iterator[str]:
    spaced = f" {' '.join(typed)} "
    for target, said in targets.described:
        if any(f" {_spaced(phrase)} " in spaced for phrase in said):
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


@lru_cache(maxsize=256)
def _spaced(phrase: str) -> str:
    return " ".join(token.text for token in tokens(phrase))


def _groups(chains: Sequence[list[Phrase]]) -> list[list[list[Phrase]]]:
    """Put together what "and" or commas join."""
    groups: list[list[list[Phrase]]] = []
    for chain in chains:
        if chain[0].joined and groups:
            groups[-1].append(chain)
        else:
            groups.append([chain])
    return groups


class _Meant(NamedTuple):
    """A phrase with what hangs on it, all that are joined with it, and whether something is to be done with it."""

    chain: list[Phrase]
    group: list[list[Phrase]]
    asked: bool

    @property
    def head(self) -> Phrase:
        return self.chain[0]

    @property
    def clear(self) -> bool:
        """It is asked for as well as the others: what only follows a comma may be said about them."""
        others = [chain[0].joined for chain in self.group[1:]]
        first = self.chain is self.group[0] and (self.asked or (others[:1] == [","] and not is_picture(self.head)))
        return not self.head.second and (first or "and" in others)


def _chosen(worths: Sequence[tuple[_Meant, Worth]], order: Sequence[Kind], targets: Targets) -> Asked | None:
    """Choose what is asked for: what was never learned wherever it is clearly meant, as one run has one target."""
    good = [(meant, worth) for meant, worth in worths if worth.kind in ("known", "wrong")]
    mixed = [(meant, worth) for meant, worth in worths if worth.kind == "unknown" and _is_with(meant, good)]
    for meant, worth in mixed:
        if good and meant.clear:
            return Asked(unknown=_span(meant.chain, worth, targets))
    for kind in order:
        same = [(meant, worth) for meant, worth in worths if worth.kind == kind]
        if same and kind == "known":
            besides = tuple(_span(meant.chain, worth, targets) for meant, worth in mixed)
            return Asked(known=tuple(_found(worth) for _, worth in same), besides=besides)
        if same and kind in ("unknown", "person"):
            return Asked(unknown=_span(same[0][0].chain, same[0][1], targets))
        if same:
            return Asked(abnormal=kind == "wrong")
    return None


def _completed(meant: _Meant, worth: Worth, others: Sequence[tuple[_Meant, Worth]], targets: Targets) -> Worth:
    """Read a last word with those of the learned name that it is joined with: of the optic disc and cup."""
    if worth.kind != "unknown" or meant.head.joined != "and" or len(meant.head.items) > 1:
        return worth
    for name in (other.name for each, other in others if each.group is meant.group and other.name is not None):
        near = named([*name.words[:-1], meant.head.items[0].text], targets) if len(name.words) > 1 else None
        if near is not None and near[0].target is not None:
            return Worth("known", meant.head.items[0], near[0])
    return worth


def _is_with(meant: _Meant, others: Sequence[tuple[_Meant, Worth]]) -> bool:
    """Tell whether it is asked for, or joined with one of others."""
    return meant.asked or any(meant.group is other.group for other, _ in others)


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
    learned = worth.item is not None and worth.item.name is not None and worth.item.name.target is not None
    for phrase in chain[at + 1 :]:  # a learned name is another thing by its place, however it is there
        if (phrase.by not in words("belonging") and not learned) or alone(phrase, targets).kind not in (
            "known",
            "unknown",
        ):
            break
        last = phrase
    return Found(None, first.items[0].tokens[0].start, last.items[-1].tokens[-1].end)
