"""Commands over data sets on Ray: equal results, whatever is killed."""

import csv
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
from support.command_line import call
from support.http_folders import serve_folder
from support.killed_jobs import write_slow_script
from support.ray_clusters import open_cluster, processes_below, worker_pids

from ibisagent.evals.rows import VOLATILE
from ibisagent.evals.runner import run_eval
from ibisagent.tools.datasets import read_dataset
from ibisagent.tools.errors import InputError
from ibisagent.tools.jobs.ray_engine import RayEngine
from ibisagent.tools.perturbations.picture_shifts import PictureShift
from ibisagent.training.phantoms.folder import PhantomDatasetSpec, write_phantoms

pytestmark = pytest.mark.slow
POLICIES = ["centre", "random"]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with open_cluster(tmp_path_factory.mktemp("r")) as address:
        yield address


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_phantoms(PhantomDatasetSpec(count=24, seed=9_970_000, size=64, single_row=True), folder, workers=1)
    return folder


@pytest.fixture(scope="module")
def plain(dataset, tmp_path_factory):
    out = tmp_path_factory.mktemp("plain")
    run_eval(read_dataset(dataset), POLICIES, ["geocut"], out, max_steps=3, workers=1)
    return out


def outcome(out):
    """Everything in an evaluation's folder but seconds and tokens."""
    with (out / "results.csv").open(newline="") as file:
        rows = [{name: value for name, value in row.items() if name not in VOLATILE} for row in csv.DictReader(file)]
    records = {path.relative_to(out): timeless(path) for path in sorted(out.glob("trajectories/**/*.json"))}
    return rows, records, (out / "settings.json").read_bytes()


def timeless(path):
    record = json.loads(path.read_text())
    assert record.pop("seconds") >= 0
    for step in record["steps"]:
        step.pop("seconds")
        step["completion"].pop("seconds", None)
    return record


def test_an_evaluation_is_the_same_with_both_workers_killed(cluster, dataset, plain, tmp_path):
    engine, told = RayEngine(cluster), []

    def on_row(row, done, total):
        told.append((done, total))
        if done == 6:
            until = time.monotonic() + 60
            while len(worker_pids()) < 2:
                assert time.monotonic() < until
                time.sleep(0.1)
            for pid in worker_pids():
                os.kill(pid, signal.SIGKILL)

    cases = read_dataset(dataset)
    run_eval(cases, POLICIES, ["geocut"], tmp_path, max_steps=3, workers=2, on_row=on_row, engine=engine)
    assert engine.deaths == 2
    assert told == [(done, 48) for done in range(1, 49)]
    assert outcome(tmp_path) == outcome(plain)


def test_the_other_commands_write_the_same_on_ray(cluster, dataset, tmp_path):
    commands = {
        "phantoms": ("phantoms", "--n", 6, "--size", 64, "--seed", 9_970_100),
        "clicks": ("clicks", dataset, "--mode", "centre", "--clicks", 3),
        "trajectories": ("trajectories", "make", dataset, "--limit", 8),
    }
    for name, command in commands.items():
        for engine, options in (("plain", ("--engine", "processes")), ("ray", ("--engine", "ray"))):
            address = ("--ray-address", cluster) if engine == "ray" else ()
            out = tmp_path / name / engine
            ended = call(*command, "--out", out, "--workers", 2, *options, *address, cwd=tmp_path)
            assert ended.returncode == 0, ended.stderr
    assert files(tmp_path / "phantoms" / "plain") == files(tmp_path / "phantoms" / "ray")
    for name, seconds in (("clicks", ("seconds", "encoder_seconds")), ("trajectories", ())):
        one, other = (rows_without(tmp_path / name / engine, seconds) for engine in ("plain", "ray"))
        assert one == other
        assert len(one) >= 5


def files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def rows_without(folder, names):
    """The lines of a folder's JSON-lines files, sorted, without some keys and without the seconds of steps."""
    lines = [line for path in sorted(folder.glob("*.jsonl")) for line in path.read_text().splitlines()]
    return sorted(json.dumps(_without(json.loads(line), {*names, "seconds"}), sort_keys=True) for line in lines)


def _without(value, names):
    if isinstance(value, dict):
        return {key: _without(each, names) for key, each in value.items() if key not in names}
    return [_without(each, names) for each in value] if isinstance(value, list) else value


def test_nodes_need_to_see_nothing_of_the_caller_s(dataset, tmp_path, heads, cache_home, monkeypatch):
    """Each node fetches each file once over http into a place of its own, and the caller alone writes."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    settings = {"max_steps": 2, "shift": PictureShift("noise", 2)}
    with open_cluster(heads, hidden=tmp_path) as address, serve_folder(dataset) as served:
        cases = read_dataset(served.address)[:6]
        run_eval(cases, ["centre"], ["geocut"], Path("ray"), workers=2, engine=RayEngine(address, False), **settings)
        pictures = {f"/images/{case.image.name}" for case in cases}
        assert {path: count for path, count in served.gets.items() if "/images/" in path} == dict.fromkeys(pictures, 1)
        kept = [path.name for path in cache_home.rglob("*.*") if not path.name.startswith(".")]
        assert kept == ["manifest.csv"]
        run_eval(cases, ["centre"], ["geocut"], Path("plain"), workers=1, **settings)
        with pytest.raises(InputError, match=r"here: got a Ray node without this folder, .*name the data set by"):
            run_eval(cases, ["centre"], ["geocut"], Path("shared"), workers=1, engine=RayEngine(address), **settings)
    assert outcome(Path("ray")) == outcome(Path("plain"))
    one, other = (files(Path(name) / "trajectories") for name in ("ray", "plain"))
    assert {path: one[path] for path in one if path.suffix == ".png"} == {
        path: other[path] for path in other if path.suffix == ".png"
    }
    assert len(one) == 12
    local = read_dataset(dataset)[:6]
    run_eval(local, ["centre"], ["geocut"], Path("local"), workers=1, **settings)
    assert (Path("local") / "settings.json").read_bytes() == (Path("ray") / "settings.json").read_bytes()
    assert outcome(Path("local"))[0] == outcome(Path("ray"))[0]


BODY = """
import tempfile
from pathlib import Path
from ibisagent.ui.cli.evaluate import evaluate

tempfile.tempdir = sys.argv[3]
settings = {"baselines": False, "max_steps": 3, "workers": 2, "engine": "ray"}
evaluate(Path(sys.argv[1]), ["centre", "random"], ["geocut"], Path(sys.argv[2]), **settings)
"""


@pytest.fixture
def heads():
    """A folder for Ray heads, with a path that is short enough for their sockets."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="h") as folder:
        yield Path(folder)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
@pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed")
def test_a_run_with_a_head_of_its_own_is_stopped_without_a_trace_and_resumed(dataset, plain, tmp_path, heads, how):
    out, script = tmp_path, write_slow_script(heads / "script.py", BODY, seconds=0.5)
    rows, command = out / "rows.jsonl", [sys.executable, script, dataset, out, heads]
    own = {"process_group": 0, "preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, **own) as running:
        while not rows.exists() or rows.read_bytes().count(b"\n") < 4:
            assert running.poll() is None, running.stderr.read()
            time.sleep(0.01)
        assert len(processes_below(heads)) > 1
        (os.killpg if how == signal.SIGINT else os.kill)(running.pid, how)
        assert running.wait() == -how
    until = time.monotonic() + 60
    while processes_below(heads) or worker_pids():
        assert time.monotonic() < until, (processes_below(heads), worker_pids())
        time.sleep(0.1)
    kept = rows.read_bytes().count(b"\n")
    assert 4 <= kept < 48
    told = []
    cases, settings = read_dataset(dataset), {"max_steps": 3, "workers": 1}
    run_eval(cases, POLICIES, ["geocut"], out, on_row=lambda *row: told.append(row), **settings)
    assert len(told) == 48 - kept
    assert outcome(out) == outcome(plain)
