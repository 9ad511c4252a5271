"""Which absent targets are asked for in each variation of a picture: those that it cannot show."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ibisagent.tools.datasets import Case
from ibisagent.tools.jobs.run_settings import case_seed
from ibisagent.tools.vocabulary.words import VOCABULARY
from ibisagent.training.augmentation.regions import BodyRegions
from ibisagent.training.requests.same_targets import canonical_target

__all__ = ["list_taught_targets", "plan_absent_targets"]

_NEAR = 0.5  # of the requests, where there are near misses
_EXCESS = 2  # times as often as a far one a near miss is asked for, at most


@dataclass(frozen=True, slots=True)
class _Choice:
    """The targets that a picture cannot show, canonical names: those of pictures like it, and the others."""

    near: tuple[str, ...]
    far: tuple[str, ...]


def list_taught_targets(cases: Iterable[Case], regions: BodyRegions) -> dict[str, str]:
    """Return the targets that can be asked for as absent, by canonical name: a data set's own, and the phantoms'.

    Only names that something teaches as present, and whose region is known.
    """
    names = [*sorted({case.target for case in cases if case.present and case.fault is None}), *VOCABULARY.names]
    taught = {canonical_target(name): name for name in reversed(names)}
    return {canonical: name for canonical, name in sorted(taught.items()) if regions.has_region(canonical)}


def plan_absent_targets(
    pictures: Mapping[str, Sequence[Case]],
    regions: BodyRegions,
    *,
    variants: int,
    share: float,
    seed: int,
) -> dict[str, list[list[str]]]:
    """Return, for each picture by name and each variant, the absent targets to ask for.

    ``share``: absent requests for each present target; what a data set itself calls absent counts. Half of them are
    near misses, targets of other regions in pictures like this one, where there are any that were not asked for twice
    as often as others. Of those that fit, the target that was asked for least so far is taken, so that all are asked
    for about equally often; the pictures are gone through in an order drawn by ``seed``.
    """
    taught = list_taught_targets((case for cases in pictures.values() for case in cases), regions)
    asked: Counter[str] = Counter()
    plan: dict[str, list[list[str]]] = {}
    names = list(pictures)
    for place in np.random.default_rng(seed).permutation(len(names)):
        name = names[place]
        cases = pictures[name]
        choice = _list_choice(cases, regions, taught)
        rng = np.random.default_rng(case_seed(seed, f"absent {name}"))
        drawn = [_draw(choice, _count(cases, share, rng), asked, rng) for _ in range(variants)]
        plan[name] = [[taught[target] for target in some] for some in drawn]
    return plan


def _list_choice(cases: Sequence[Case], regions: BodyRegions, taught: Iterable[str]) -> _Choice:
    shown = regions.find_shown(cases)
    if not shown:
        return _Choice((), ())
    visible = regions.find_visible(shown) | {canonical_target(case.target) for case in cases}
    absent = [target for target in taught if target not in visible]
    near = {target for target in absent if regions.is_near(target, cases[0].modality)}
    return _Choice(tuple(sorted(near)), tuple(target for target in absent if target not in near))


def _count(cases: Sequence[Case], share: float, rng: np.random.Generator) -> int:
    present = sum(case.present for case in cases)
    wanted = share * present - (len(cases) - present)
    return max(0, int(wanted + rng.random())) if wanted > 0 else 0


def _draw(choice: _Choice, count: int, asked: Counter[str], rng: np.random.Generator) -> list[str]:
    drawn: list[str] = []
    for _ in range(count):
        near, far = (_find_rarest(some, drawn, asked) for some in (choice.near, choice.far))
        is_near = rng.random() < _NEAR
        if near and far:
            is_often = asked[near[0]] > _EXCESS * (asked[far[0]] + 1)
            some = near if is_near and not is_often else far
        else:
            some = near or far
        if not some:
            break
        drawn.append(some[int(rng.integers(len(some)))])
        asked[drawn[-1]] += 1
    return drawn


def _find_rarest(targets: Sequence[str], drawn: Sequence[str], asked: Mapping[str, int]) -> list[str]:
    """Return those of the targets, without the drawn ones, that were asked for least."""
    left = [target for target in targets if target not in drawn]
    least = min((asked[target] for target in left), default=0)
    return [target for target in left if asked[target] == least]
