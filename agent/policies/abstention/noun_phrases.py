"""The noun phrases of a request: what stands together, what hangs on it, and what is asked for."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from ibisagent.agent.policies.abstention.lexicon import words
from ibisagent.agent.policies.abstention.name_matching import Item

__all__ = ["Phrase", "phrases"]


@dataclass(slots=True)
class Phrase:
    """Words that stand together, without articles.

    ``by``: the preposition by which it hangs on the phrase before, "" where it stands by itself; ``asked``: something
    is to be done with it; ``denied``: it is what is not meant; ``described``: a clause about it follows.
    """

    items: list[Item] = field(default_factory=list)
    by: str = ""
    asked: bool = False
    denied: bool = False
    described: bool = False


def phrases(items: Iterable[Item]) -> list[Phrase]:
    """Give the noun phrases in order; the words of a clause that describes one are left out."""
    found: list[Phrase] = []
    between: list[Item] = []
    parts = False  # a sentence has ended since the last phrase
    for item in _undescribed(items, found, between):
        token = item.tokens[0]
        if _kind(item):
            parts = parts or token.breaks
            between.append(item)
            continue
        parts = parts or token.breaks
        if found and not between and not parts and "," not in token.gap and "/" not in token.gap:
            found[-1].items.append(item)
            continue
        if found and not parts and between and {_kind(each) for each in between} == {"determiner"}:
            _drop_verb(found)
        found.append(_begun(item, between, None if parts or not found else found[-1]))
        between.clear()
        parts = False
    return found


def _drop_verb(found: list[Phrase]) -> None:
    """Drop what stands right before the article of the next phrase: a verb that no list has."""
    last = found[-1]
    if last.items[-1].name is None and not last.asked and not last.by:
        last.items.pop()
    if not last.items:
        found.pop()


def _kind(item: Item) -> str:
    return item.tokens[0].kind if item.name is None else ""


def _begun(item: Item, between: list[Item], before: Phrase | None) -> Phrase:
    kinds = [_kind(each) for each in between]
    plain = [kind for kind in kinds if kind != "determiner"]
    denied = plain[-1:] == ["denying"]
    if before is not None and set(plain) == {"before"}:
        return Phrase([item], by=next(each.text for each in between if _kind(each) == "before"))
    goes_on = before is not None and set(plain) <= {"joining"}
    return Phrase([item], asked="ask" in kinds or (goes_on and before is not None and before.asked), denied=denied)


def _undescribed(items: Iterable[Item], found: list[Phrase], between: list[Item]) -> Iterator[Item]:
    """Drop the clauses that say something about the phrase before them, and mark that phrase."""
    every = list(items)
    skipping = False
    for number, item in enumerate(every):
        if skipping and not item.tokens[0].breaks:
            continue
        skipping = False
        after = found and all(_kind(each) == "before" for each in between) and not item.tokens[0].breaks
        if _kind(item) == "clause" and after:
            following = every[number + 1].text if number + 1 < len(every) else ""
            if following not in words("showing"):
                found[-1].described = skipping = True
                continue
        yield item
