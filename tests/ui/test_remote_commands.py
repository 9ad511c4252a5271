"""Commands over data sets at an address, which write to an address as well."""

import csv
import json
import shutil
from dataclasses import replace

import pytest
from support.http_folders import serve_folder
from support.killed_jobs import kill_after_rows, write_slow_script

from ibisagent.evals.rows import VOLATILE
from ibisagent.evals.runner import run_eval
from ibisagent.tools.datasets import read_dataset
from ibisagent.tools.errors import InputError
from ibisagent.tools.remote_folder import open_folder
from ibisagent.training.phantoms.folder import PhantomDatasetSpec
from ibisagent.ui.cli.click_benchmark import run_clicks
from ibisagent.ui.cli.evaluate import evaluate
from ibisagent.ui.cli.make_trajectories import run_make_trajectories
from ibisagent.ui.cli.phantoms import run_phantoms
from ibisagent.ui.cli.suite import run_suite_command

SPEC = PhantomDatasetSpec(count=4, seed=9_970_200, size=64, single_row=True, request_kinds=("present",))
GREY = "the masks are drawn on grey"


pytestmark = pytest.mark.usefixtures("cache_home")


@pytest.fixture
def dataset(tmp_path):
    """Phantoms that were written to an address."""
    run_phantoms(SPEC, f"local://{tmp_path}/set", workers=0)
    return tmp_path / "set"


def results(out):
    with (out / "results.csv").open(newline="") as file:
        return [{name: value for name, value in row.items() if name not in VOLATILE} for row in csv.DictReader(file)]


def test_an_evaluation_from_an_address_to_an_address(dataset, tmp_path, capsys):
    assert sorted(path.name for path in dataset.iterdir()) == ["images", "manifest.csv", "masks", "settings.json"]
    settings = {"baselines": False, "max_steps": 2, "workers": 0}
    evaluate(dataset, ["centre"], ["disk"], tmp_path / "plain", **settings)
    out = tmp_path / "out"
    with serve_folder(dataset) as served:
        evaluate(served.address, ["centre"], ["disk"], f"local://{out}", **settings)
        assert max(served.gets.values()) == 1
        (out / "report.html").unlink()
        shutil.rmtree(open_folder(served.address).folder / "images")  # as where other nodes ran the cases
        evaluate(served.address, ["centre"], ["disk"], f"local://{out}", **settings)
    assert f"trajectories/ in local://{out}" in capsys.readouterr().out
    assert results(out) == results(tmp_path / "plain")
    assert (out / "settings.json").read_bytes() == (tmp_path / "plain" / "settings.json").read_bytes()
    reports = [(folder / "report.html").read_text() for folder in (out, tmp_path / "plain")]
    assert [report.count("data:image/webp") for report in reports] == [3, 3]
    assert GREY not in "".join(reports)
    for local_only in ({"dataset": served.address, "out": tmp_path / "x"}, {"dataset": dataset, "out": "s3://b/x"}):
        with pytest.raises(InputError, match=r"got an address under --local-only, expected a local folder; download"):
            evaluate(policies=["centre"], segmenters=["disk"], local_only=True, **local_only, **settings)
    with pytest.raises(InputError, match=rf"^{served.address}: got an address under --local-only"):
        run_eval(read_cases(dataset, served.address), ["centre"], ["disk"], tmp_path / "y", local_only=True)


def read_cases(dataset, address):
    """The cases of an address that no longer answers."""
    return [replace(case, remote=open_folder(address)) for case in read_dataset(dataset)]


@pytest.mark.slow
def test_the_other_commands_read_and_write_at_an_address(dataset, tmp_path):
    with serve_folder(dataset) as served:
        for name, data, base in (("remote", served.address, "local://"), ("plain", dataset, "")):
            out = f"{base}{tmp_path}/{name}"
            run_clicks(data, ["disk"], modes=["centre"], clicks=2, out=f"{out}/clicks", workers=0)
            run_make_trajectories(data, f"{out}/made", workers=0, segmenter="disk")
            shifts = {"kinds": ["rotation", "flip"], "severities": [5], "max_steps": 2, "workers": 0}
            run_suite_command("shift", data, "centre", ["disk"], f"{out}/suite", **shifts, seeds=[0])
    found = [sorted(names(tmp_path / name)) for name in ("remote", "plain")]
    assert found[0] == found[1]
    assert {"clicks/clicks.png", "made/trajectories-00000.jsonl", "suite/shift.csv"} <= set(found[0])
    sheets = [part for part in found[0] if part.startswith("suite/shift-worst/")]
    assert sheets
    for part in (*sheets, "suite/shift.csv", "clicks/settings.json", "made/summary.json"):
        assert (tmp_path / "remote" / part).read_bytes() == (tmp_path / "plain" / part).read_bytes(), part


def names(folder):
    return [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]


BODY = """
from ibisagent.ui.cli.evaluate import evaluate

if __name__ == "__main__":
    settings = {"baselines": False, "max_steps": 2, "workers": 1}
    evaluate(sys.argv[1], ["centre", "random"], ["disk"], sys.argv[2], **settings)
"""


@pytest.mark.slow
def test_a_killed_run_to_an_address_is_resumed(dataset, tmp_path):
    there = tmp_path / "out"
    script, address = write_slow_script(tmp_path / "script.py", BODY, seconds=0.5), f"local://{there}"
    with serve_folder(dataset) as served:
        local = open_folder(address).folder
        kept = kill_after_rows(script, served.address, address, rows=local / "rows.jsonl", count=3)
        settings = {"baselines": False, "max_steps": 2, "workers": 0}
        evaluate(served.address, ["centre", "random"], ["disk"], address, **settings)
        evaluate(dataset, ["centre", "random"], ["disk"], tmp_path / "plain", **settings)
    rows = [json.loads(line) for line in (there / "rows.jsonl").read_text().splitlines()]
    assert 3 <= kept < 6
    assert len(rows) == 6
    assert results(there) == results(tmp_path / "plain")
