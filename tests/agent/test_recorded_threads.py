"""Threads of an SQLite file are read as records, and no byte of the file or beside it changes."""

import hashlib

import numpy as np
import pytest
from support.fakes import STOP, UNDO, positive, script

from ibisagent.agent import ImageStore, RunStore, build_graph
from ibisagent.agent.branches import fork
from ibisagent.agent.checkpoints import open_checkpointer
from ibisagent.agent.recorded_threads import open_read_only, read_threads
from ibisagent.agent.threads import intervene
from ibisagent.agent.trajectory import build_trajectory
from ibisagent.tools.errors import InputError

PIXELS = (np.random.default_rng(2).random((40, 56, 3)) * 255).astype(np.uint8)
ONE, TWO = ({"configurable": {"thread_id": name}} for name in ("one", "two"))
WAIT = {"interrupt_before": ["reason"]}


def stores(folder):
    return {"store": RunStore(folder / "store"), "images": ImageStore(folder / "store" / "images")}


def hashes(folder):
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}


def fill(folder, saver):
    """Two threads: one corrected, accepted and branched, one with two requests; return their records."""
    replies = script(positive(0.3, 0.3), positive(0.7, 0.7), UNDO, STOP)
    graph = build_graph(replies, "disk", checkpointer=saver, **stores(folder))
    graph.invoke({"image": PIXELS, "request": "Segment it."}, ONE)
    intervene(graph, ONE, "Positive Point (0.2, 0.8)", **WAIT)
    intervene(graph, ONE, "accept")
    records = [build_trajectory(graph, graph.get_state(ONE).values)]
    branch = fork(graph, ONE, step=2, action={"type": "point", "x": 0.9, "y": 0.9, "positive": True})
    graph.invoke(None, branch, **WAIT)
    intervene(graph, ONE, "accept")
    records.append(build_trajectory(graph, graph.get_state(ONE).values))
    for request in ("Segment this.", "Segment that."):
        graph.invoke({"image": PIXELS, "request": request, "prompts": []}, TWO, **WAIT)
        intervene(graph, TWO, "Positive Point (0.5, 0.5)", **WAIT)
        intervene(graph, TWO, "accept")
        records.append(build_trajectory(graph, graph.get_state(TWO).values))
    return records


def read(folder, name="runs.db"):
    with open_read_only(folder / name) as saver:
        return [(thread, record) for thread, record in read_threads(saver, **stores(folder))]


def test_threads_are_read_with_their_branches_and_requests_and_nothing_changes(tmp_path):
    with open_checkpointer(tmp_path / "runs.db") as saver:
        records = fill(tmp_path, saver)
        written = hashes(tmp_path)
        assert any(path.endswith("-wal") for path in written)
        while_open = read(tmp_path)
        assert hashes(tmp_path) == written
    written = hashes(tmp_path)
    assert not any(path.endswith(("-wal", "-shm")) for path in written)
    found = read(tmp_path)
    assert hashes(tmp_path) == written
    assert found == while_open
    assert [thread for thread, _ in found] == ["one", "one", "two", "two"]
    for record in records:
        same = [each for _, each in found if each.steps == record.steps and each.request == record.request]
        assert len(same) == 1
        assert (same[0].targets, same[0].stop, same[0].image) == (record.targets, record.stop, record.image)
        assert (same[0].segmenter, same[0].segmenter_name) == (record.segmenter, "unknown")
        assert same[0].policy == ("scripted" if record.steps[0].reply else "unknown")


def test_nothing_can_be_written_through_it(tmp_path):
    with open_checkpointer(tmp_path / "runs.db") as saver:
        fill(tmp_path, saver)
    with open_read_only(tmp_path / "runs.db") as saver:
        graph = build_graph(script(STOP), "disk", checkpointer=saver, **stores(tmp_path))
        with pytest.raises(Exception, match="attempt to write a readonly database"):
            fork(graph, ONE, step=1)


def test_a_thread_without_its_masks_and_a_file_of_something_else_are_told_in_a_line(tmp_path):
    with open_checkpointer(tmp_path / "runs.db") as saver:
        fill(tmp_path, saver)
    (tmp_path / "store").rename(tmp_path / "elsewhere")
    assert {type(record) for _, record in read(tmp_path)} == {InputError}
    (tmp_path / "text.db").write_text("nothing of the kind")
    for name, said in (("text.db", "file is not a database"), ("gone.db", "no file"), ("elsewhere", "a folder")):
        with pytest.raises(InputError, match=said):
            read(tmp_path, name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "runs.db", "text.db"]
