"""The run and image stores: they are durable and small, and a failing one ends the run with a stop reason."""

import json
import shutil
import sqlite3
import subprocess
import sys
import textwrap
import threading

import numpy as np
import pytest
from langgraph.checkpoint.memory import InMemorySaver
from support.fakes import STOP, CountingSegmenter, FunctionPolicy, positive, script

from ibisagent.agent import ImageStore, LoopConfig, RunStore, build_graph
from ibisagent.agent.checkpoints import open_checkpointer
from ibisagent.agent.threads import resume_or_start
from ibisagent.agent.trajectory import build_trajectory
from ibisagent.tools.errors import InputError, StoreError
from ibisagent.tools.imaging.grids import make_read_only
from ibisagent.tools.segmenters import Prediction

THREAD = {"configurable": {"thread_id": "1"}}


def test_equal_records_have_equal_keys_and_come_back_in_another_process(tmp_path):
    store = RunStore(tmp_path)
    key = store.put({"text": "Terminate", "usage": {}})
    assert store.put({"usage": {}, "text": "Terminate"}) == key
    assert RunStore(tmp_path).get(key) == {"text": "Terminate", "usage": {}}


@pytest.mark.parametrize("content", [None, "", "{", "\0\1\2", '"text"'[:3]])
def test_a_record_that_is_gone_or_broken_is_told(tmp_path, content):
    key = RunStore(tmp_path).put({"text": "x"})
    (path,) = tmp_path.rglob("*.json")
    path.unlink() if content is None else path.write_text(content)
    with pytest.raises(StoreError, match=f"record {key}"):
        RunStore(tmp_path).get(key)
    with pytest.raises(StoreError, match="needs a folder"):
        RunStore().get(key)


def test_a_store_folder_that_vanishes_is_made_again(tmp_path, pixels):
    store = RunStore(tmp_path / "store")

    def policy(observation):
        shutil.rmtree(tmp_path / "store", ignore_errors=True)
        return [positive(0.3, 0.5), positive(0.7, 0.5), STOP][observation.step]

    graph = build_graph(FunctionPolicy(policy), "disk", store=store)
    ended = graph.invoke({"image": pixels, "request": "x"})
    assert ended["stop"] == "terminated"
    assert len(build_trajectory(graph, ended).steps) == 3


@pytest.mark.parametrize(
    ("node", "stop", "steps"), [("parse", "store_error", 1), ("segment", "terminated", 3), ("reason", "terminated", 3)]
)
def test_a_run_taken_up_without_its_store_ends_typed_or_goes_on(node, stop, steps, tmp_path, pixels):
    keeper, start = InMemorySaver(), {"image": pixels, "request": "x"}
    images, replies = ImageStore(), script(positive(0.3, 0.5), positive(0.7, 0.5), STOP)
    begun = build_graph(replies, "disk", checkpointer=keeper, images=images, store=RunStore(tmp_path / "a"))
    begun.invoke(start, THREAD, interrupt_before=["segment"])
    begun.invoke(None, THREAD, interrupt_before=[node])
    graph = build_graph(replies, "disk", checkpointer=keeper, images=images, store=RunStore(tmp_path / "b"))
    ended = graph.invoke(*resume_or_start(graph, start, THREAD))
    assert (ended["stop"], len(ended["steps"])) == (stop, steps)
    if stop == "store_error":
        assert "cannot be read" in ended["error"]
        again = graph.invoke(*resume_or_start(graph, start, THREAD))  # asks the policy once more
        assert (again["stop"], len(again["steps"])) == ("terminated", 3)


# A limit on the size of files is the nearest to a full disk that needs no rights: writing past it is refused.
FULL = """
    import json, resource, sys
    import numpy as np
    from ibisagent.agent import RunStore, build_graph
    from ibisagent.agent.policies import ScriptedPolicy

    reply = "<think>{}</think>\\n<action>Positive Point ({:.2f}, 0.5)</action>"
    replies = [reply.format("short", 0.3), reply.format(sys.argv[2] and "long " * 4000, 0.6)]
    pixels = (np.indices((64, 64)).sum(0) * 2).astype(np.uint8)
    graph = build_graph(ScriptedPolicy(replies), sys.argv[3], store=RunStore(sys.argv[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[4]), resource.RLIM_INFINITY))
    ended = graph.invoke({"image": pixels, "request": "x"})
    print(json.dumps([ended["stop"], ended["error"], len(ended["steps"]), ended["measurements"]["area_px"]]))
"""


def test_a_full_disk_ends_the_run_with_the_mask_of_the_step_before(tmp_path):
    command = [sys.executable, "-c", textwrap.dedent(FULL), str(tmp_path / "store"), "long", "disk", "4096"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (0, "")
    stop, error, steps, area = json.loads(ended.stdout)
    assert (stop, steps) == ("store_error", 1)
    assert "could not be written" in error
    assert area > 0
    assert not [path for path in (tmp_path / "store").rglob("*") if path.is_file() and path.suffix != ".json"]


class RaggedSegmenter(CountingSegmenter):
    """Sixteen lobes with ragged edges: about 6 KB of RLE at 1024 x 1024, another mask for every prompt."""

    def predict(self, embedding, prompts, prior):
        rng = np.random.default_rng(len(prompts))
        rows, columns = np.ogrid[:1024, :1024]
        mask = np.zeros((1024, 1024), bool)
        for row, column in rng.integers(80, 944, (16, 2)):
            mask |= np.hypot(rows - row, columns - column) < 75 + rng.integers(-9, 10, 1024)
        return Prediction(make_read_only(mask), 0.5, None)


def kept(path):
    with sqlite3.connect(path) as database:
        rows = [size for (size,) in database.execute("select length(checkpoint) + length(metadata) from checkpoints")]
        (writes,) = database.execute("select coalesce(sum(length(value)), 0) from writes").fetchone()
    database.close()
    return rows, writes


@pytest.mark.slow
def test_twenty_clicks_at_1024_pixels_stay_small_in_sqlite(tmp_path, capsys):
    replies = script(*[positive(0.04 * k, 0.03 * k) for k in range(20)])
    pixels = np.zeros((1024, 1024), np.uint8)
    sizes = {}
    for durability in ("sync", "exit"):
        with open_checkpointer(tmp_path / f"{durability}.db") as saver:
            graph = build_graph(replies, RaggedSegmenter(), LoopConfig(max_steps=20), checkpointer=saver)
            ended = graph.invoke({"image": pixels, "request": "x"}, THREAD, durability=durability)
        lengths = [len(graph.components.store.get_mask(step["mask"])["counts"]) for step in ended["steps"]]
        rows, writes = kept(tmp_path / f"{durability}.db")
        sizes[durability] = (max(rows), (sum(rows) + writes) / 20)
    assert len(ended["steps"]) == 20
    assert 5000 < np.mean(lengths) < 7000
    with capsys.disabled():
        for durability, (row, click) in sizes.items():
            print(f"\n{durability}: RLE {np.mean(lengths):.0f} bytes, largest row {row}, {click:.0f} a click")  # noqa: T201
    assert sizes["sync"][0] < 26_000  # the last row holds the result beside the mask in force
    assert sizes["sync"][1] < 63_000
    assert sizes["exit"][1] < 2_000


def test_an_sqlite_file_that_is_none_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("not a database " * 100)
    for where in (tmp_path / "notes.txt", tmp_path, tmp_path / "no" / "folder.db"):
        with pytest.raises(InputError), open_checkpointer(where):
            pass
    with (
        pytest.raises(InputError, match=r"127\.0\.0\.1") as told,
        open_checkpointer("postgresql://u:secret@127.0.0.1:9/x"),
    ):
        pass
    assert "secret" not in str(told.value)


def test_threads_write_to_one_store_at_the_same_time(tmp_path):
    store = RunStore(tmp_path)

    def work():
        for k in range(50):
            assert store.get(store.put({"text": str(k)})) == {"text": str(k)}

    workers = [threading.Thread(target=work) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(list(tmp_path.rglob("*.json"))) == 50
    assert len(list(tmp_path.rglob("*"))) - len({path.parent for path in tmp_path.rglob("*.json")}) == 50
