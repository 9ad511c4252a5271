"""The report's tables, each from the metrics in ``summary.json``."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple

from ibisagent.evals.report.cells import (
    ReportCell,
    ReportColumn,
    ReportRow,
    ReportTable,
    count_cell,
    drop_empty_columns,
    interval_cell,
    mean_cell,
    number_cell,
    p_value_cell,
)
from ibisagent.evals.report.read_results import EvalResults

__all__ = [
    *(
        "GROUPS",
        "calibration",
        "comparisons",
        "effort",
        "gaps",
        "groups",
        "trajectory_metrics",
        "source_metrics",
        "quality",
        "starts",
        "stops",
    ),
    "timing_table",
]

Run = dict[str, Any]
GROUPS = ("modality", "target", "source")


class _Column(NamedTuple):
    key: str
    text: str
    cell: Callable[[Run], ReportCell]


def _runs(key: str, runs: Iterable[Run], columns: Iterable[_Column]) -> ReportTable:
    """Return a table with a row for each policy and segmenter; columns without a number are left out."""
    columns = tuple(columns)
    heads = tuple(ReportColumn(column.key, column.text) for column in columns)
    rows = (_row(run["policy"], run, columns)._replace(policy=run["policy"]) for run in runs)
    return drop_empty_columns(ReportTable(key, "Policy", heads, tuple(rows)))


def _row(name: str, values: Run, columns: Iterable[_Column]) -> ReportRow:
    return ReportRow(name, tuple(column.cell(values) for column in columns), values["segmenter"])


def _overall_column(key: str, text: str, digits: int = 3, *, with_n: bool = True) -> _Column:
    """Return the column of an overall metric; ``with_n``: note its number of cases where some are left out."""
    return _Column(
        key, text, lambda run: interval_cell(run["overall"].get(key), digits, cases=run["done"] if with_n else None)
    )


def quality_table(results: EvalResults) -> ReportTable:
    """Quality of the masks; sensitivity, specificity and refusals only where a target is absent."""
    columns = [
        _Column("done", "Cases", lambda run: count_cell(run["done"])),
        _Column("broken", "Broken", lambda run: count_cell(run["broken"])),
        _overall_column("iou_per_case", "IoU per case"),
        _overall_column("dice_per_case", "Dice per case"),
        _overall_column("dice_pooled", "Dice pooled"),
        _overall_column("f1", "F1", with_n=False),
        _overall_column("hd95_mm", "HD95, mm", 1),
        _overall_column("hd95_mm_penalised", "HD95 penalised, mm", 1),
        _overall_column("hd95_px", "HD95, px", 1),
        _overall_column("hd95_px_penalised", "HD95 penalised, px", 1),
        _overall_column("nsd_mm", "NSD (mm)"),
        _overall_column("nsd_px", "NSD (px)"),
    ]
    if any(run["overall"]["specificity"]["n"] for run in results.summary["runs"]):
        columns += [_overall_column("sensitivity", "Sensitivity"), _overall_column("specificity", "Specificity")]
        columns += [
            _overall_column("refusal_rate", "Refusal rate"),
            _overall_column("false_refusal_rate", "False refusal rate"),
        ]
    if _any_declined(results):
        columns.append(_overall_column("decline_rate", "Decline rate"))
    return _runs("quality", results.summary["runs"], columns)


def effort_table(results: EvalResults) -> ReportTable:
    """IoU after the first actions, number of actions and click accuracy."""
    columns = [_overall_column(f"iou_at_{k}", f"IoU@{k}") for k in (1, 3, 5, 10)]
    columns += [
        _Column("length", "Steps", lambda run: mean_cell(run["trajectories"]["length"])),
        _rate_column("click_hit_rate", "Click-hit rate"),
        _overall_column("first_click_hit_rate", "First click hits"),
    ]
    return _runs("effort", results.summary["runs"], columns)


def _rate_column(key: str, text: str) -> _Column:
    return _Column(key, text, lambda run: number_cell(run["trajectories"][key]["pooled"]))


def trajectory_table(results: EvalResults) -> ReportTable:
    """Trajectory metrics."""
    columns = [
        _Column("wasted_clicks", "Wasted clicks per run", lambda run: mean_cell(run["trajectories"]["wasted_clicks"])),
        _rate_column("wasted_rate", "Wasted share"),
        _rate_column("progress_rate", "Progress rate"),
        _Column("regret", "Regret", lambda run: number_cell(run["trajectories"]["regret"]["mean"])),
        _Column("undos", "Undos", lambda run: count_cell(_undos(run)["count"])),
        _Column("helpful_undos", "Helpful undos", lambda run: number_cell(_undos(run)["helpful"], 0)),
        _Column("mean_undo_gain", "IoU gain per undo", lambda run: number_cell(_undos(run)["mean_gain"])),
        _rate_column("valid_action_rate", "Valid actions"),
        _rate_column("repair_rate", "Repaired replies"),
        _Column("oracle_gap", "Oracle gap", partial(_oracle_gap, results)),
    ]
    return _runs("trajectory_metrics", results.summary["runs"], columns)


def _undos(run: Run) -> dict[str, Any]:
    found: dict[str, Any] = run["trajectories"]["undos"]
    return found


def _oracle_gap(results: EvalResults, run: Run) -> ReportCell:
    """Return the difference to the oracle on the same cases and segmenter; pairs are in the order of the policies."""
    for pair in results.summary["comparisons"]:
        if pair["segmenter"] == run["segmenter"] and {pair["first"], pair["second"]} == {"oracle", run["policy"]}:
            return interval_cell(pair["difference"] if pair["first"] == "oracle" else _negated(pair["difference"]))
    return number_cell(None)


def _negated(found: Run) -> Run:
    low, high = found["low"], found["high"]
    ends = {"low": None if high is None else -high, "high": None if low is None else -low}
    return found | ends | {"value": None if found["value"] is None else -found["value"]}


def start_table(results: EvalResults) -> ReportTable:
    """Recovery from initial masks and distractor clicks; without columns where there was none."""
    columns = [
        _overall_column("start_iou", "Start IoU"),
        _overall_column("improved", "Improved"),
        _overall_column("start_undone", "Undone"),
        _overall_column("recovered", "Recovered"),
    ]
    return _runs("starts", results.summary["runs"], columns)


def comparison_table(results: EvalResults) -> ReportTable:
    """Comparisons of every two policies with the same segmenter on the same cases."""
    columns = (
        _Column("difference", "IoU difference", lambda pair: interval_cell(pair["difference"])),
        _Column("larger", "Better", lambda pair: count_cell(pair["larger"])),
        _Column("equal", "Equal", lambda pair: count_cell(pair["equal"])),
        _Column("smaller", "Worse", lambda pair: count_cell(pair["smaller"])),
        _Column("effect", "Effect", lambda pair: number_cell(pair["effect"], 2)),
        _Column("holm_p", "p (Holm)", lambda pair: p_value_cell(pair["holm_p"])),
        _Column("wilcoxon_p", "p, Wilcoxon", lambda pair: p_value_cell(pair["wilcoxon_p"])),
    )
    pairs = results.summary["comparisons"]
    lines = (_row(f"{pair['first']} − {pair['second']}", pair, columns) for pair in pairs)
    heads = tuple(ReportColumn(column.key, column.text) for column in columns)
    return ReportTable("comparisons", "Policies", heads, tuple(lines))


def group_table(results: EvalResults, by: str) -> ReportTable:
    """Mean IoU of each modality, target or source, a column per policy and segmenter."""
    runs = results.summary["runs"]
    names = sorted({name for run in runs for name in run[by]})
    heads = [ReportColumn("cases", "Cases")] + [
        ReportColumn("iou_per_case", run["segmenter"], run["policy"]) for run in runs
    ]
    return ReportTable(by, by.capitalize(), tuple(heads), tuple(_group(runs, by, name) for name in names))


def _group(runs: list[Run], by: str, name: str) -> ReportRow:
    found = [run[by].get(name, {}).get("iou_per_case") for run in runs]
    cases = max(each["n"] for each in found if each)
    return ReportRow(name or "none given", (count_cell(cases), *(interval_cell(each, cases=cases) for each in found)))


_SOURCE_COLUMNS = {
    "iou_per_case": "IoU per case",
    "refusal_rate": "Refusal rate",
    "false_refusal_rate": "False refusal rate",
    "decline_rate": "Decline rate",
    "first_click_hit_rate": "First click hits",
    "length": "Steps",
    "valid_action_rate": "Valid actions",
    "improved": "Improved",
    "recovered": "Recovered",
}


def source_table(results: EvalResults) -> ReportTable:
    """Metrics of each policy on each source, where there are several: sources may be kinds of request."""
    runs = results.summary["runs"]
    names = sorted({name for run in runs for name in run["source"]})
    headers = {key: text for key, text in _SOURCE_COLUMNS.items() if key != "decline_rate" or _any_declined(results)}
    lines = [
        ReportRow(
            f"{name or 'none given'}: {run['policy']}", _source_cells(run["source"][name], headers), run["segmenter"]
        )
        for name in names
        for run in runs
        if name in run["source"]
    ]
    heads = tuple(ReportColumn(key, text) for key, text in headers.items())
    return drop_empty_columns(
        ReportTable("source_metrics", "Source and policy", heads, tuple(lines) if len(names) > 1 else ())
    )


def _any_declined(results: EvalResults) -> bool:
    return any(run["trajectories"]["stops"].get("declined") for run in results.summary["runs"])


def _source_cells(found: Run, headers: Iterable[str]) -> tuple[ReportCell, ...]:
    return tuple(interval_cell(found.get(key), 1 if key == "length" else 3) for key in headers)


def gap_table(results: EvalResults) -> ReportTable:
    """The gap between the best and the worst source."""
    columns = (
        _Column("best", "Best source", lambda run: _source_cell(run, "best")),
        _Column("worst", "Worst source", lambda run: _source_cell(run, "worst")),
        _Column("gap", "Gap", lambda run: number_cell((run["gap"] or {}).get("gap"))),
    )
    return _runs("gaps", results.summary["runs"], columns)


def _source_cell(run: Run, which: str) -> ReportCell:
    if not run["gap"]:
        return number_cell(None)
    name = run["gap"][which]
    return interval_cell(run["source"][name]["iou_per_case"])._replace(note=name)


def calibration_table(results: EvalResults) -> ReportTable:
    """Calibration of the segmenter's score against the IoU."""
    columns = [_Column("n", "Scored", lambda run: count_cell(run["calibration"]["n"]))]
    for key, text in (("mae", "MAE"), ("bias", "Bias"), ("ece", "ECE"), ("spearman", "Spearman")):
        columns.append(_Column(key, text, partial(_calibration_cell, key)))
    return _runs("calibration", results.summary["runs"], columns)


def _calibration_cell(key: str, run: Run) -> ReportCell:
    return number_cell(run["calibration"][key])


def stop_table(results: EvalResults) -> ReportTable:
    """Stop reasons, with bars for the shares."""
    runs = results.summary["runs"]
    names = sorted({name for run in runs for name in run["trajectories"]["stops"]})
    columns = (_Column(name, name.replace("_", " "), partial(_stop_cell, name)) for name in names)
    return _runs("stops", runs, columns)


def _stop_cell(name: str, run: Run) -> ReportCell:
    count = run["trajectories"]["stops"].get(name, 0)
    return count_cell(count)._replace(share=count / max(1, run["done"]))


def timing_table(results: EvalResults) -> ReportTable:
    """Time and tokens per sample, beside the IoU."""
    times = {(time["policy"], time["segmenter"]): time for time in results.summary["timing"]}

    def column(key: str, text: str, digits: int = 3) -> _Column:
        return _Column(key, text, lambda run: mean_cell(times[run["policy"], run["segmenter"]][key], digits))

    columns = (
        _overall_column("iou_per_case", "IoU per case"),
        column("seconds", "Seconds per sample"),
        column("policy_seconds", "of these, policy"),
        column("segmenter_seconds", "of these, segmenter"),
        column("first_mask_seconds", "Seconds to the first mask"),
        column("tokens", "Tokens per sample", 0),
    )
    return _runs("timing-table", results.summary["runs"], columns)
