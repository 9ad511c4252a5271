"""The report's plots: one per segmenter, in all of which a policy keeps its color and marker."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ibisagent.evals.report.read_results import EvalResults
from ibisagent.evals.report.svg import COLOURS, FAINT, GLYPHS, INK, MARKERS, Plot, render_plot, shorten
from ibisagent.evals.trajectories import RANKS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "PolicyStyle",
    "plot_iou_by_cost",
    "plot_iou_by_modality",
    "plot_iou_by_step",
    "plot_iou_distribution",
    "plot_reliability",
    "policy_styles",
]

DrawSegmenter = Callable[[str, "Axes"], None]  # draws a segmenter
_ROW = 0.2  # inches


class PolicyStyle(NamedTuple):
    """The style of a policy: the index of its color, the color, its marker in plots and the matching glyph in text."""

    color_index: int
    colour: str
    marker: str
    glyph: str


def policy_styles(results: EvalResults) -> dict[str, PolicyStyle]:
    """Return the style of every policy; the first 42 differ."""
    found = {}
    for index, policy in enumerate(results.policies):
        place, form = index % len(COLOURS), index % len(MARKERS)
        found[policy] = PolicyStyle(place, COLOURS[place], MARKERS[form], GLYPHS[form])
    return found


def plot_iou_by_step(results: EvalResults) -> list[Plot]:
    """Draw the mean IoU after the policy's k-th action, with its interval as a band."""
    styles, ranks = policy_styles(results), [k for k in RANKS if k <= results.settings["max_steps"]]

    def draw(segmenter: str, axes: "Axes") -> None:
        for run in results.runs(segmenter):
            style, found = styles[run["policy"]], [run["overall"][f"iou_at_{k}"] for k in ranks]
            value, low, high = (_column(found, end) for end in ("value", "low", "high"))
            axes.fill_between(ranks, low, high, color=style.colour, alpha=0.18, linewidth=0)
            axes.plot(ranks, value, color=style.colour, marker=style.marker, markersize=4.5, linewidth=1.4)
        axes.set(ylim=(-0.02, 1.02), xticks=ranks, xlabel="actions of the policy", ylabel="mean IoU per case")

    return _plot_each_segmenter(results, "mean IoU after each number of actions", draw)


def plot_iou_distribution(results: EvalResults) -> list[Plot]:
    """Draw how many cases ended at which IoU, each policy a row as high as its fullest bin, with its median."""
    styles, edges = policy_styles(results), np.linspace(0, 1, 21)

    def draw(segmenter: str, axes: "Axes") -> None:
        policies = [run["policy"] for run in results.runs(segmenter)]
        for row, policy in enumerate(policies):
            style, ious = styles[policy], [row.iou for row in results.done_rows(policy, segmenter)]
            counts = np.histogram(ious, edges)[0]
            heights = row - 0.8 * counts / max(1, counts.max())
            axes.stairs(heights, edges, baseline=row, color=style.colour, alpha=0.35, fill=True)
            axes.stairs(heights, edges, baseline=row, color=style.colour, linewidth=1.2)
            if ious:
                axes.plot(
                    [np.median(ious)], [row + 0.08], color=INK, marker=6, markersize=5, linestyle="", clip_on=False
                )
        axes.set(xlim=(0, 1), ylim=(len(policies) - 0.7, -0.95), xlabel="final IoU")
        axes.set_yticks(range(len(policies)), [shorten(policy) for policy in policies])

    return _plot_each_segmenter(
        results, "distribution of the final IoU", draw, 0.75 + 2.6 * _ROW * len(results.policies)
    )


def plot_iou_by_modality(results: EvalResults) -> list[Plot]:
    """Draw the mean IoU of each modality with its interval; nothing when there is only one."""
    styles = policy_styles(results)
    names = sorted({name for run in results.summary["runs"] for name in run["modality"]})
    if len(names) < 2:
        return []

    def draw(segmenter: str, axes: "Axes") -> None:
        runs = results.runs(segmenter)
        for index, run in enumerate(runs):
            style = styles[run["policy"]]
            found = [run["modality"].get(name, {}).get("iou_per_case", {}) for name in names]
            value, low, high = (_column(found, end) for end in ("value", "low", "high"))
            rows = np.arange(len(names)) + (index + 1) / (len(runs) + 1) - 0.5
            axes.hlines(rows, low, high, color=style.colour, linewidth=1.4)
            axes.plot(value, rows, color=style.colour, marker=style.marker, markersize=4.5, linestyle="")
        axes.set(xlim=(-0.02, 1.02), ylim=(len(names) - 0.5, -0.5), xlabel="mean IoU per case")
        axes.set_yticks(range(len(names)), [shorten(name) for name in names])

    height = 0.75 + _ROW * len(names) * max(2, len(results.policies))
    return _plot_each_segmenter(results, "mean IoU per case of each modality", draw, height)


def plot_reliability(results: EvalResults) -> list[Plot]:
    """Draw the true IoU of masks against the segmenter's own score; nothing for one without scores."""
    styles = policy_styles(results)

    def draw(segmenter: str, axes: "Axes") -> None:
        axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle="--")
        for run in results.runs(segmenter):
            style, bins = styles[run["policy"]], run["calibration"]["bins"]
            score, true, weight = (_column(bins, name) for name in ("score", "iou", "n"))
            axes.plot(score, true, color=style.colour, linewidth=0.8, alpha=0.6)
            area = 8 + 80 * weight / max(1, weight.sum())
            axes.scatter(score, true, area, color=style.colour, marker=style.marker, linewidths=0)
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel="the segmenter's score", ylabel="true IoU")

    scored = {run["segmenter"] for run in results.summary["runs"] if run["calibration"]["n"]}
    return _plot_each_segmenter(results, "true IoU against the segmenter's score", draw, only=scored)


def plot_iou_by_cost(results: EvalResults) -> list[Plot]:
    """Draw each policy's mean IoU against its seconds per sample."""
    styles = policy_styles(results)
    times = {(time["policy"], time["segmenter"]): time for time in results.summary["timing"]}

    def draw(segmenter: str, axes: "Axes") -> None:
        from matplotlib.ticker import LogLocator

        for run in results.runs(segmenter):
            style, seconds = styles[run["policy"]], times[run["policy"], segmenter]["seconds"]
            if seconds and run["overall"]["iou_per_case"]["value"] is not None:
                value = run["overall"]["iou_per_case"]["value"]
                axes.plot([seconds["mean"]], [value], color=style.colour, marker=style.marker, markersize=7)
        axes.set(ylim=(-0.02, 1.02), xscale="log", xlabel="seconds a sample, mean", ylabel="mean IoU per case")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter("")

    return _plot_each_segmenter(results, "mean IoU against seconds a sample", draw)


def _plot_each_segmenter(
    results: EvalResults, description: str, draw: DrawSegmenter, height: float = 2.6, only: set[str] | None = None
) -> list[Plot]:
    return [
        render_plot(segmenter, description, partial(draw, segmenter), height)
        for segmenter in results.segmenters
        if only is None or segmenter in only
    ]


def _column(found: Sequence[dict[str, Any]], name: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return one value of each as an array, nan where there is none, which a plot leaves out."""
    return np.array([each.get(name) for each in found], dtype=np.float64)
