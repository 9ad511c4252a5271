"""The Postgres checkpointers, over a real server that the test starts on loopback."""

import asyncio
import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest
from support.fakes import STOP, UNDO, positive, script

from ibisagent.agent import ImageStore, RunStore, build_graph
from ibisagent.agent.branches import branches, fork
from ibisagent.agent.checkpoints import aopen_checkpointer, open_checkpointer
from ibisagent.agent.recorded_threads import open_read_only, read_threads
from ibisagent.agent.threads import aresume_or_start, intervene, resume_or_start
from ibisagent.agent.trajectory import build_trajectory

THREAD = {"configurable": {"thread_id": "1"}}
REPLIES = (positive(0.3, 0.5), UNDO, positive(0.6, 0.4), STOP.replace("There", "\0 \ud800"), STOP)


def binaries():
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    name = shutil.which("initdb") or (str(found[-1]) if found else None)
    return Path(name).parent if name else None


@pytest.fixture
def server():
    place = binaries()
    if place is None:
        pytest.skip("no PostgreSQL on this machine; .ci/run installs it")
    folder = tempfile.mkdtemp()
    user = []
    if os.getuid() == 0:  # the server refuses to run as root
        shutil.chown(folder, "postgres")
        user = ["runuser", "-u", "postgres", "--"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    quiet = {"check": True, "cwd": folder, "stdout": subprocess.DEVNULL}
    subprocess.run([*user, place / "initdb", "-D", f"{folder}/data", "-U", "ibis", "-A", "trust", "-N"], **quiet)
    options = f"-p {port} -h 127.0.0.1 -k {folder}"
    control = [*user, place / "pg_ctl", "-D", f"{folder}/data", "-w"]
    subprocess.run([*control, "-o", options, "-l", f"{folder}/log", "start"], **quiet)
    yield f"postgresql://ibis@127.0.0.1:{port}/postgres"
    subprocess.run([*control, "-m", "immediate", "stop"], **quiet)
    shutil.rmtree(folder)


@pytest.mark.slow
def test_runs_are_taken_up_corrected_and_branched_over_postgres(server, pixels, tmp_path):
    start = {"image": pixels, "request": "x"}
    whole = build_graph(script(*REPLIES), "geodesic").invoke(start)

    def graph_on(saver):
        stores = {"store": RunStore(tmp_path / "store"), "images": ImageStore(tmp_path / "images")}
        return build_graph(script(*REPLIES), "geodesic", checkpointer=saver, **stores)

    with open_checkpointer(server) as saver:
        graph_on(saver).invoke(start, THREAD, interrupt_before=["segment"])
    with open_checkpointer(server) as saver:
        graph = graph_on(saver)
        ended = graph.invoke(*resume_or_start(graph, start, THREAD))
        assert (ended["mask"], ended["stop"]) == (whole["mask"], "terminated")
        corrected = intervene(graph, THREAD, "Positive Point (0.2, 0.2)")
        assert len(corrected["steps"]) == 6
        graph.invoke(None, fork(graph, THREAD, step=2, request="\u00fcber \u20ac"))
        assert [branch.parent for branch in branches(graph, THREAD)] == [None, 0]

    async def later():
        async with aopen_checkpointer(server) as saver:
            graph = graph_on(saver)
            return await graph.ainvoke(*await aresume_or_start(graph, None, THREAD))

    assert asyncio.run(later())["request"] == "\u00fcber \u20ac"


@pytest.mark.slow
def test_threads_are_read_over_postgres_by_a_connection_that_cannot_write(server, pixels, tmp_path):
    stores = {"store": RunStore(tmp_path / "store"), "images": ImageStore(tmp_path / "images")}
    with open_checkpointer(server) as saver:
        graph = build_graph(script(*REPLIES), "geodesic", checkpointer=saver, **stores)
        graph.invoke({"image": pixels, "request": "x"}, THREAD)
        recorded = build_trajectory(graph, graph.get_state(THREAD).values)
    with open_read_only(server) as saver:
        ((thread, record),) = read_threads(saver, **stores)
        with pytest.raises(Exception, match="read-only transaction"):
            fork(build_graph(script(STOP), "geodesic", checkpointer=saver, **stores), THREAD, step=1)
    assert (thread, record.steps, record.targets) == ("1", recorded.steps, recorded.targets)
