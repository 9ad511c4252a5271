"""The command line as a user meets it: exit codes, one line for every mistake; in processes where that is the point."""

import json
import re
import signal
import struct
import subprocess
import sys
import zlib
from importlib.metadata import version
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image
from pydicom.data import get_testdata_file
from rich.console import Console
from support.command_line import call, run

from ibisagent.agent import build_graph
from ibisagent.agent.policies import POLICIES
from ibisagent.tools.segmenters import SEGMENTERS
from ibisagent.ui.cli.app import main
from ibisagent.ui.cli.live import run_live


@pytest.fixture
def case(tmp_path, pixels, truth):
    """A folder with a scan and its true mask."""
    Image.fromarray(pixels).save(tmp_path / "scan.png")
    Image.fromarray(truth).save(tmp_path / "truth.png")
    return tmp_path


def test_simulate_writes_the_run_folder_and_replay_repeats_it(case):
    ran = run("simulate", "scan.png", "truth.png", "--out", "out", cwd=case)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "terminated" in ran.stdout
    assert sorted(path.name for path in (case / "out").iterdir()) == [
        "mask.png",
        "overlay.png",
        "steps.png",
        "trajectory.json",
    ]
    record = json.loads((case / "out/trajectory.json").read_text())
    assert record["image"]["uri"] == "../scan.png"
    mask = np.asarray(Image.open(case / "out/mask.png"))
    assert set(np.unique(mask)) == {0, 255}
    again = run("replay", "out/trajectory.json", cwd=case)
    assert (again.returncode, again.stderr) == (0, "")
    assert "every mask equal bit for bit" in again.stdout


def test_replay_tells_a_changed_record_and_a_changed_image(case, pixels):
    call("simulate", "scan.png", "truth.png", "--out", "out", cwd=case)
    record = json.loads((case / "out/trajectory.json").read_text())
    record["steps"][0]["mask"] = record["targets"][0]["start"]
    (case / "out/changed.json").write_text(json.dumps(record))
    ran = call("replay", "out/changed.json", cwd=case)
    assert (ran.returncode, ran.stderr.count("\n")) == (2, 1)
    assert "step 1: the mask differs" in ran.stderr
    Image.fromarray(255 - pixels).save(case / "scan.png")
    ran = call("replay", "out/trajectory.json", cwd=case)
    assert ran.returncode == 2
    assert "--image" in ran.stderr


def test_a_replay_opens_what_lies_below_the_current_folder_or_a_named_one(case, pixels):
    """A record from elsewhere names a picture that its reader has and did not offer."""
    call("simulate", "scan.png", "truth.png", "--out", "out", cwd=case)
    (case / "elsewhere").mkdir()
    for options in ([], ["--root", "elsewhere"], ["--root", "none"]):
        ran = call("replay", str(case / "out/trajectory.json"), *options, cwd=case / "elsewhere")
        assert (ran.returncode, ran.stderr.count("\n")) == (2, 1)
        assert "--root" in ran.stderr
    for options in (["--root", ".."], ["--image", str(case / "scan.png")], ["--root", "/", "--root", "../out"]):
        ran = call("replay", str(case / "out/trajectory.json"), *options, cwd=case / "elsewhere")
        assert (ran.returncode, ran.stderr) == (0, "")
    ran = call("replay", str(case / "out/trajectory.json"), cwd="/")  # where a service runs, not a folder that it chose
    assert (ran.returncode, ran.stderr.count("\n")) == (2, 1)
    assert "scan.png: got no such image in a folder that may be read" in ran.stderr


def test_own_clicks_need_no_policy(case):
    ran = call(
        *("segment", "scan.png", "the ellipse", "--policy", "none", "--out", "o"),
        *("--click", "+0.55,0.42", "--click", "-0.1,0.1"),
        cwd=case,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    steps = json.loads((case / "o/trajectory.json").read_text())["steps"]
    assert [(step["actor"], step["action"]["type"]) for step in steps] == [
        ("person", "point"),
        ("person", "point"),
        ("policy", "terminate"),
    ]
    assert [step["action"].get("positive") for step in steps] == [True, False, None]


def test_box_mask_and_every_save(case):
    ran = call(
        *("segment", "scan.png", "the ellipse", "--box", "0.2,0.2,0.8,0.7", "--mask", "truth.png", "--out", "o"),
        *("--save", "one.png", "--save", "two.json", "--segmenter", "disk", "--policy", "none"),
        cwd=case,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert (case / "one.png").read_bytes() == (case / "o/mask.png").read_bytes()
    assert json.loads((case / "two.json").read_text())["size"] == [96, 128]


def test_random_repeats_by_its_seed(case):
    masks = []
    for seed, out in ((3, "a"), (3, "b"), (4, "c")):
        ran = call("segment", "scan.png", "x", "--policy", "random", "--seed", seed, "--out", out, cwd=case)
        assert ran.returncode == 0
        masks.append((case / out / "mask.png").read_bytes())
    assert masks[0] == masks[1] != masks[2]


def test_a_person_clicks_at_the_terminal(case):
    said = "Positive Point (0.55, 0.42)\nrubbish\nBacktrack\nPositive Point (0.5, 0.4)\nTerminate\n"
    ran = call("segment", "scan.png", "x", "--policy", "person", "--out", "o", cwd=case, stdin=said)
    assert (ran.returncode, ran.stderr) == (0, "")
    steps = json.loads((case / "o/trajectory.json").read_text())["steps"]
    assert [step["action"]["type"] if step["action"] else None for step in steps] == [
        "point",
        None,
        "backtrack",
        "point",
        "terminate",
    ]


@pytest.mark.slow
def test_ctrl_c_ends_the_run_with_the_mask_in_force(case):
    command = [sys.executable, "-m", "ibisagent.ui", "segment", "scan.png", "x", "--policy", "person", "--out", "o"]
    command += ["--click", "+0.55,0.42"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=case, text=True, **pipes) as running:
        assert any("Next?" in line for line in iter(running.stdout.readline, ""))
        running.send_signal(signal.SIGINT)
        out, err = running.communicate("Positive Point (0.1, 0.1)\n", timeout=60)
    assert (running.returncode, err) == (0, "")
    record = json.loads((case / "o/trajectory.json").read_text())
    assert (record["stop"], len(record["steps"])) == ("cancelled", 1)
    assert np.asarray(Image.open(case / "o/mask.png")).any()
    assert "cancelled" in out


def test_a_bug_comes_out_beside_the_last_state(pixels):
    graph = build_graph("centre", "disk")
    graph.components.store.get = None  # parse will find no reply
    state, bug = run_live(graph, {"image": pixels, "request": "x"}, {}, Console(quiet=True))
    assert state["run"]["request_index"] == 1
    assert isinstance(bug, TypeError)


def test_a_slice_of_a_volume_is_saved_on_the_volume_s_grid(tmp_path):
    volume = np.zeros((40, 50, 6), np.int16)
    volume[10:30, 15:35, 2:5] = 200
    affine = np.diag([-2.0, 2.0, 5.0, 1.0])
    nibabel.save(nibabel.Nifti1Image(volume, affine), tmp_path / "v.nii.gz")
    ran = call(
        *("segment", "v.nii.gz", "the cube", "--slice", "3", "--click", "+0.5,0.5", "--save", "m.nii.gz", "--out", "o"),
        *("--policy", "none"),
        cwd=tmp_path,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    saved = nibabel.load(tmp_path / "m.nii.gz")
    mask = np.asarray(saved.dataobj)
    assert (saved.shape, saved.get_data_dtype()) == (volume.shape, np.uint8)
    assert np.array_equal(saved.affine, affine)
    assert mask[..., [0, 1, 2, 4, 5]].max() == 0
    inside = volume[..., 3] > 0
    assert (mask[..., 3].astype(bool) & inside).sum() / (mask[..., 3].astype(bool) | inside).sum() > 0.9


def test_doctor_tells_what_is_missing_and_runs_the_loop(tmp_path):
    ran = call("doctor", cwd=tmp_path)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "geocut: " in ran.stdout
    assert [form for form in (*POLICIES.forms, *SEGMENTERS.forms) if f" {form} " not in ran.stdout] == []
    assert re.search("^nano(: [0-9]+ steps| cannot run here: )", ran.stdout, re.MULTILINE)
    assert not list(tmp_path.iterdir())


def png_header(width, height):
    """A PNG that claims a size and holds nothing."""
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunk = struct.pack(">I", 13) + b"IHDR" + head + struct.pack(">I", zlib.crc32(b"IHDR" + head))
    return b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 0) + b"IEND" + struct.pack(">I", zlib.crc32(b"IEND"))


def broken(name, folder, pixels):
    """Write one broken input and give its name."""
    whole = folder / "whole.png"
    Image.fromarray(pixels).save(whole)
    contents = {
        "empty.png": b"",
        "truncated.png": whole.read_bytes()[:700],
        "truncated.dcm": Path(get_testdata_file("CT_small.dcm", download=False)).read_bytes()[:3000],
        "text.dcm": b"Dear colleague, here is the scan.\n",
        "huge.png": png_header(60_000, 60_000),
        "flat.png": png_header(0, 10),
    }
    (folder / name).write_bytes(contents[name])
    whole.unlink()
    return name


@pytest.mark.parametrize("name", ["empty.png", "truncated.png", "truncated.dcm", "text.dcm", "huge.png", "flat.png"])
def test_a_broken_image_is_one_line_and_exit_code_2(name, tmp_path, pixels):
    broken(name, tmp_path, pixels)
    ran = call("segment", name, "x", "--policy", "centre", "--out", "o", cwd=tmp_path)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.count("\n") == 1
    assert name in ran.stderr
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--mask", "small.png", "--policy", "centre"], "(5, 7)"),
        (["--mask", "none.png", "--policy", "centre"], "none.png"),
        (["--policy", "gpt"], "centre"),
        (["--policy", "oracle"], "simulate"),
        (["--policy", "openai:gpt-4o", "--local-only"], "--local-only"),
        (["--policy", "centre", "--segmenter", "u-net"], "geocut"),
        (["--policy", "centre", "--save", "mask.bmp"], ".png"),
        (["--policy", "centre", "--save", "mask.nii.gz"], "NIfTI"),
        (["--policy", "centre", "--prompts", "none.toml"], "none.toml"),
        (["--policy", "centre", "--window", "soft"], "abdomen"),
        (["--policy", "centre", "--slice", "99"], "of a single picture, expected none"),
        (["--click", "312,200"], "+0.41,0.52"),
        (["--click", "+312,200"], "0 to 1"),
        (["--click", "+nan,0.5"], "0 to 1"),
        (["--box", "0.5,0.5,0.1,0.1"], "empty box"),
        (["--policy", "none"], "--click"),
        (["--policy", "hf:owner/model", "--local-only"], "--local-only"),
    ],
)
def test_a_wrong_option_is_one_line_and_exit_code_2(arguments, said, case, capsys, monkeypatch):
    Image.fromarray(np.ones((5, 7), bool)).save(case / "small.png")
    before = sorted(path.name for path in case.iterdir())
    monkeypatch.chdir(case)
    monkeypatch.setattr(sys, "argv", ["ibisagent", "segment", "scan.png", "x", "--out", "o", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    shown = capsys.readouterr()
    assert caught.value.code == 2
    assert said in shown.err
    assert shown.err.count("\n") == 1
    assert sorted(path.name for path in case.iterdir()) == before


@pytest.mark.parametrize("words", ["", "   "])
@pytest.mark.parametrize(
    "command", [["segment", "--policy=nobody", "scan.png"], ["simulate", "scan.png", "truth.png", "--request"]]
)
def test_an_empty_request_is_refused_before_anything_is_shown(command, words, case):
    ran = call(*command, words, "--out", "o", cwd=case)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == "ibisagent: request: got nothing, expected words such as 'segment the liver'; give some\n"
    assert not (case / "o").exists()


def test_the_version_is_told(tmp_path):
    ran = run("--version", cwd=tmp_path)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, f"ibisagent {version('ibisagent')}\n", "")


def test_an_unwritable_run_folder_is_told_before_anything_runs(case):
    (case / "file").write_text("in the way")
    ran = call("segment", "scan.png", "x", "--policy", "centre", "--out", "file/run", cwd=case)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("command", "without"),
    [
        (["segment"], lambda entry: entry.needs_truth),
        (["eval"], lambda entry: entry.is_person),
        (["suite"], lambda entry: entry.is_person),
        (["mcp"], lambda entry: entry.is_person or entry.needs_truth),
        (["trajectories", "make"], lambda entry: entry.is_person),
    ],
)
def test_the_help_names_every_policy_and_segmenter_that_the_command_takes(command, without, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "1000")
    monkeypatch.setattr(sys, "argv", ["ibisagent", *command, "--help"])
    with pytest.raises(SystemExit) as caught:
        main()
    shown = capsys.readouterr().out
    (line,) = [line for line in shown.splitlines() if "--policy " in line and "nano" in line]
    taken = [entry.form for entry in POLICIES.entries if not without(entry)]
    assert [form for form in taken if not re.search(rf" {form}[, ]", line)] == []
    assert [entry.form for entry in POLICIES.entries if without(entry) and f" {entry.form} (" in line] == []
    (line,) = [line for line in shown.splitlines() if "--segmenter " in line]
    assert f"{', '.join(SEGMENTERS.forms)}, or package.module:Class of your own" in line
    assert caught.value.code == 0


def test_help_needs_none_of_the_heavy_imports(tmp_path):
    code = (
        "import sys, ibisagent.ui.cli.app;"
        "sys.exit(any(m in sys.modules for m in ('numpy', 'langgraph', 'langchain_core', 'PIL', 'scipy')))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path).returncode == 0


@pytest.mark.slow
def test_a_killed_command_goes_on_where_it_was(case):
    command = ["segment", "scan.png", "Segment it.", "--policy", "person", "--thread", "t", "--db", "runs.db"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "cwd": case}
    with subprocess.Popen([sys.executable, "-m", "ibisagent.ui", *command, "--out", "a"], **pipes) as running:
        running.stdin.write("Positive Point (0.55, 0.42)\n")
        running.stdin.flush()
        asked = (line for line in iter(running.stdout.readline, "") if "Next?" in line)
        assert next(asked)
        assert next(asked)
        running.kill()
    ended = call(*command, "--out", "b", cwd=case, stdin="Terminate\n")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "resumed after 1 steps" in ended.stdout
    record = json.loads((case / "b/trajectory.json").read_text())
    assert [step["action"]["type"] for step in record["steps"]] == ["point", "terminate"]
    again = call(*command, "--out", "c", cwd=case)
    assert (again.returncode, "resumed after 2 steps" in again.stdout) == (0, True)
    assert json.loads((case / "c/trajectory.json").read_text()) == record
    refined = call(*command[:2], "Leave out the rim.", *command[3:], "--out", "d", cwd=case, stdin="Backtrack\n\n")
    assert refined.returncode == 0
    assert json.loads((case / "d/trajectory.json").read_text())["request_index"] == 2


@pytest.mark.parametrize(
    "options",
    [["--thread", "t"], ["--db", "r.db"], ["--thread", "t", "--db", "scan.png"], ["--thread", "t", "--db", "."]],
)
def test_a_run_that_cannot_be_kept_is_refused_in_a_line(case, options):
    ran = call("segment", "scan.png", "x", "--policy", "centre", *options, cwd=case)
    assert ran.returncode == 2
    assert ran.stderr.count("\n") == 1
    assert not (case / "runs").exists()


@pytest.mark.slow
def test_a_full_disk_under_the_checkpoints_is_told_and_the_run_goes_on_later(case):
    code = """
import resource, sys
from ibisagent.ui.cli.app import main
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)), resource.RLIM_INFINITY))
main()
"""
    command = ["segment", "scan.png", "x", "--policy", "random", "--thread", "t", "--db", "runs.db", "--out", "o"]
    python = {"cwd": case, "capture_output": True, "text": True}
    full = subprocess.run([sys.executable, "-c", code, "70000", *command], **python)
    assert (full.returncode, full.stderr.count("\n")) == (2, 1)
    assert full.stderr.startswith("ibisagent: ")
    ended = call(*command, cwd=case)
    assert (ended.returncode, ended.stderr) == (0, "")
    call("segment", "scan.png", "x", "--policy", "random", "--out", "whole", cwd=case)
    assert (case / "o/mask.png").read_bytes() == (case / "whole/mask.png").read_bytes()
