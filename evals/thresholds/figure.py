"""The figure of a comparison of thresholds: reward and best stopping point by knob, and by target size and modality."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ibisagent.evals.report.svg import COLOURS, MARKERS, shorten
from ibisagent.evals.thresholds.settings import CLICKS, REWARD, STEPS, TIERS
from ibisagent.evals.thresholds.summary import ThresholdRow, ThresholdSummary
from ibisagent.tools.errors import MissingExtra
from ibisagent.tools.files import atomic_write

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["write_figure"]

_KNOBS = (TIERS, CLICKS, STEPS)
_SPREAD = 0.5  # of a category's width, over which its policies are spread
_PER_GROUP = 0.5  # inches


def write_figure(path: Path, summary: ThresholdSummary) -> None:
    """Draw a summary as PNG or SVG, by the name's ending; equal summaries give equal bytes of a PNG."""
    MissingExtra.require("eval", "matplotlib")
    from matplotlib.figure import Figure

    policies = list(dict.fromkeys(row.policy for row in summary.rows))
    groups = list(dict.fromkeys((row.group_by, row.group) for row in summary.rows))
    figure = Figure(figsize=(max(11.0, 1.5 + 2 * _PER_GROUP * len(groups)), 13.5), layout="constrained")
    panels = figure.subplots(len(_KNOBS) + 1, 2)
    for (left, right), knob in zip(panels, _KNOBS, strict=False):
        _draw_knob(left, _rows(summary, knob), policies, lambda row: (row.reward, row.low, row.high))
        _draw_knob(right, _rows(summary, knob), policies, lambda row: (row.best_stop, None, None))
        _draw_own_prompts(right, _rows(summary, knob), policies)
        left.set(xlabel=knob, ylabel="mean reward, 95 % interval")
        right.set(xlabel=knob, ylabel="best stop, prompts (mean)")
    _draw_groups(panels[-1][0], summary, policies, lambda row: row.reward, order_changes=True)
    _draw_groups(panels[-1][1], summary, policies, lambda row: row.best_stop)
    panels[-1][0].set_ylabel("reward: paper's (mark),\nall settings (line)")
    panels[-1][1].set_ylabel("best stop: paper's (mark),\nall settings (line)")
    for panel in panels.flat:
        panel.grid(alpha=0.25)
        panel.set_axisbelow(True)
        panel.spines[["top", "right"]].set_visible(False)
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=min(5, len(labels)), frameon=False)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=110, metadata={"Software": None} if path.suffix == ".png" else {"Date": None})


def _rows(summary: ThresholdSummary, knob: str) -> list[ThresholdRow]:
    """Return the rows of one knob and of our default reward beside it, over all cases."""
    return [row for row in summary.rows if row.group_by == "all" and row.knob in (knob, REWARD)]


def _labels(rows: Sequence[ThresholdRow]) -> dict[tuple[str, str], str]:
    """Return the label of each setting on the axis."""
    marks = {True: "\n(paper)", False: ""}
    words = {(row.knob, row.value): (row.value + marks[row.is_base], row.knob == REWARD) for row in rows}
    return {key: f"{text}\nreward" if ours else text for key, (text, ours) in words.items()}


def _offset(index: int, count: int) -> float:
    return _SPREAD * ((index + 0.5) / count - 0.5)


def _draw_knob(
    axes: "Axes",
    rows: Sequence[ThresholdRow],
    policies: Sequence[str],
    read: Callable[[ThresholdRow], tuple[float, float | None, float | None]],
) -> None:
    """Draw each policy's value at each setting, its interval as a bar; a line joins those of the knob itself."""
    labels = _labels(rows)
    places = {key: index for index, key in enumerate(labels)}
    for index, policy in enumerate(policies):
        mine = [row for row in rows if row.policy == policy]
        x = [places[row.knob, row.value] + _offset(index, len(policies)) for row in mine]
        values = [read(row) for row in mine]
        style: Any = {"color": COLOURS[index % len(COLOURS)], "marker": MARKERS[index % len(MARKERS)], "markersize": 5}
        joined = sum(row.knob != REWARD for row in mine)
        y = [value for value, _, _ in values]
        axes.plot(x[:joined], y[:joined], label=shorten(policy, 40), linewidth=0.8, **style)
        axes.plot(x[joined:], y[joined:], linestyle="", **style)
        for at, (_, low, high) in zip(x, values, strict=True):
            if low is not None and high is not None:
                axes.plot([at, at], [low, high], color=style["color"], linewidth=1.2)
    axes.set_xticks(list(places.values()), list(labels.values()), fontsize=8)


def _draw_own_prompts(axes: "Axes", rows: Sequence[ThresholdRow], policies: Sequence[str]) -> None:
    """Draw the number of prompts that each policy made as a dotted line."""
    for index, policy in enumerate(policies):
        own = next(row.prompts for row in rows if row.policy == policy)
        axes.axhline(own, color=COLOURS[index % len(COLOURS)], linestyle=":", linewidth=1)
    axes.set_title("dotted: prompts made", fontsize=8, loc="right")
    axes.set_ylim(bottom=0)


def _draw_groups(
    axes: "Axes",
    summary: ThresholdSummary,
    policies: Sequence[str],
    read: Callable[[ThresholdRow], float],
    order_changes: bool = False,
) -> None:
    """Draw by group of cases a value under the paper's reward, and its range over all settings of that reward.

    ``order_changes``: write above each group how many settings change the order of policies.
    """
    groups = list(dict.fromkeys((row.group_by, row.group) for row in summary.rows))
    for place, key in enumerate(groups):
        rows = [row for row in summary.rows if (row.group_by, row.group) == key and row.knob != REWARD]
        for index, policy in enumerate(policies):
            mine = [row for row in rows if row.policy == policy]
            at, values = place + _offset(index, len(policies)), [read(row) for row in mine]
            colour = COLOURS[index % len(COLOURS)]
            axes.plot([at, at], [min(values), max(values)], color=colour, linewidth=1.6)
            base = next(read(row) for row in mine if row.is_base)
            axes.plot([at], [base], color=colour, marker=MARKERS[index % len(MARKERS)], markersize=4.5)
        changed = {(each.knob, each.value) for each in summary.order_changes if (each.group_by, each.group) == key}
        changed = {(knob, value) for knob, value in changed if knob != REWARD}
        if order_changes and len(policies) > 1:
            settings = len({(row.knob, row.value) for row in rows if not row.is_base})
            axes.annotate(
                f"{len(changed)}/{settings}", (place, 1.0), xycoords=("data", "axes fraction"), ha="center", fontsize=8
            )
    axes.set_xticks(range(len(groups)), [shorten(name, 16) for _, name in groups], rotation=35, ha="right", fontsize=8)
    if order_changes and len(policies) > 1:
        axes.set_title("above: settings that change the order of policies\n", fontsize=8, loc="right")
