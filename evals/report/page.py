"""The whole report: its content, in order, and its file."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ibisagent.evals.report import case_sheets, plots, tables
from ibisagent.evals.report.cells import ReportTable
from ibisagent.evals.report.read_results import EvalResults, ResultRow, read_results
from ibisagent.evals.trajectories import EPSILON
from ibisagent.tools.errors import MissingExtra
from ibisagent.tools.files import atomic_write

if TYPE_CHECKING:
    from jinja2 import Template

__all__ = ["write_report"]

_MAX_NAMES = 12  # names that are still listed one by one


def write_report(
    out: Path, *, cases: int = 3, roots: Sequence[Path] = (), fetch: Callable[[str], None] | None = None
) -> Path:
    """Write ``report.html`` into an evaluation's folder, whole or not at all, and return its path.

    It shows ``cases`` worst, median and best step sheets per policy and segmenter, on the pictures that lie below
    ``roots`` (the data set's folder) or beside the trajectories, else on grey; ``fetch``: brings a case's picture
    there, given its id. Equal results give equal bytes except
    for the section ``timing``. Raises `InputError` for a folder without a finished evaluation, `MissingExtra` without
    jinja2 or matplotlib.
    """
    template, results = _template(), read_results(out)
    path = out / "report.html"
    with atomic_write(path) as temporary:
        template.stream(**_content(results, cases, roots, fetch)).dump(
            str(temporary), encoding="utf-8", errors="replace"
        )
    return path


def _template() -> "Template":
    MissingExtra.require("eval", "jinja2")
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("ibisagent.evals.report", "")
    place = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return place.get_template("page.html.j2")


def _content(
    results: EvalResults, cases: int, roots: Sequence[Path], fetch: Callable[[str], None] | None
) -> dict[str, Any]:
    """Return the template's variables; step sheets are drawn lazily, so that one at a time is in memory."""
    return {
        "settings": results.settings,
        "summary": results.summary,
        "policies": plots.policy_styles(results),
        "segmenters": results.segmenters,
        "case_counts": _case_counts(results.rows),
        "tolerance": next((row.tolerance for row in results.rows if row.status == "done"), None),
        "epsilon": EPSILON,
        "tables": {table.key: table for table in _tables(results)},
        "plots": {
            "steps": plots.plot_iou_by_step(results),
            "distributions": plots.plot_iou_distribution(results),
            "modalities": plots.plot_iou_by_modality(results),
            "reliability": plots.plot_reliability(results),
            "costs": plots.plot_iou_by_cost(results),
        },
        "broken": _broken(results.rows),
        "cases": [
            (
                run["policy"],
                run["segmenter"],
                case_sheets.draw_cases(results, run["policy"], run["segmenter"], cases, roots, fetch),
            )
            for run in results.summary["runs"]
        ],
    }


def _tables(results: EvalResults) -> Iterator[ReportTable]:
    yield tables.quality_table(results)
    yield tables.effort_table(results)
    yield tables.comparison_table(results)
    yield from (tables.group_table(results, by) for by in tables.GROUPS)
    yield tables.source_table(results)
    yield tables.gap_table(results)
    yield tables.start_table(results)
    yield tables.trajectory_table(results)
    yield tables.stop_table(results)
    yield tables.calibration_table(results)
    yield tables.timing_table(results)


def _case_counts(rows: tuple[ResultRow, ...]) -> dict[str, str]:
    """Return the case counts by modality, target, source and split as text: by name while there are few."""
    cases = {row.id: row for row in rows}.values()
    counts_by = {}
    for by in (*tables.GROUPS, "split"):
        counts = Counter(getattr(row, by) or "none given" for row in cases)
        names = [f"{name} {count}" for name, count in sorted(counts.items())]
        more = f", and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
        counts_by[by] = ", ".join(names[:_MAX_NAMES]) + more
    return counts_by


def _broken(rows: tuple[ResultRow, ...]) -> list[tuple[str, str, str, int]]:
    """Return each broken case once per reason, with the number of broken runs."""
    counts = Counter((row.id, row.target, row.reason) for row in rows if row.status == "broken")
    return [(*broken, count) for broken, count in counts.items()]
