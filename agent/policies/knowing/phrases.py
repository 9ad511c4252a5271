"""The noun phrases of a request: what stands together, what hangs on it, and what is asked for."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from ibisagent.agent.policies.knowing.naming import Item
from ibisagent.agent.policies.knowing.words import words

__all__ = ["Phrase", "phrases"]

_ENDINGS = ("ing", "ed", "s")


@dataclass(slots=True)
class Phrase:
    """Words that stand together, without articles.

    ``by``: the preposition or the verb by which it hangs on the phrase before, "" where it stands by itself;
    ``joined``: it goes on from that one, by "and" or by a comma, each with or without its own article; ``asked``:
    something is to be done with it; ``second``: with what was found before, or by a word that no list has; ``denied``:
    it is what is not meant; ``aside``: it is told besides; ``described``: a clause about it follows; ``bare``: no
    article stands before it; ``pictured``: it may be the picture that is looked at.
    """

    items: list[Item] = field(default_factory=list)
    by: str = ""
    joined: Literal["", "and", ",", ", the"] = ""
    asked: bool = False
    second: bool = False
    denied: bool = False
    aside: bool = False
    described: bool = False
    bare: bool = False
    pictured: bool = False


def phrases(items: Iterable[Item]) -> list[Phrase]:
    """Give the noun phrases in order; the words of a clause that describes one are left out."""
    found: list[Phrase] = []
    between: list[Item] = []
    parts = False  # a sentence has ended since the last phrase
    for item in _undescribed(items, found, between):
        token = item.tokens[0]
        parts = parts or token.breaks
        if _kind(item):
            between.append(item)
            continue
        before = None if parts or not found else found[-1]
        stops = any(sign in token.gap for sign in ",/")
        if before and not between and not stops and ("(" not in token.gap or ")" in token.gap):
            before.items.append(item)
            continue
        verb = _verb(found, between) if before and not stops else None
        if verb and not found[-1].items:
            found.append(_after_order(item, between, found.pop()))
        elif verb:
            found.append(Phrase([item], by=verb))
        else:
            found.append(_begun(item, between, before))
        between.clear()
        parts = False
    return found


def _verb(found: list[Phrase], between: list[Item]) -> str | None:
    """Give the verb by which a phrase hangs on the last: what stands right before its article, and is taken off."""
    last = found[-1]
    word = last.items[-1]
    if between and between[0].text.endswith("ing") and [_kind(each) for each in between[1:]] == ["determiner"]:
        return between[0].text if _kind(between[0]) in ("ask", "second") and "," not in _gap(between[0]) else None
    articles = {_kind(each) for each in between} == {"determiner"} and not any("," in _gap(each) for each in between)
    alone = len(last.items) == 1
    order = last.bare and (not last.asked or last.joined == "and")
    if not articles or word.name is not None or last.by or (alone and not order):
        return None
    if alone or not last.asked or word.text.endswith(_ENDINGS):
        last.items.pop()
    return word.text


def _after_order(item: Item, between: list[Item], order: Phrase) -> Phrase:
    """Begin what stands after a verb that no list has: it goes on as that would."""
    return Phrase(
        [item], "", order.joined, order.asked, order.asked, order.denied, order.aside, pictured=_points(between)
    )


def _kind(item: Item) -> str:
    return item.tokens[0].kind if item.name is None else ""


def _gap(item: Item) -> str:
    return item.tokens[0].gap


def _begun(item: Item, between: list[Item], before: Phrase | None) -> Phrase:
    every = [(_kind(each), each) for each in between]
    plain = [kind for kind, _ in every if kind != "determiner"]
    comma = any(sign in _gap(each) for each in (*between, item) for sign in ",")
    if before is not None and not comma and (by := _hangs(plain, between, before)):
        return Phrase([item], by=by)
    if before is not None and not between and "(" in _gap(item):
        return Phrase([item], by="in")
    phrase = Phrase([item], bare="determiner" not in [kind for kind, _ in every], pictured=_points(between))
    clause = _since(between, item, ",.?!;")
    order = {_kind(each) for each in _since(between, item, ".?!;")} & {"ask", "second"}
    phrase.denied, phrase.aside = _denied(clause), "aside" in [_kind(each) for each in clause]
    phrase.asked, phrase.second = bool(order) and not phrase.aside, order == {"second"}
    if before is not None and set(plain) <= {"joining"}:
        phrase.joined = "and" if plain or "/" in _gap(item) else "," if phrase.bare else ", the"
        phrase.asked = before.asked
        phrase.second = before.second or any(each.text in ("its", "their") for each in between)
        onwards = "but" not in [each.text for each in between] and phrase.joined in ("and", ",")
        phrase.denied = phrase.denied or (before.denied and onwards)
    return phrase


def _hangs(plain: list[str], between: list[Item], before: Phrase) -> str:
    """Give the preposition by which a phrase hangs on the one before, "" where it does not."""
    befores = "_".join(each.text for each in between if _kind(each) == "before")
    placed = "placed" in plain and not (before.items[-1].name is None and before.items[-1].text in words("neutral"))
    near = plain[-1:] == ["before"] and placed and set(plain) <= {"before", "placed", "other"}
    return befores if near or set(plain) == {"before"} else ""


def _since(between: list[Item], item: Item, signs: str) -> list[Item]:
    """Give the words before a phrase that stand after the last of some signs."""
    rows: list[list[Item]] = [[]]
    for each in (*between, item):
        if any(sign in _gap(each) for sign in signs):
            rows.append([])
        rows[-1].append(each)
    return rows[-1][:-1]


def _denied(clause: list[Item]) -> bool:
    """Tell whether what follows the words is denied, by itself or with what is to be done with it."""
    at = max((number for number, each in enumerate(clause) if _kind(each) == "denying"), default=None)
    if at is None:
        return False
    after = {_kind(each) for each in clause[at + 1 :]} - {"determiner"}
    told = at > 0 and clause[at - 1].text in words("being") and clause[at].text == "not"
    return not after or (after <= {"ask", "second"} and not told)


def _points(between: list[Item]) -> bool:
    """Tell whether what follows may be the picture: this scan, in the scan; the pancreas scan names its target."""
    befores = [each.text for each in between if _kind(each) == "before"]
    return any(each.text in words("pointing") for each in between) or befores[-1:] not in ([], ["for"])


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
