"""Finding a target's names among the words of a request."""

from collections.abc import Iterator, Sequence
from operator import eq
from typing import NamedTuple

from ibisagent.agent.policies.knowing.slips import FORM, SAME, SLIP, cost, is_slip
from ibisagent.agent.policies.knowing.targets import Name, Targets
from ibisagent.agent.policies.knowing.words import Token, reserved

__all__ = ["Item", "itemised", "named"]

_LONGEST = 6  # words of a name
_RUN_TOGETHER = 7  # letters from which two names' words in one may hold a slip


class Item(NamedTuple):
    """A word of a request, or several that are one name; ``far``: how far they are typed from it, 0 for the same."""

    tokens: tuple[Token, ...]
    name: Name | None = None
    far: int = SAME

    @property
    def text(self) -> str:
        """The words as one text, in lower case."""
        return " ".join(token.text for token in self.tokens)


def itemised(found: Sequence[Token], targets: Targets) -> Iterator[Item]:
    """Join the words that are a name, the longest first; every other word is by itself."""
    at = 0
    while at < len(found):
        item = _longest(found, at, targets)
        yield item
        at += len(item.tokens)


def _longest(found: Sequence[Token], at: int, targets: Targets) -> Item:
    for count in range(min(_LONGEST, len(found) - at), 0, -1):
        some = tuple(found[at : at + count])
        if any(token.breaks or "," in token.gap for token in some[1:]):
            continue
        near = named([token.text for token in some], targets)
        if near is not None:
            return Item(some, *near)
    return Item((found[at],))


def named(typed: Sequence[str], targets: Targets) -> tuple[Name, int] | None:
    """Give the name that the words are nearest to, with how far they are from it; None where they are no name."""
    slips = [_may_slip(one, targets) for one in typed]
    same = ((_distance(typed, name, slips), name) for name in targets.of_length(len(typed)))
    far = [(distance, name) for distance, name in (*same, *_run_together(typed, targets)) if distance is not None]
    nearest = min(far, key=lambda pair: pair[0], default=None)
    return (nearest[1], nearest[0]) if nearest is not None else None


def _distance(typed: Sequence[str], name: Name, slips: Sequence[bool]) -> int | None:
    total = 0
    sure = len(typed) > 1 and sum(map(eq, typed, name.words)) == len(typed) - 1
    for one, word, may in zip(typed, name.words, slips, strict=True):
        far = cost(one, word, slips=may and name.target is not None, sure=sure)
        if far is None:
            return None
        total += far
    return total


def _run_together(typed: Sequence[str], targets: Targets) -> Iterator[tuple[int, Name]]:
    """Compare without spaces and hyphens: a name may be typed in one word, or in one more than it has."""
    run = "".join(typed).replace("-", "")
    name = targets.runs.get(run) or targets.runs.get(run.removesuffix("s"))
    if name is not None and len(name.words) != len(typed) <= len(name.words) + 1:
        yield FORM, name
    if len(typed) == 1 and len(run) >= _RUN_TOGETHER and _may_slip(run, targets):
        near = (name for whole, name in targets.runs.items() if len(name.words) > 1 and is_slip(run, whole))
        yield from ((SLIP + 1, name) for name in near)


def _may_slip(typed: str, targets: Targets) -> bool:
    return not {typed, typed.removesuffix("s"), typed.removesuffix("es")} & targets.alike and typed not in reserved()
