"""Folders of phantoms, on real processes: the same files however they are made, and rows that tell the truth."""

import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image
from support.killed_jobs import kill_after_rows, write_slow_script
from typer.testing import CliRunner

from ibisagent.tools.datasets import read_dataset
from ibisagent.tools.errors import InputError
from ibisagent.training.phantoms import MODALITIES
from ibisagent.training.phantoms.folder import PhantomDatasetSpec, write_phantoms
from ibisagent.ui.cli.app import app

SPEC = PhantomDatasetSpec(count=18, seed=3, size=(64, 80), difficulty=(0.1, 0.7))


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    out = tmp_path_factory.mktemp("phantoms") / "out"
    write_phantoms(SPEC, out, workers=1)
    return out


def files(out):
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def test_a_folder_holds_pictures_masks_and_a_manifest(unbroken):
    names = [f"{MODALITIES[index % 9]}-{index + 3:08d}.png" for index in range(18)]
    pictures = [f"{part}/{name}" for part in ("images", "masks") for name in names]
    assert sorted(files(unbroken)) == sorted([*pictures, "manifest.csv", "settings.json"])


def test_label_maps_give_back_every_mask(unbroken):
    cases = read_dataset(unbroken)
    found = 0
    for index in range(SPEC.count):
        phantom, _ = SPEC.draw_phantom(index)
        mine = [case for case in cases if case.image.stem == SPEC.file_name(index)]
        np.testing.assert_array_equal(np.asarray(Image.open(mine[0].image)), phantom.image)
        assert {case.target for case in mine if case.present} == phantom.masks.keys()
        for case in mine:
            truth = case.read_truth(case.open())
            np.testing.assert_array_equal(truth, phantom.masks.get(case.target, np.zeros_like(truth)))
            found += case.present
    assert found > 50


def test_rows_ask_for_what_their_kind_says(unbroken):
    cases = read_dataset(unbroken)
    drawn = [SPEC.draw_phantom(index)[0] for index in range(SPEC.count)]
    own = {one.modality: set() for one in drawn}
    for one in drawn:
        own[one.modality] |= {*one.masks, *one.absent}
    kinds = {case.source.removeprefix("phantom ") for case in cases}
    assert kinds == {"present", "absent", "foreign", "reasoning", "comparison"}
    for case in cases:
        kind = case.source.removeprefix("phantom ")
        if kind in ("present", "absent", "foreign"):
            assert (case.present, case.request) == (kind == "present", f"Segment the {case.target}.")
            assert (case.target in own[case.modality]) == (kind != "foreign")
        if kind == "reasoning":
            assert case.request
            assert case.target.lower() not in case.request.lower()
            assert case.target in own[case.modality] or (case.target, case.present) == ("abnormality", False)


def test_one_row_a_picture_of_the_kinds_that_were_asked_for(tmp_path):
    write_phantoms(
        PhantomDatasetSpec(count=18, size=64, request_kinds=("absent", "foreign"), single_row=True), tmp_path, workers=1
    )
    cases = read_dataset(tmp_path)
    assert len({case.image for case in cases}) == len(cases) == 18
    assert {case.source for case in cases} == {"phantom absent", "phantom foreign"}
    assert not any(case.present for case in cases)


def test_the_number_of_processes_does_not_matter(unbroken, tmp_path):
    reported = []
    write_phantoms(SPEC, tmp_path, workers=2, on_row=lambda *row: reported.append(row[1]))
    assert files(tmp_path) == files(unbroken)
    assert reported == list(range(1, 19))


BODY = """
from ibisagent.training.phantoms.folder import PhantomDatasetSpec, write_phantoms

if __name__ == "__main__":
    write_phantoms(PhantomDatasetSpec(count=18, seed=3, size=(64, 80), difficulty=(0.1, 0.7)), sys.argv[1], workers=1)
"""


def test_a_killed_run_goes_on_where_it_was(unbroken, tmp_path):
    out = tmp_path / "out"
    rows = out / ".rows.jsonl"
    finished = kill_after_rows(write_slow_script(tmp_path / "script.py", BODY), out, rows=rows)
    with rows.open("a") as file:
        file.write('{"index":17,"cas')
    (out / "images" / f".{SPEC.file_name(17)}.png").write_bytes(b"torn")
    reported = []
    write_phantoms(SPEC, out, workers=1, on_row=lambda *row: reported.append(row[1]))
    assert reported == list(range(finished + 1, 19))
    assert files(out) == files(unbroken)


def test_a_finished_folder_is_left_alone_and_another_spec_refused(unbroken):
    before = {path: path.stat().st_mtime_ns for path in unbroken.rglob("*.png")}
    reported = []
    assert write_phantoms(SPEC, unbroken, on_row=lambda *row: reported.append(row[1])) == unbroken / "manifest.csv"
    with pytest.raises(
        InputError, match=r"got count 19 after 18; give the settings of its rows, or choose another --out"
    ):
        write_phantoms(PhantomDatasetSpec(count=19, seed=3, size=(64, 80), difficulty=(0.1, 0.7)), unbroken)
    assert reported == []
    assert {path: path.stat().st_mtime_ns for path in unbroken.rglob("*.png")} == before


def test_another_data_set_is_not_touched(tmp_path):
    (tmp_path / "manifest.csv").write_text("id,target\n")
    with pytest.raises(InputError, match="got another data set, expected phantoms or nothing"):
        write_phantoms(SPEC, tmp_path)
    assert files(tmp_path) == {"manifest.csv": b"id,target\n"}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"count": 0}, "got count=0"),
        ({"seed": -1}, "got seed=-1"),
        ({"size": 20}, "got size=20"),
        ({"size": (64, 5000)}, "got size=5000"),
        ({"size": (80, 64)}, "got size from 80 to 64, expected the smaller one first"),
        ({"difficulty": (0.5, 1.5)}, "got difficulty=1.5"),
        ({"difficulty": (float("nan"), 0.5)}, "got difficulty=nan"),
        ({"modalities": ("mri",)}, "got 'mri' among modalities"),
        ({"modalities": ()}, "got none among modalities"),
        ({"request_kinds": ("all",)}, "got 'all' among request_kinds, expected some of present, absent"),
    ],
)
def test_a_spec_that_cannot_be_drawn_is_refused(wrong, said):
    with pytest.raises(InputError) as refused:
        PhantomDatasetSpec(**{"count": 1} | wrong)
    assert said in str(refused.value)


def command(*options):
    ran = CliRunner().invoke(app, ["phantoms", *map(str, options)])
    if ran.exception is not None and not isinstance(ran.exception, (SystemExit, InputError)):
        raise ran.exception
    return ran


def test_the_command_draws_counts_and_shows(tmp_path):
    out, sheet = tmp_path / "out", tmp_path / "out" / "sheet.png"
    options = ["--n", 4, "--seed", 9, "--size", "64-72", "--difficulty", 0.4, "--workers", 1, "--sheet", sheet]
    kinds = ["--modality", "fundus", "--modality", "brain_mr", "--request-kind", "present", "--request-kind", "foreign"]
    ran = command("--out", out, *options, *kinds)
    cases = read_dataset(out)
    lines = [line.split() for line in ran.stdout.splitlines() if line.strip()]
    present = sum(case.present for case in cases)
    assert lines[0] == ["modality", "present", "foreign"]
    assert ["all", str(present), "4"] in lines
    assert lines[-3] == f"{len(cases)} rows on 4 of 4 pictures".split()
    assert {case.modality for case in cases} == {"fundus", "brain_mr"}
    reported = json.loads((out / "settings.json").read_text())
    assert (reported["size"], reported["difficulty"], reported["request_kinds"]) == (
        [64, 72],
        0.4,
        ["present", "foreign"],
    )
    picture = np.asarray(Image.open(sheet))
    assert picture.shape[1] > 4 * 224
    assert (np.ptp(picture[:224].astype(int), axis=2) > 30).mean() > 0.1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--size", "big"], "got --size 'big', expected such as 112 or 112-176"),
        (["--size", "1-2-3"], "got --size '1-2-3'"),
        (["--difficulty", "-0.5"], "got --difficulty '-0.5', expected such as 0.5 or 0.1-0.7"),
        (["--difficulty", "0.7-0.1"], "got difficulty from 0.7 to 0.1"),
        (["--modality", "xray"], "got 'xray' among modalities"),
        (["--request-kind", "anything"], "got 'anything' among request_kinds"),
        (["--sheet", "sheet.jpg"], "sheet.jpg: got no name of a PNG file"),
        (["--sheet", "nowhere/sheet.png"], "nowhere: got no such folder"),
    ],
)
def test_the_command_refuses_in_one_line_before_anything_is_written(options, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ran = command("--n", 1, "--out", "out", *options)
    assert isinstance(ran.exception, InputError)  # `main` turns it into exit code 2
    assert said in str(ran.exception)
    assert not list(tmp_path.iterdir())


def test_the_command_ends_with_code_2_and_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    ends = [sys.executable, "-m", "ibisagent.ui", "phantoms", "--n", "1", "--out", "file"]
    ran = subprocess.run(ends, cwd=tmp_path, capture_output=True, text=True)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.strip() == f"ibisagent: {tmp_path}/file: cannot be made (File exists); choose another --out"


@pytest.mark.slow
def test_ctrl_c_says_how_to_go_on(tmp_path):
    options = ["--n", "500", "--size", "64", "--out", "out", "--workers", "1"]
    ran = subprocess.Popen(
        [sys.executable, "-m", "ibisagent.ui", "phantoms", *options],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    while not (tmp_path / "out/.rows.jsonl").exists():
        assert ran.poll() is None
        time.sleep(0.01)
    ran.send_signal(signal.SIGINT)
    said = ran.communicate(timeout=30)[1]
    assert ran.returncode == 130
    assert "finished work is kept in out; the same command with --out out resumes from there" in said
    assert not (tmp_path / "out/manifest.csv").exists()
