"""A run's folder at an address: uploaded while it grows, and brought back on another machine."""

import json
import shutil
import threading
import time

import pytest

from ibisagent.tools.errors import InputError
from ibisagent.tools.jobs.job_output import JobOutput
from ibisagent.tools.jobs.job_runner import RowFile, run_jobs
from ibisagent.tools.jobs.remote_out import open_out

pytestmark = pytest.mark.usefixtures("cache_home")


@pytest.fixture
def there(tmp_path):
    return tmp_path / "there"


def address(there):
    return f"local://{there}"


def make(numbers):
    return [JobOutput({"number": number}, {f"records/{number}.txt": b"%d" % number}) for number in numbers]


def run(folder, numbers, on_row=None):
    rows = RowFile(folder / "rows.jsonl", ("number",), lambda row: row["number"])
    jobs = {number: number for number in numbers}
    run_jobs(jobs, make, rows, {"kind": "test"}, on_crash=None, workers=0, on_row=on_row)


def files(folder):
    found = (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.startswith("."))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def test_a_local_folder_is_itself(tmp_path):
    with open_out(tmp_path / "out") as (folder, place):
        assert (folder, place) == (tmp_path / "out", str(tmp_path / "out"))
    assert not folder.exists()


def test_a_run_is_uploaded_and_goes_on_from_another_machine(there, cache_home):
    with open_out(address(there)) as (folder, place):
        run(folder, range(3))
    assert place == address(there)
    assert files(there) == files(folder)
    assert len(files(there)) == 5
    shutil.rmtree(cache_home)
    told = []
    with open_out(address(there)) as (folder, _):
        run(folder, range(5), lambda row, done, total: told.append((row["number"], done, total)))
    assert told == [(3, 4, 5), (4, 5, 5)]
    assert files(there) == files(folder)
    assert (there / "records" / "4.txt").read_bytes() == b"4"


def test_what_a_killed_run_had_not_uploaded_counts(there):
    with open_out(address(there)) as (folder, _):
        run(folder, range(2))
    run(folder, range(4))  # without an upload
    assert len(files(there)) == 4
    told = []
    with open_out(address(there)) as (folder, _):
        run(folder, range(4), lambda *row: told.append(row))
    assert told == []
    assert files(there) == files(folder)
    assert len(files(there)) == 6


def test_what_another_machine_wrote_or_deleted_counts(there):
    with open_out(address(there)) as (folder, _):
        run(folder, range(2))
    (there / "rows.jsonl").write_text('{"number":0}\n')
    (there / "records" / "1.txt").unlink()
    with open_out(address(there)) as (folder, _):
        assert (folder / "rows.jsonl").read_text() == '{"number":0}\n'
        assert not (folder / "records" / "1.txt").exists()
    run(folder, range(3))  # without an upload
    shutil.rmtree(there)
    with open_out(address(there)) as (folder, _):
        assert files(folder) == {}


def test_what_is_deleted_here_is_deleted_there(there):
    with open_out(address(there)) as (folder, _):
        (folder / ".rows.jsonl").write_text("{}\n")
        (folder / ".torn.json").write_text("{}")
    assert [path.name for path in there.iterdir()] == [".rows.jsonl"]
    with open_out(address(there)) as (folder, _):
        (folder / ".rows.jsonl").unlink()
    assert list(there.iterdir()) == []


def test_it_is_uploaded_while_it_grows_and_after_an_error(there):
    def run_until_uploaded():
        with open_out(address(there), every=0.05) as (folder, _):
            run(folder, range(2))
            until = time.monotonic() + 60
            while "rows.jsonl" not in files(there):
                assert time.monotonic() < until
                time.sleep(0.02)
            run(folder, range(3), lambda *_: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        run_until_uploaded()
    assert (there / "rows.jsonl").read_text().count("\n") == 3
    assert "ibisagent uploads" not in {thread.name for thread in threading.enumerate()}


def test_rows_are_not_uploaded_before_their_records(there):
    with open_out(address(there), every=0.01) as (folder, _):
        for number in range(1, 40):
            run(folder, range(number))
            rows = (there / "rows.jsonl").read_text().splitlines() if (there / "rows.jsonl").exists() else []
            for row in filter(lambda line: line.endswith("}"), rows):
                assert (there / "records" / f"{json.loads(row)['number']}.txt").exists()


def test_where_nothing_can_be_written_nothing_begins(tmp_path, cache_home):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"/file/out: could not be written \(.*\); check the address"):
        open_out(f"local://{tmp_path}/file/out").__enter__()
    with pytest.raises(InputError, match=r"^local:///x: got an address under --local-only, expected a local folder"):
        open_out("local:///x", local_only=True).__enter__()


def test_a_failed_upload_names_what_is_kept(there):
    def run_until_it_vanishes():
        with open_out(address(there)) as (folder, _):
            run(folder, range(2))
            shutil.rmtree(there)
            there.write_text("a file")

    with pytest.raises(InputError, match=r"could not be written .*; the run is kept in .*, and the same command"):
        run_until_it_vanishes()
    there.unlink()
    with open_out(address(there)) as (folder, _):
        run(folder, range(2))
    assert len(files(there)) == 4
