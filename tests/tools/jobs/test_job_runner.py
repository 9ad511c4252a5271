"""The resumable runner on real processes: equal rows however it is run, killed, resumed, or by another engine."""

import json
import os
from operator import itemgetter
from pathlib import Path

import pytest
from support.killed_jobs import kill_after_rows, write_slow_script
from support.killed_work import map_in_threads, number_rows

from ibisagent.tools.errors import InputError
from ibisagent.tools.jobs.job_runner import RowFile, run_jobs
from ibisagent.tools.jobs.jsonl import append_rows, scan_rows

COLUMNS = ("number", "value", "reason")


def run(path, numbers=range(12), **options):
    """Run the numbers, five of equal parity at a time; return what `on_row` was called with."""
    told = []
    options = {"workers": 1, "work": number_rows, "settings": {"factor": 10}} | options
    run_jobs(
        {number: number for number in numbers},
        options.pop("work"),
        RowFile(path, COLUMNS, itemgetter("number"), lambda row: row["reason"] is not None),
        options.pop("settings"),
        on_crash=lambda number, reason: {"number": number, "value": None, "reason": reason},
        group_by=lambda number: number % 2,
        group_size=5,
        on_row=lambda *row: told.append(row),
        **options,
    )
    return told


def values(path):
    """The last value of each number."""
    return {row["number"]: row["value"] for _, row in scan_rows(path, COLUMNS)}


WHOLE = {number: 10 * number for number in range(12)}


class Listing:
    """Keeps the groups that it is given."""

    def __init__(self):
        self.groups = []

    def __call__(self, numbers):
        self.groups.append(list(numbers))
        return number_rows(numbers)


def in_sequence(work, units, workers, on_crash):
    """The plainest engine."""
    for unit in units:
        yield work(unit)


@pytest.mark.slow
def test_the_rows_are_the_same_whatever_runs_the_jobs(tmp_path):
    listing = Listing()
    for name, options in {
        "one": {},
        "two": {"workers": 2},
        "threads": {"workers": 3, "engine": map_in_threads},
        "sequence": {"work": listing, "engine": in_sequence},
    }.items():
        told = run(tmp_path / name / "rows.jsonl", **options)
        assert values(tmp_path / name / "rows.jsonl") == WHOLE
        assert [done_of for _, *done_of in told] == [[done, 12] for done in range(1, 13)]
        assert {row["number"]: row["value"] for row, _, _ in told} == WHOLE
    assert listing.groups == [[0, 2, 4, 6, 8], [10], [1, 3, 5, 7, 9], [11]]


def test_a_finished_run_has_nothing_to_do_and_more_jobs_are_added_to_it(tmp_path):
    path = tmp_path / "rows.jsonl"
    run(path, range(4))
    before = path.read_bytes()
    assert run(path, range(4)) == []
    assert path.read_bytes() == before
    assert [(row["number"], *done_of) for row, *done_of in run(path, range(2, 6))] == [(4, 3, 4), (5, 4, 4)]
    assert path.read_bytes().startswith(before)


def test_a_torn_last_line_is_cut_off_and_its_job_is_run_again(tmp_path):
    path = tmp_path / "rows.jsonl"
    run(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    torn = json.loads(whole.splitlines()[-1])["number"]
    assert [(row["number"], *done_of) for row, *done_of in run(path)] == [(torn, 12, 12)]
    assert path.read_bytes() == whole


def test_other_settings_are_refused_and_nothing_is_run(tmp_path):
    path = tmp_path / "rows.jsonl"
    run(path, settings={"factor": 10, "models": {"a": 1}})
    before = path.read_bytes()
    refusal = (
        f"^{tmp_path}: got factor 11 after 10, models a 2 after 1; give the settings of its rows, or choose another"
    )
    with pytest.raises(InputError, match=refusal):
        run(path, range(20), settings={"factor": 11, "models": {"a": 2, "b": 3}})
    assert path.read_bytes() == before
    run(path, settings={"factor": 10, "models": {"b": 3}})
    assert json.loads((tmp_path / "settings.json").read_text())["models"] == {"a": 1, "b": 3}
    with pytest.raises(InputError, match="got -1 workers, expected 0 or more"):
        run(tmp_path / "new" / "rows.jsonl", workers=-1)
    assert not (tmp_path / "new").exists()
    with pytest.raises(InputError, match=r"rows.jsonl: cannot be made \(File exists\); choose another --out"):
        run(path / "rows.jsonl")


def test_work_that_raises_ends_the_run_and_keeps_the_finished_rows(tmp_path):
    path = tmp_path / "rows.jsonl"
    with pytest.raises(ValueError, match="an unlucky number"):
        run(path, [*range(12), 13])
    kept = values(path)
    assert kept
    assert kept.items() <= WHOLE.items()
    told = run(path)
    assert [done for _, done, _ in told] == list(range(len(kept) + 1, 13))
    assert values(path) == WHOLE


def test_a_job_that_kills_its_process_is_a_row_with_the_reason_and_is_run_again(tmp_path):
    path = tmp_path / "rows.jsonl"
    told = run(path, [*range(12), 17, 19], workers=2)
    assert [done for _, done, _ in told] == list(range(1, 15))
    dead = "its process died (out of memory, or a crash in native code)"
    assert {row["number"]: row["reason"] for row, _, _ in told if row["reason"]} == {17: dead, 19: dead}
    assert values(path) == WHOLE | {17: None, 19: None}
    again = run(path, [*range(12), 17, 19], work=tenfold_of_any, engine=in_sequence)
    assert [(row["number"], *done_of) for row, *done_of in again] == [(17, 13, 14), (19, 14, 14)]
    assert values(path) == WHOLE | {17: 170, 19: 190}


def tenfold_of_any(numbers):
    return [{"number": number, "value": number * 10, "reason": None} for number in numbers]


BODY = """
from operator import itemgetter
from pathlib import Path
from support.killed_work import number_rows
from ibisagent.tools.jobs.job_runner import RowFile, run_jobs

if __name__ == "__main__":
    rows = RowFile(Path(sys.argv[1]), ("number", "value", "reason"), itemgetter("number"))
    run_jobs({number: number for number in range(12)}, number_rows, rows, {"factor": 10}, on_crash=None, workers=2)
"""


@pytest.mark.slow
def test_a_run_killed_in_the_middle_is_resumed(tmp_path, monkeypatch):
    path = tmp_path / "out" / "rows.jsonl"
    script = write_slow_script(tmp_path / "script.py", BODY)
    support = str(Path(__file__).parents[2])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [support, os.environ.get("PYTHONPATH")])))
    kept = kill_after_rows(script, path, rows=path)
    begun = path.read_bytes()
    path.write_bytes(begun + b'{"number":11,"val')
    told = run(path)
    assert [done for _, done, _ in told] == list(range(kept + 1, 13))
    assert path.read_bytes().startswith(begun)
    assert values(path) == WHOLE


def test_a_full_disk_is_told_in_a_line():
    with pytest.raises(InputError, match=r"^/dev/full: could not be written \(No space left on device\); free space"):
        append_rows(Path("/dev/full"), [{"id": "a"}])
