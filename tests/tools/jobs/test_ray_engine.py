"""The engine on Ray: a local cluster, some of whose workers die."""

import os
import pickle
import signal

import pytest
from support import killed_work
from support.ray_clusters import await_no_workers, open_cluster

from ibisagent.tools.errors import InputError
from ibisagent.tools.jobs.engines import get_engine
from ibisagent.tools.jobs.process_pool import map_unordered
from ibisagent.tools.jobs.ray_engine import RayEngine, _Worker

DIED = "its worker died 3 times (out of memory, a crash in native code, or lost nodes)"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with open_cluster(tmp_path_factory.mktemp("r")) as address:
        yield address


def failed_row(number, reason):
    return {"number": number, "value": None, "reason": reason}


@pytest.mark.slow
def test_jobs_that_kill_their_worker_cost_their_own_rows_alone(cluster):
    units, engine = [[0], [1, 2, 17], [4], [6], [7], [8, 9]], RayEngine(cluster)
    rows = [row for some in engine(killed_work.number_rows, units, 2, failed_row) for row in some]
    assert sorted((row["number"], row["value"]) for row in rows if row["value"] is not None) == [
        (number, 10 * number) for number in (0, 1, 2, 4, 6, 7, 8, 9)
    ]
    assert [row for row in rows if row["value"] is None] == [failed_row(17, DIED)]
    assert engine.deaths == 3
    await_no_workers()


@pytest.mark.slow
def test_a_worker_killed_from_outside_costs_no_job(cluster):
    engine, rows = RayEngine(cluster), []
    for some in engine(killed_work.slow_rows, ([number, number + 1] for number in range(0, 80, 2)), 2, None):
        rows += some
        if len(rows) == 10:
            os.kill(some[0]["value"], signal.SIGKILL)
    assert sorted(row["number"] for row in rows) == list(range(80))
    assert engine.deaths == 1
    assert len({row["value"] for row in rows}) >= 2


@pytest.mark.slow
def test_what_the_work_raises_ends_the_run_as_it_is(cluster):
    with pytest.raises(ValueError, match=r"^an unlucky number$"):
        list(RayEngine(cluster)(killed_work.number_rows, [[0], [13]], 2, failed_row))
    await_no_workers()


class Loads:
    """Loads something at its first call, and counts how often it did."""

    def __init__(self):
        self.count, self.loaded = 0, False

    def __call__(self, numbers):
        self.count += not self.loaded
        self.loaded = True
        return [{"number": number, "value": self.count, "reason": os.getpid()} for number in numbers]


@pytest.mark.slow
def test_a_worker_keeps_what_it_loaded(cluster):
    rows = [
        row for some in RayEngine(cluster)(Loads(), ([number] for number in range(40)), 2, failed_row) for row in some
    ]
    assert {row["value"] for row in rows} == {1}
    assert len({row["reason"] for row in rows}) <= 2


class Unloadable:
    """Cannot be loaded in another process."""

    def __reduce__(self):
        return int, ("no number",)


@pytest.mark.slow
def test_work_that_cannot_be_loaded_is_told(cluster):
    with pytest.raises(InputError, match=r"cannot load its work \(ValueError: invalid literal.*install them on every"):
        list(RayEngine(cluster)(Unloadable(), [[0]], 1, failed_row))


@pytest.mark.slow
def test_an_address_without_a_cluster_is_told(cluster):
    with pytest.raises(InputError, match=r"^got no Ray cluster at nowhere .*, expected one; check --ray-address$"):
        list(RayEngine("nowhere")(killed_work.number_rows, [[0]], 1, failed_row))


def test_no_job_starts_no_cluster():
    engine = RayEngine("nowhere")
    assert (list(engine(killed_work.number_rows, [], 2, failed_row)), engine.deaths) == ([], 0)


def test_a_worker_works_in_the_caller_s_folder_and_tells_of_a_missing_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    gone = tmp_path / "gone"
    got = f"{gone}: got a Ray node without this folder, expected the caller's; mount one file system on every node"
    work = pickle.dumps(killed_work.number_rows)
    assert _Worker(work, str(gone), [], False).ready() == (None, None)
    none, error = _Worker(work, str(gone), [], True).ready()
    assert none is None
    assert isinstance(error, InputError)
    assert str(error).startswith(got)


def test_engines_have_names():
    assert get_engine("processes") is map_unordered
    with pytest.raises(InputError, match="got engine 'spark', expected one of processes, ray; choose one"):
        get_engine("spark")
    with pytest.raises(InputError, match="got a Ray address for engine 'processes', expected it for ray alone; add"):
        get_engine("processes", "host:6379")
