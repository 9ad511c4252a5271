"""The benchmark's plot: mean IoU against prompts, a panel for each mode, a line for each segmenter."""

from pathlib import Path
from typing import Any

from ibisagent.evals.clicks.summary import RANKS
from ibisagent.tools.errors import MissingExtra
from ibisagent.tools.files import atomic_write

__all__ = ["write_plot"]

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")  # Okabe and Ito
_TITLES = {
    "centre": "centred clicks",
    "jitter": "jittered clicks",
    "box": "bounding box, then centred clicks",
    "similar": "examples: all like this",
}


def write_plot(path: Path, summary: dict[str, Any]) -> None:
    """Draw the curves of a summary, with their 95 % bands, as PNG; equal summaries give equal bytes."""
    MissingExtra.require("eval", "matplotlib")
    from matplotlib.figure import Figure

    whole = [result for result in summary["results"] if result["curve"]]
    modes = list(dict.fromkeys(result["mode"] for result in whole))
    names = list(dict.fromkeys(result["segmenter"] for result in whole))
    figure = Figure(figsize=(1 + 4 * max(1, len(modes)), 4), layout="constrained")
    panels = figure.subplots(1, max(1, len(modes)), sharey=True, squeeze=False)[0]
    for panel, mode in zip(panels, modes, strict=False):
        for result in whole:
            if result["mode"] == mode:
                _draw(panel, result, _COLOURS[names.index(result["segmenter"]) % len(_COLOURS)])
        panel.set_title(_TITLES[mode], fontsize=10)
        panel.set_xlabel("prompts, the box being the first" if mode == "box" else "clicks")
        panel.set_xticks([rank for rank in (*RANKS, 15) if rank <= summary["settings"]["clicks"]])
    for panel in panels:
        panel.grid(alpha=0.25)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("mean IoU with 95 % interval")
    if whole:
        panels[-1].legend(loc="lower right", frameon=False)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=150, metadata={"Software": None})


def _draw(panel: Any, result: dict[str, Any], colour: str) -> None:
    curve = result["curve"]
    prompts = range(1, len(curve) + 1)
    panel.plot(prompts, [point["value"] for point in curve], color=colour, marker=".", label=result["segmenter"])
    if curve[0]["low"] is not None:
        low, high = ([point[end] for point in curve] for end in ("low", "high"))
        panel.fill_between(prompts, low, high, color=colour, alpha=0.18, linewidth=0)
