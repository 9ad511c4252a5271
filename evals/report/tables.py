"""The report's tables, each from the figures of ``summary.json``."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple

from ibisagent.evals.report.cells import ReportCell, ReportColumn, ReportRow, ReportTable, count_cell, interval_cell, number_cell, drop_empty_columns, mean_cell, p_value_cell
from ibisagent.evals.report.results import EvalResults

__all__ = [
    *(
        "GROUPS",
        "agreement",
        "comparisons",
        "effort",
        "gaps",
        "groups",
        "journeys",
        "kinds",
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
    """Give each run of a policy with a segmenter a line; columns without a number in them are left out."""
    told = tuple(columns)
    heads = tuple(ReportColumn(column.key, column.text) for column in told)
    lines = (_line(run["policy"], run, told)._replace(policy=run["policy"]) for run in runs)
    return drop_empty_columns(ReportTable(key, "Policy", heads, tuple(lines)))


def _line(name: str, told: Run, columns: Iterable[_Column]) -> ReportRow:
    return ReportRow(name, tuple(column.cell(told) for column in columns), told["segmenter"])


def _overall(key: str, text: str, digits: int = 3, *, rests: bool = True) -> _Column:
    """``rests``: say on how many cases it rests where some are left out."""
    return _Column(key, text, lambda run: interval_cell(run["overall"].get(key), digits, cases=run["done"] if rests else None))


def quality_table(results: EvalResults) -> ReportTable:
    """How good the masks are; sensitivity only beside specificity and refusals, where a target is absent."""
    columns = [
        _Column("done", "Cases", lambda run: count_cell(run["done"])),
        _Column("broken", "Broken", lambda run: count_cell(run["broken"])),
        _overall("iou_per_case", "IoU per case"),
        _overall("dice_per_case", "Dice per case"),
        _overall("dice_pooled", "Dice pooled"),
        _overall("f1", "F1", rests=False),
        _overall("hd95_mm", "HD95, mm", 1),
        _overall("hd95_mm_penalised", "HD95 penalised, mm", 1),
        _overall("hd95_px", "HD95, px", 1),
        _overall("hd95_px_penalised", "HD95 penalised, px", 1),
        _overall("nsd_mm", "NSD (mm)"),
        _overall("nsd_px", "NSD (px)"),
    ]
    if any(run["overall"]["specificity"]["n"] for run in results.summary["runs"]):
        columns += [_overall("sensitivity", "Sensitivity"), _overall("specificity", "Specificity")]
        columns += [_overall("refused", "Refused"), _overall("wrongly_refused", "Wrongly refused")]
    if _any_declined(results):
        columns.append(_overall("declined", "Declined"))
    return _runs("quality", results.summary["runs"], columns)


def effort_table(results: EvalResults) -> ReportTable:
    """What the first actions bring, how many there are and how well they are aimed."""
    columns = [_overall(f"iou_at_{k}", f"IoU@{k}") for k in (1, 3, 5, 10)]
    columns += [
        _Column("length", "Steps", lambda run: mean_cell(run["trajectories"]["length"])),
        _rate("click_hit_rate", "Click-hit rate"),
        _overall("first_hit", "First hit"),
    ]
    return _runs("effort", results.summary["runs"], columns)


def _rate(key: str, text: str) -> _Column:
    return _Column(key, text, lambda run: number_cell(run["trajectories"][key]["pooled"]))


def trajectory_table(results: EvalResults) -> ReportTable:
    """How the runs went."""
    columns = [
        _Column("wasted_clicks", "Wasted clicks a run", lambda run: mean_cell(run["trajectories"]["wasted_clicks"])),
        _rate("wasted_rate", "Wasted share"),
        _rate("progress_rate", "Progress rate"),
        _Column("overshoot", "Overshoot", lambda run: number_cell(run["trajectories"]["overshoot"]["mean"])),
        _Column("undos", "Undos", lambda run: count_cell(_undos(run)["count"])),
        _Column("undos_helped", "Undos that helped", lambda run: number_cell(_undos(run)["helped"], 0)),
        _Column("undo_gain", "IoU gained an undo", lambda run: number_cell(_undos(run)["mean_gained"])),
        _rate("valid_action_rate", "Valid actions"),
        _rate("repair_rate", "Repaired replies"),
        _Column("oracle_gap", "IoU behind the oracle", partial(_behind, results)),
    ]
    return _runs("journeys", results.summary["runs"], columns)


def _undos(run: Run) -> dict[str, Any]:
    found: dict[str, Any] = run["trajectories"]["undos"]
    return found


def _behind(results: EvalResults, run: Run) -> ReportCell:
    """Read the comparison with the oracle, the same cases and segmenter, which stands in the order of the policies."""
    for pair in results.summary["comparisons"]:
        if pair["segmenter"] == run["segmenter"] and {pair["first"], pair["second"]} == {"oracle", run["policy"]}:
            return interval_cell(pair["difference"] if pair["first"] == "oracle" else _turned(pair["difference"]))
    return number_cell(None)


def _turned(found: Run) -> Run:
    low, high = found["low"], found["high"]
    ends = {"low": None if high is None else -high, "high": None if low is None else -low}
    return found | ends | {"value": None if found["value"] is None else -found["value"]}


def start_table(results: EvalResults) -> ReportTable:
    """How the policies got over what was planted; without a column where nothing was."""
    columns = [
        _overall("start_iou", "IoU met"),
        _overall("better", "Better at the end"),
        _overall("start_undone", "Undone"),
        _overall("outweighed", "Outweighed"),
    ]
    return _runs("starts", results.summary["runs"], columns)


def comparison_table(results: EvalResults) -> ReportTable:
    """Every two policies with the same segmenter on the same cases."""
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
    lines = (_line(f"{pair['first']} − {pair['second']}", pair, columns) for pair in pairs)
    heads = tuple(ReportColumn(column.key, column.text) for column in columns)
    return ReportTable("comparisons", "Policies", heads, tuple(lines))


def group_table(results: EvalResults, by: str) -> ReportTable:
    """Mean IoU of each modality, target or source, a column a run."""
    runs = results.summary["runs"]
    names = sorted({name for run in runs for name in run[by]})
    heads = [ReportColumn("cases", "Cases")] + [ReportColumn("iou_per_case", run["segmenter"], run["policy"]) for run in runs]
    return ReportTable(by, by.capitalize(), tuple(heads), tuple(_group(runs, by, name) for name in names))


def _group(runs: list[Run], by: str, name: str) -> ReportRow:
    found = [run[by].get(name, {}).get("iou_per_case") for run in runs]
    cases = max(each["n"] for each in found if each)
    return ReportRow(name or "none given", (count_cell(cases), *(interval_cell(each, cases=cases) for each in found)))


_OF_A_KIND = {
    "iou_per_case": "IoU per case",
    "refused": "Refused",
    "wrongly_refused": "Wrongly refused",
    "declined": "Declined",
    "first_hit": "First hit",
    "length": "Steps",
    "valid_action_rate": "Valid actions",
    "better": "Better at the end",
    "outweighed": "Outweighed",
}


def source_table(results: EvalResults) -> ReportTable:
    """What each policy does on each source, where there are several: sources may be kinds of request."""
    runs = results.summary["runs"]
    names = sorted({name for run in runs for name in run["source"]})
    told = {key: text for key, text in _OF_A_KIND.items() if key != "declined" or _any_declined(results)}
    lines = [
        ReportRow(f"{name or 'none given'}: {run['policy']}", _kind(run["source"][name], told), run["segmenter"])
        for name in names
        for run in runs
        if name in run["source"]
    ]
    heads = tuple(ReportColumn(key, text) for key, text in told.items())
    return drop_empty_columns(ReportTable("kinds", "Source and policy", heads, tuple(lines) if len(names) > 1 else ()))


def _any_declined(results: EvalResults) -> bool:
    return any(run["trajectories"]["stops"].get("declined") for run in results.summary["runs"])


def _kind(found: Run, told: Iterable[str]) -> tuple[ReportCell, ...]:
    return tuple(interval_cell(found.get(key), 1 if key == "length" else 3) for key in told)


def gap_table(results: EvalResults) -> ReportTable:
    """How far a run's worst source lies behind its best one."""
    columns = (
        _Column("best", "Best source", lambda run: _source(run, "best")),
        _Column("worst", "Worst source", lambda run: _source(run, "worst")),
        _Column("gap", "Gap", lambda run: number_cell((run["gap"] or {}).get("gap"))),
    )
    return _runs("gaps", results.summary["runs"], columns)


def _source(run: Run, which: str) -> ReportCell:
    if not run["gap"]:
        return number_cell(None)
    name = run["gap"][which]
    return interval_cell(run["source"][name]["iou_per_case"])._replace(note=name)


def calibration_table(results: EvalResults) -> ReportTable:
    """How well the segmenter's score tells the IoU."""
    columns = [_Column("n", "Scored", lambda run: count_cell(run["calibration"]["n"]))]
    for key, text in (("mae", "Mean error"), ("bias", "Bias"), ("ece", "ECE"), ("spearman", "Spearman")):
        columns.append(_Column(key, text, partial(_calibrated, key)))
    return _runs("agreement", results.summary["runs"], columns)


def _calibrated(key: str, run: Run) -> ReportCell:
    return number_cell(run["calibration"][key])


def stop_table(results: EvalResults) -> ReportTable:
    """Why runs ended, with bars for the shares."""
    runs = results.summary["runs"]
    names = sorted({name for run in runs for name in run["trajectories"]["stops"]})
    columns = (_Column(name, name.replace("_", " "), partial(_stopped, name)) for name in names)
    return _runs("stops", runs, columns)


def _stopped(name: str, run: Run) -> ReportCell:
    count = run["trajectories"]["stops"].get(name, 0)
    return count_cell(count)._replace(share=count / max(1, run["done"]))


def timing_table(results: EvalResults) -> ReportTable:
    """What a sample costs, beside what it brings."""
    times = {(time["policy"], time["segmenter"]): time for time in results.summary["timing"]}

    def column(key: str, text: str, digits: int = 3) -> _Column:
        return _Column(key, text, lambda run: mean_cell(times[run["policy"], run["segmenter"]][key], digits))

    columns = (
        _overall("iou_per_case", "IoU per case"),
        column("seconds", "Seconds a sample"),
        column("policy_seconds", "of these, policy"),
        column("segmenter_seconds", "of these, segmenter"),
        column("tokens", "Tokens a sample", 0),
    )
    return _runs("timing-table", results.summary["runs"], columns)
