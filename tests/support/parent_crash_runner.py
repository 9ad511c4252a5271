"""Parents whose process is killed while the nested loop is at a step: a real forked process for each run.

``python -m support.parent_crash_runner FOLDER DIE_AT sync|async KIND...`` writes a JSON line for each kind: the result
of the unbroken run, that of the run that was killed in its policy's call number DIE_AT and resumed by another process,
and the policy's calls in both.
"""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig

from ibisagent.agent import RunStore, build_graph
from ibisagent.agent.checkpoints import aopen_checkpointer, open_checkpointer
from ibisagent.agent.integrations import ImageCatalog, fan_out, segmentation_tool
from ibisagent.agent.policies import Completion, Observation, Policy, SyncPolicy
from ibisagent.agent.policies.simple import ScriptedPolicy
from support.fakes import STOP, UNDO, negative, positive
from support.parents import REQUEST, EntryPoint, ScriptedChatModel, build_parent, open_entry_point, tool_calls

rows, columns = np.mgrid[:96, :128]
PIXELS = (60 + 90 * (((rows - 48) / 25) ** 2 + ((columns - 64) / 40) ** 2 < 1) + (rows * columns) % 9).astype(np.uint8)
THREAD: RunnableConfig = {"configurable": {"thread_id": "1"}}


def replies(request: str) -> ScriptedPolicy:
    """Return other clicks for the second of two runs, so that a mix-up is seen."""
    x = 0.2 if request.endswith(("spleen.", "2")) else 0.5
    return ScriptedPolicy([positive(x, 0.5), negative(x + 0.2, 0.5), UNDO, positive(x, 0.9), negative(x, 0.3), STOP])


class KilledPolicy(SyncPolicy):
    """Writes each of its calls to a file, and kills its process in call number ``die_at``."""

    name = "killed"

    def __init__(self, log: Path, die_at: int | None) -> None:
        self.log, self.die_at = log, die_at

    def act(self, observation: Observation) -> Completion:
        with self.log.open("a") as log:
            log.write(f"{observation.request} {observation.step}\n")
        calls = len(self.log.read_text().splitlines())  # two at once may both be in it
        if self.die_at is not None and calls >= self.die_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return replies(observation.request).act(observation)


def open_parent(kind: str, folder: Path, policy: Policy, **options: Any) -> EntryPoint:
    root, store = {"scan": PIXELS}, RunStore(folder / "store")
    if kind not in ("two targets", "two tools"):
        return open_entry_point(kind, policy, "geocut", root=root, store=store, **options)
    pictures = ImageCatalog(root)
    if kind == "two targets":
        graph = fan_out(build_graph(policy, "geocut", images=pictures, store=store))
        start = {"image": "scan", "targets": ["liver", "spleen"]}
        return EntryPoint(
            build_parent(graph, **options),
            start,
            lambda end: [end["labels"], *(end["segmentations"][name]["rle"] for name in ("liver", "spleen"))],
        )
    from langchain.agents import create_agent

    tool = segmentation_tool(policy, "geocut", images=pictures, store=store)
    asked = [("segment_image", {"image": "scan", "request": f"{REQUEST} {number}"}) for number in (1, 2)]
    agent = create_agent(ScriptedChatModel(replies=[tool_calls(*asked), AIMessage("Done.")]), [tool], **options)
    return EntryPoint(
        agent, {"messages": [("user", "x")]}, lambda end: [one.artifact["rle"] for one in end["messages"][2:4]]
    )


def run_parent(kind: str, folder: Path, die_at: int | None, asynchronous: bool) -> Any:
    """Start the parent's thread, or resume it."""
    policy = KilledPolicy(folder / "calls", die_at)
    if asynchronous:
        return asyncio.run(arun_parent(kind, folder, policy))
    with open_checkpointer(folder / "runs.db") as saver:
        graph, start, read = open_parent(kind, folder, policy, checkpointer=saver)
        begun = bool(graph.get_state(THREAD).next)
        return read(graph.invoke(None if begun else start, THREAD, durability="sync"))


async def arun_parent(kind: str, folder: Path, policy: Policy) -> Any:
    async with aopen_checkpointer(folder / "runs.db") as saver:
        graph, start, read = open_parent(kind, folder, policy, checkpointer=saver)
        begun = bool((await graph.aget_state(THREAD)).next)
        return read(await graph.ainvoke(None if begun else start, THREAD, durability="sync"))


def run_in_process(kind: str, folder: Path, die_at: int | None, asynchronous: bool) -> Any:
    """Run `run_parent` in a child process; None if it was killed."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        with os.fdopen(writer, "w") as pipe:
            json.dump(run_parent(kind, folder, die_at, asynchronous), pipe)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        text = pipe.read()
    os.waitpid(pid, 0)
    return json.loads(text) if text else None


def compare_runs(kind: str, folder: Path, die_at: int, asynchronous: bool) -> dict[str, Any]:
    runs: dict[str, Any] = {"kind": kind}
    for name, killed_at in (("unbroken", None), ("broken", die_at)):
        here = folder / f"{kind} {asynchronous} {name}"
        here.mkdir()
        runs[name] = run_in_process(kind, here, killed_at, asynchronous)
        if killed_at:
            runs["killed"] = runs[name] is None
            runs[name] = run_in_process(kind, here, None, asynchronous)
        runs[f"{name} calls"] = (here / "calls").read_text().splitlines()
    return runs


if __name__ == "__main__":
    for kind in sys.argv[4:]:
        runs = compare_runs(kind, Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "async")
        sys.stdout.write(json.dumps(runs) + "\n")
