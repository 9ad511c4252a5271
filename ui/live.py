"""The live table of a run: one row a step, as it happens."""

import sys
from typing import Any

from langgraph.types import Command
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from ibisagent.agent import Action, Box, Click, SegmentationGraph
from ibisagent.agent.actions import from_plain
from ibisagent.agent.parsing import parse_reply
from ibisagent.agent.state import State, StepRecord
from ibisagent.tools.masks import area, decode
from ibisagent.tools.simulator import iou

__all__ = ["run_live"]

_THREAD = {"configurable": {"thread_id": "command line"}}


def run_live(graph: SegmentationGraph, start: dict[str, Any], console: Console, truth: Any = None) -> State:
    """Run the graph, show its steps, ask at interrupts, and give the state it ended with.

    ``truth``: the true mask, (H, W) bool; with it the table has a column for the IoU.
    """
    table = _table(truth is not None)
    state: Any = None
    given: Any = start
    with Live(table, console=console, auto_refresh=False, vertical_overflow="visible") as live:
        while given is not None:
            following: Any = None
            for mode, chunk in graph.stream(given, _THREAD, stream_mode=["custom", "values"]):
                if mode == "values" and "__interrupt__" in chunk:
                    following = Command(resume=_ask(chunk["__interrupt__"][0].value, live, console))
                elif mode == "values":
                    state = chunk
                elif chunk["event"] == "step":
                    table.add_row(*_row(graph, chunk, truth))
                    live.refresh()
            given = following
    if not console.is_terminal:
        console.print()  # a Live table that cannot move the cursor leaves its last line open
    console.print(f"[bold]{state['stop']}[/bold]  {escape(state['answer'] or state['error'] or '')}")
    return state  # type: ignore[no-any-return]


def _table(known: bool) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("", justify="right", style="dim")
    table.add_column("action")
    table.add_column("thought", style="italic", min_width=20)
    for name in ("score", *(("IoU",) if known else ()), "area px", "s"):
        table.add_column(name, justify="right")
    return table


def _row(graph: SegmentationGraph, step: StepRecord, truth: Any) -> list[str]:
    store = graph.parts.store
    mask = store.get_mask(step["mask"])
    said = store.get(step["reply"])["text"] if step["reply"] else ""
    action = _short(from_plain(step["action"])) if step["action"] else "unreadable"
    notes = [] if step["by"] == "policy" else [f"by {step['by']}"]
    notes += [step["error"]] if step["error"] else []
    notes += [f"undoes {step['reverts'] or 'the initial mask'}"] if step["reverts"] is not None else []
    row = [
        str(step["n"]),
        escape("; ".join([action, *notes])),
        escape(parse_reply(said).thought if said else ""),
        "" if step["score"] is None else f"{step['score']:.2f}",
    ]
    known = [] if truth is None else [f"{iou(decode(mask), truth):.3f}"]
    return [*row, *known, f"{area(mask):,}", f"{sum(step['seconds'].values()):.2f}"]


def _short(action: Action) -> str:
    if isinstance(action, Click):
        return f"{'+' if action.positive else '-'} {action.x:.3f}, {action.y:.3f}"
    if isinstance(action, Box):
        return f"box {action.x0:.2f}, {action.y0:.2f}, {action.x1:.2f}, {action.y1:.2f}"
    return type(action).__name__.lower()


def _ask(question: dict[str, Any], live: Live, console: Console) -> str:
    """Ask the person at the terminal; the end of the input accepts what there is."""
    live.refresh()
    if question.get("feedback"):
        console.print(f"[red]{escape(question['feedback'])}[/red]")
    console.print(f"Next? {question['expected']}")
    return sys.stdin.readline().strip() or "Terminate"
