"""The rewards of many runs as tables: by setting and policy, over all cases, by target size and by modality."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ibisagent.evals.stats import Bootstrap, Interval, mean_interval
from ibisagent.evals.thresholds.measure import SIZES, RunScores
from ibisagent.evals.thresholds.settings import ThresholdSetting
from ibisagent.tools.errors import InputError

__all__ = ["OrderChange", "ThresholdRow", "ThresholdSummary", "summarize_thresholds"]

_BOOTSTRAP = Bootstrap(resamples=1000)
_TIE = 1e-9
_ALL, _SIZE, _MODALITY = "all", "size", "modality"


class ThresholdRow(NamedTuple):
    """A policy's runs of a group of cases under one setting.

    ``rank``: of its mean ``reward`` among the policies, from 1. ``prompts``: made, the mean; ``best_stop``: the mean of
    each run's earliest number of prompts with its highest reward; ``best_common_stop``: the number after which all runs
    should have stopped for the highest mean; ``lost``: mean reward at each run's best stop minus ``reward``.
    """

    group_by: str
    group: str
    knob: str
    value: str
    is_base: bool
    policy: str
    cases: int
    reward: float
    low: float | None
    high: float | None
    rank: int
    prompts: float
    best_stop: float
    best_common_stop: int
    lost: float


class OrderChange(NamedTuple):
    """A setting that puts policy ``below`` above policy ``above``, which the paper's reward puts above it.

    ``base`` and ``changed``: the mean reward of ``above`` minus that of ``below`` over their common cases, paired;
    ``is_clear``: neither interval holds 0.
    """

    group_by: str
    group: str
    knob: str
    value: str
    above: str
    below: str
    base: Interval
    changed: Interval
    is_clear: bool


class ThresholdSummary(NamedTuple):
    """``rows``: by group, setting and policy; ``left_out``: cases that not every policy has a reward of."""

    rows: tuple[ThresholdRow, ...]
    order_changes: tuple[OrderChange, ...]
    cases: int
    left_out: int


class _Group(NamedTuple):
    by: str
    name: str
    cases: tuple[str, ...]


def summarize_thresholds(
    runs: Mapping[str, Mapping[str, RunScores]],
    settings: Sequence[ThresholdSetting],
    modalities: Mapping[str, str] | None = None,
) -> ThresholdSummary:
    """Compare policies, given by name with their runs by case, over the cases that all of them have.

    ``modalities``: by case. Pictures are the bootstrap's units. `InputError` without a common case.
    """
    every = {case for mine in runs.values() for case in mine}
    common = [case for case in next(iter(runs.values()), {}) if all(case in mine for mine in runs.values())]
    if not common:
        got = f"{len(runs)} policies and no case that all of them have a reward of"
        raise InputError(
            f"got {got}, expected runs of the same cases with their true masks; name folders of one data set"
        )
    groups = list(_list_groups(next(iter(runs.values())), common, modalities))
    rows, order_changes = list[ThresholdRow](), list[OrderChange]()
    for group in groups:
        rows += _group_rows(group, runs, settings)
        order_changes += _find_order_changes(group, runs, settings)
    return ThresholdSummary(tuple(rows), tuple(order_changes), len(common), len(every) - len(common))


def _list_groups(
    runs: Mapping[str, RunScores], common: Sequence[str], modalities: Mapping[str, str] | None
) -> Iterator[_Group]:
    yield _Group(_ALL, _ALL, tuple(common))
    by_size = {size: tuple(case for case in common if runs[case].size == size) for size in SIZES}
    yield from (_Group(_SIZE, size, cases) for size, cases in by_size.items() if cases)
    if modalities is not None:
        named = {case: modalities.get(case) or "unknown" for case in common}
        for name in sorted(set(named.values())):
            yield _Group(_MODALITY, name, tuple(case for case in common if named[case] == name))


def _group_rows(
    group: _Group, runs: Mapping[str, Mapping[str, RunScores]], settings: Sequence[ThresholdSetting]
) -> Iterator[ThresholdRow]:
    images = [next(iter(runs.values()))[case].image for case in group.cases]
    for number, setting in enumerate(settings):
        tables = {name: [mine[case].rewards[number] for case in group.cases] for name, mine in runs.items()}
        ended = {name: [stops[-1] for stops in table] for name, table in tables.items()}
        means = {name: float(np.mean(values)) for name, values in ended.items()}
        for name, table in tables.items():
            interval = mean_interval(ended[name], images, _BOOTSTRAP)
            yield ThresholdRow(
                *(group.by, group.name, setting.knob, setting.value, setting.is_base, name, len(table)),
                reward=means[name],
                low=interval.low,
                high=interval.high,
                rank=1 + sum(other > means[name] + _TIE for other in means.values()),
                **_best_stops(table),
            )


def _best_stops(table: Sequence[Sequence[float]]) -> dict[str, Any]:
    """Return the fields of a row on stopping points, from the rewards of each run by its number of prompts."""
    best = [max(stops) for stops in table]
    first = [
        next(k for k, value in enumerate(stops) if value >= top - _TIE) for stops, top in zip(table, best, strict=True)
    ]
    longest = max(map(len, table))
    curve = [np.mean([stops[min(k, len(stops) - 1)] for stops in table]) for k in range(longest)]
    return {
        "prompts": float(np.mean([len(stops) - 1 for stops in table])),
        "best_stop": float(np.mean(first)),
        "best_common_stop": next(k for k, value in enumerate(curve) if value >= max(curve) - _TIE),
        "lost": float(np.mean([top - stops[-1] for stops, top in zip(table, best, strict=True)])),
    }


def _find_order_changes(
    group: _Group, runs: Mapping[str, Mapping[str, RunScores]], settings: Sequence[ThresholdSetting]
) -> Iterator[OrderChange]:
    images = [next(iter(runs.values()))[case].image for case in group.cases]
    base = next(number for number, setting in enumerate(settings) if setting.is_base)
    for one, other in combinations(runs, 2):
        differences = [_differences(group, runs[one], runs[other], number) for number in range(len(settings))]
        sign = np.sign(_mean(differences[base]))
        above, below = (one, other) if sign > 0 else (other, one)
        for number, setting in enumerate(settings):
            if sign * np.sign(_mean(differences[number])) >= 0:
                continue
            found = [mean_interval(sign * differences[each], images, _BOOTSTRAP) for each in (base, number)]
            yield OrderChange(
                group_by=group.by,
                group=group.name,
                knob=setting.knob,
                value=setting.value,
                above=above,
                below=below,
                base=found[0],
                changed=found[1],
                is_clear=all(map(_is_clear, found)),
            )


def _is_clear(found: Interval) -> bool:
    return found.low is not None and found.high is not None and found.low * found.high > 0


def _differences(
    group: _Group, one: Mapping[str, RunScores], other: Mapping[str, RunScores], setting: int
) -> NDArray[np.float64]:
    return np.array([one[case].rewards[setting][-1] - other[case].rewards[setting][-1] for case in group.cases])


def _mean(values: NDArray[np.float64]) -> float:
    """Return the mean, 0 for what rounding alone makes differ from it."""
    mean = float(values.mean())
    return 0.0 if abs(mean) < _TIE else mean
