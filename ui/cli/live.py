"""The live table of a run: one row per step, as it happens."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, cast

from langchain_core.runnables import RunnableConfig
from langgraph.types import Command
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from ibisagent.agent import SegmentationGraph
from ibisagent.agent.cautions import list_cautions
from ibisagent.agent.reply_parser import parse_completion
from ibisagent.agent.state import RunContext, State, StepRecord, active_target
from ibisagent.agent.steps import steps_of_request
from ibisagent.tools.masks.measure import describe_measurements, iou
from ibisagent.tools.masks.rle import decode
from ibisagent.ui.cli.step_table import empty_table, proposal_row, step_row

__all__ = ["LiveResult", "run_live"]


class LiveResult(NamedTuple):
    """The last state of a run, None if it never began, and the bug that ended it, if any."""

    state: State | None
    bug: Exception | None


def run_live(
    graph: SegmentationGraph, given: Any, thread: RunnableConfig, console: Console, truth: Any = None
) -> LiveResult:
    """Run the graph, show its steps, ask at interrupts; Ctrl-C ends the run after the model's current call.

    ``given``, ``thread``: from `resume_or_start`; ``truth``: the true mask, (H, W) bool; with it the table has a column
    for the IoU.
    """
    state: State | None = None
    bug: Exception | None = None
    try:
        for latest in _states(graph, given, thread, console, truth):
            state = latest
    except Exception as error:
        bug = error
    if state is not None:
        console.print(f"[bold]{state['stop'] or 'failed'}[/bold]  {escape(state['answer'] or state['error'] or '')}")
        if state["measurements"]:
            console.print(describe_measurements(state["measurements"]))
        for caution in list_cautions(state, graph.components.policy.name):
            console.print(f"Note: {caution}.", style="yellow", markup=False)
    return LiveResult(state, bug)


def _states(
    graph: SegmentationGraph, given: Any, thread: RunnableConfig, console: Console, truth: Any
) -> Iterator[State]:
    table = empty_table(truth is not None)
    durable: dict[str, Any] = {"durability": "sync"} if graph.checkpointer else {}
    if given is None:
        earlier = cast(State, graph.get_state(thread).values)
        _add_proposal(table, graph, earlier, truth)
        for step in steps_of_request(earlier):
            table.add_row(*_row(graph, step, truth))
        console.print(f"resumed after {len(steps_of_request(earlier))} steps")
        yield earlier
    with (
        _cancel_at_ctrl_c() as cancel,
        Live(table, console=console, auto_refresh=False, vertical_overflow="visible") as live,
    ):
        going = True
        while going:
            going = False
            options: dict[str, Any] = {"context": RunContext(cancel=cancel), "stream_mode": ["custom", "values"]}
            for mode, chunk in graph.stream(given, thread, **options, **durable):
                if mode == "values" and "__interrupt__" in chunk:
                    given, going = Command(resume=_ask_person(chunk["__interrupt__"][0].value, live, console)), True
                elif mode == "values" and "run" in chunk:
                    if not table.row_count:
                        _add_proposal(table, graph, chunk, truth)
                    yield chunk
                elif mode == "custom" and chunk["event"] == "step":
                    table.add_row(*_row(graph, chunk, truth))
                    live.refresh()
    if not console.is_terminal:
        console.print()  # a Live table outside a terminal does not end its last line


@contextmanager
def _cancel_at_ctrl_c() -> Iterator[threading.Event]:
    """Yield an event that the first Ctrl-C sets; the second one interrupts as usual."""
    cancel = threading.Event()
    before = signal.getsignal(signal.SIGINT)

    def ask(*_: Any) -> None:
        cancel.set()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, ask)
    try:
        yield cancel
    finally:
        signal.signal(signal.SIGINT, before)


def _add_proposal(table: Table, graph: SegmentationGraph, state: State, truth: Any) -> None:
    target = active_target(state)
    if target["proposal"] is not None:
        mask = graph.components.store.get_mask(target["start"])
        table.add_row(*proposal_row(target["proposal"], mask, None if truth is None else iou(decode(mask), truth)))


def _row(graph: SegmentationGraph, step: StepRecord, truth: Any) -> list[str]:
    store = graph.components.store
    mask = store.get_mask(step["mask"])
    thought = parse_completion(store.get(step["reply"])).thought if step["reply"] else ""
    known = None if truth is None else iou(decode(mask), truth)
    return step_row(step, thought, mask, known)


def _ask_person(question: dict[str, Any], live: Live, console: Console) -> str:
    """Ask the person at the terminal; the end of the input accepts the current mask."""
    live.refresh()
    if question.get("feedback"):
        console.print(f"[red]{escape(question['feedback'])}[/red]")
    console.print(f"Next? {question['expected']}")
    return sys.stdin.readline().strip() or "Terminate"
