"""Curves of GRPO trainings as far as they have come: the reward by term, refusals, and validation on unseen cases."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ibisagent.tools.errors import MissingExtra
from ibisagent.tools.files import atomic_write
from ibisagent.training.grpo.validation import validation_figures

__all__ = ["draw_curves", "read_log"]

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")  # Okabe and Ito
_TERMS = ("answer", "format", "click", "progress", "steps", "wrong_refusal", "wrong_assertion")
_WINDOW = 5
_PANELS = (
    ("reward of the rollouts", ("reward",)),
    ("IoU of the rollouts", ("iou",)),
    ("actions of the rollouts", ("reward/steps",)),
    ("rollouts that refuse: absent, present (dashed)", ("refused_absent", "refused_present")),
)
_VALIDATION_PANELS = (
    ("unseen cases, greedy: IoU", ("iou",)),
    ("unseen cases: accuracy of refusals", ("accuracy",)),
    ("unseen cases: refused, absent, present (dashed)", ("refused_absent", "refused_present")),
    ("unseen cases: actions", ("steps",)),
)


def read_log(folder: Path) -> list[dict[str, Any]]:
    """Return the logged updates of a training, oldest first; none for one that has not begun."""
    path = folder / "log.jsonl"
    if not path.is_file():
        return []
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    return [row for row in rows if "reward" in row]


def read_validations(folder: Path) -> dict[int, dict[str, float]]:
    """Return the figures of a training's validations by update."""
    path = folder / "validation.json"
    if not path.is_file():
        return {}
    results = {int(update): rows for update, rows in json.loads(path.read_text(encoding="utf-8")).items()}
    return {update: validation_figures(rows, results[0]) for update, rows in results.items()}


def draw_curves(path: Path, trainings: Mapping[str, Path]) -> None:
    """Draw trainings, folders by name, as PNG: a line each, means over five updates; terms below, a panel for each."""
    MissingExtra.require("eval", "matplotlib")
    from matplotlib.figure import Figure

    logs = {name: read_log(folder) for name, folder in trainings.items()}
    validations = {name: read_validations(folder) for name, folder in trainings.items()}
    shown = [term for term in _TERMS if any(_varies(log, f"reward/{term}") for log in logs.values())]
    rows = 2 + -(-len(shown) // 4)
    figure = Figure(figsize=(15, 3.2 * rows), layout="constrained")
    panels = list(figure.subplots(rows, 4).flat)
    for panel, (title, columns) in zip(panels, _PANELS, strict=False):
        panel.set_title(title, fontsize=10)
        for column, style in zip(columns, ("-", "--"), strict=False):
            _draw_logs(panel, logs, column, style)
    for panel, (title, columns) in zip(panels[4:8], _VALIDATION_PANELS, strict=True):
        panel.set_title(title, fontsize=10)
        for column, style in zip(columns, ("-", "--"), strict=False):
            for number, (_, found) in enumerate(validations.items()):
                points = [(update, each[column]) for update, each in sorted(found.items()) if column in each]
                panel.plot(*zip(*points, strict=True), style, color=_colour(number), marker=".") if points else None
    for panel, term in zip(panels[8:], shown, strict=False):
        panel.set_title(f"term: {term}", fontsize=10)
        _draw_logs(panel, logs, f"reward/{term}", "-")
    for panel in panels[8 + len(shown) :]:
        panel.axis("off")
    for panel in panels:
        panel.grid(alpha=0.25)
        panel.spines[["top", "right"]].set_visible(False)
        panel.set_xlabel("updates", fontsize=8)
    panels[0].legend(frameon=False, fontsize=8)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png", metadata={"Software": None})


def _colour(number: int) -> str:
    return _COLOURS[number % len(_COLOURS)]


def _varies(log: list[dict[str, Any]], column: str) -> bool:
    return len({row.get(column) for row in log}) > 1


def _draw_logs(panel: Any, logs: Mapping[str, list[dict[str, Any]]], column: str, style: str) -> None:
    for number, (name, log) in enumerate(logs.items()):
        known = [(row["step"], row[column]) for row in log if column in row]
        if known:
            steps, values = zip(*known, strict=True)
            panel.plot(steps, _smooth(values), style, color=_colour(number), label=name)


def _smooth(values: Any) -> list[float]:
    return [float(np.mean(values[max(0, end - _WINDOW) : end])) for end in range(1, len(values) + 1)]
