"""Contact sheets of the cases that lose most: the clean run and the run under the condition, side by side."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from ibisagent.agent.trajectory_files import read_trajectories
from ibisagent.evals.contact_sheets import PairedRun, draw_case_pairs
from ibisagent.evals.rows import Row
from ibisagent.evals.suites.metrics import METRICS
from ibisagent.evals.suites.results import ConditionRun, SuiteResults
from ibisagent.evals.worker import safe_name
from ibisagent.tools.errors import InputError
from ibisagent.tools.files import atomic_write, describe_os_error, printable_text

__all__ = ["find_worst", "write_worst_sheets"]


class _Worst(NamedTuple):
    drop: float
    run: ConditionRun
    before: Row
    after: Row


def write_worst_sheets(
    results: SuiteResults,
    out: Path,
    *,
    count: int = 4,
    roots: Sequence[Path] = (),
    fetch: Callable[[str], None] | None = None,
) -> list[Path]:
    """Write ``SUITE-worst/KIND.png`` for every kind under which a case loses, with up to ``count`` cases.

    ``roots``: folders of the data set's pictures; ``fetch``: brings a case's picture there, given its id.
    """
    folder, metric = out / f"{results.suite.name}-worst", results.suite.metrics[0]
    written = []
    for kind in dict.fromkeys(run.condition.kind for run in results.runs):
        worst = find_worst(results, kind, count)
        if not worst:
            continue
        if fetch is not None:
            for each in worst:
                fetch(each.before["id"])
        pairs = [_pair(results, each, metric) for each in worst]
        subtitle = f"The {len(worst)} cases that lose most {metric}; left: clean, right: under the condition"
        sheet = draw_case_pairs(f"{results.suite.name}: {kind}", subtitle, pairs, roots)
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            reason = describe_os_error(error)
            raise InputError(f"{printable_text(folder)}: cannot be made ({reason}); choose another --out") from error
        path = folder / f"{safe_name(kind)}.png"
        with atomic_write(path) as temporary:
            sheet.save(temporary, format="PNG")
        written.append(path)
    return written


def find_worst(results: SuiteResults, kind: str, count: int) -> list[_Worst]:
    """Return the cases with the largest drops of the first metric under a kind, each case once, worst first."""
    every = sorted(_losses(results, kind), key=lambda each: -each.drop)
    once = {each.before["id"]: each for each in reversed(every)}
    return sorted(once.values(), key=lambda each: -each.drop)[:count]


def _losses(results: SuiteResults, kind: str) -> Iterator[_Worst]:
    measure = METRICS[results.suite.metrics[0]]
    for run in results.runs:
        if run.condition.kind != kind:
            continue
        for before, after in results.pairs(run):
            first, second = measure(before), measure(after)
            if first is not None and second is not None and first > second:
                yield _Worst(first - second, run, before, after)


def _pair(results: SuiteResults, worst: _Worst, metric: str) -> tuple[str, PairedRun, PairedRun]:
    text = f"{worst.before['id']}   {worst.run.condition.name}   drop of {metric} {worst.drop:.3f}"
    return text, _read("clean", results.clean, worst.before), _read(worst.run.condition.name, worst.run, worst.after)


def _read(heading: str, run: ConditionRun, row: Row) -> PairedRun:
    path = run.folder / row["trajectory"]
    return PairedRun(heading, next(read_trajectories(path)), path.parent)
