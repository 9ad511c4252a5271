"""A policy, a segmenter or a store that fails is loud: exit code 3, one line, and files that show the reason."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from support.fakes import STOP, CountingSegmenter, positive, script
from support.openai_server import answer_with_script, serve

from ibisagent.agent import build_graph
from ibisagent.agent.trajectory import build_trajectory
from ibisagent.agent.trajectory_files import read_trajectories
from ibisagent.evals.contact_sheets import contact_sheet_of
from ibisagent.tools.errors import RunFailed
from ibisagent.tools.imaging.open_image import open_image
from ibisagent.ui.cli.evaluate import evaluate
from ibisagent.ui.cli.run_commands import RunOptions, run_case

FILES = ["mask.png", "overlay.png", "steps.png", "trajectory.json"]
DEAD = "vllm:http://127.0.0.1:9/v1#tiny"

# The policy that ships as a version of transformers left it that renamed what its model gives back.
BROKEN = """
import runpy, sys
from ibisagent.agent.policies.pointer.pointer_head import PointerHead
def forward(self, *args, **kwargs):
    raise TypeError("got an unexpected keyword argument 'cache'")
PointerHead.forward = forward
sys.argv = ["ibisagent", *sys.argv[1:]]
"""


def run(*command, cwd):
    return subprocess.run([sys.executable, *map(str, command)], cwd=cwd, capture_output=True, text=True, timeout=100)


@pytest.mark.slow
def test_a_dead_server_is_told_and_the_click_so_far_is_kept(tmp_path, pixels):
    Image.fromarray(pixels).save(tmp_path / "scan.png")
    given = ("scan.png", "Segment it.", "--policy", DEAD, "--click", "+0.55,0.42", "--out", "o", "--save", "m.json")
    ran = run("-m", "ibisagent.ui", "segment", *given, cwd=tmp_path)
    assert ran.returncode == 3
    (line,) = ran.stderr.splitlines()
    assert line.startswith(f"ibisagent: policy {DEAD}: got ")
    assert line.endswith("check that its model or server runs, or name another --policy (policy_error)")
    assert sorted(path.name for path in (tmp_path / "o").iterdir()) == FILES
    assert (tmp_path / "m.json").exists()
    assert np.asarray(Image.open(tmp_path / "o/mask.png")).any()
    (record,) = read_trajectories(tmp_path / "o/trajectory.json")
    assert (record.stop, len(record.steps)) == ("policy_error", 1)


def test_a_segmenter_that_fails_is_told_with_the_mask_before(tmp_path, pixels):
    graph = build_graph(script(positive(0.5, 0.5), positive(0.6, 0.5), STOP), CountingSegmenter(fails_at=2))
    case = RunOptions(tmp_path / "scan.png", "Segment it.", "disk", None, None, max_steps=5, out=tmp_path / "o")
    with pytest.raises(
        RunFailed, match="segmenter disk: got RuntimeError: out of memory second line, expected a mask; check that"
    ):
        run_case(graph, {"image": open_image(pixels), "request": case.request}, case)
    assert sorted(path.name for path in (tmp_path / "o").iterdir()) == FILES
    assert np.asarray(Image.open(tmp_path / "o/mask.png")).any()


@pytest.mark.parametrize("replies", [(), (positive(0.5, 0.5),), ("hm",)], ids=["at once", "later", "after a bad reply"])
def test_the_sheet_of_a_policy_that_fails_ends_with_the_picture_and_the_reason(replies, pixels, monkeypatch):
    shown = []
    sheet = "ibisagent.evals.contact_sheets.from_trajectory.draw_contact_sheet"
    monkeypatch.setattr(sheet, lambda title, subtitle, panels, *rest, **more: shown.extend(panels))
    graph = build_graph(script(*replies), "disk")
    contact_sheet_of(
        build_trajectory(graph, graph.invoke({"image": pixels, "request": "Segment it."})), open_image(pixels)
    )
    assert len(shown) == len(replies) + 1
    assert (shown[-1].heading, shown[-1].overlay.any()) == ("policy_error", True)
    assert shown[-1].error.startswith("IndexError: the script has")


@pytest.mark.slow
def test_the_demonstration_and_the_doctor_fail_with_a_broken_policy(tmp_path):
    demo = run("-c", f"{BROKEN}runpy.run_module('ibisagent.ui.cli.demo', run_name='__main__')", cwd=tmp_path)
    doctor = run("-c", f"{BROKEN}runpy.run_module('ibisagent.ui', run_name='__main__')", "doctor", cwd=tmp_path)
    assert (demo.returncode, doctor.returncode) == (3, 3)
    said = "ibisagent: policy nano: got TypeError: got an unexpected keyword argument 'cache', expected a reply"
    assert [ran.stderr.splitlines()[-1][: len(said)] for ran in (demo, doctor)] == [said, said]
    assert "geocut: 2 steps, terminated, IoU 1.000 (expected 0.7 or more)" in doctor.stdout


@pytest.fixture
def dataset(tmp_path, pixels, truth):
    for name, array in (("images", pixels), ("masks", truth)):
        (tmp_path / "data" / name).mkdir(parents=True)
        for case in "ab":
            Image.fromarray(array).save(tmp_path / "data" / name / f"{case}.png")
    (tmp_path / "data/manifest.csv").write_text("id,target\na,lesion\nb,lesion\n")
    return tmp_path / "data"


@pytest.mark.slow
def test_a_policy_whose_every_run_failed_is_named_and_tried_again(dataset, tmp_path, capsys):
    faults = ["401"]
    with serve(answer_with_script(positive(0.55, 0.42), STOP), lambda body: faults[0]) as server:
        policy, given = f"vllm:{server.url}#tiny", {"baselines": False, "workers": 1, "max_steps": 3}
        with pytest.raises(RunFailed, match=r"2 of 2 runs failed, 2 with .*401"):
            evaluate(dataset, [policy, "centre"], ["disk"], tmp_path / "out", **given)
        told = " ".join(capsys.readouterr().out.split())
        assert f"{policy} with disk: policy_error 2; false refusal rate 0.000 of 2" in told
        assert "centre with disk: terminated 2; false refusal rate 0.000 of 2" in told
        assert "2 of 2 runs failed, 2 with" in told
        asked = len(server.requests)
        faults[0] = None
        evaluate(dataset, [policy, "centre"], ["disk"], tmp_path / "out", **given)
        assert len(server.requests) - asked == 4  # a click and a stop for each of the two
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    assert [(run["policy"], run["failed"], run["errors"]) for run in summary["runs"]] == [
        (policy, 0, {}),
        ("centre", 0, {}),
    ]
    assert "failed" not in capsys.readouterr().out


@pytest.mark.slow
def test_one_failed_run_of_several_is_told_and_ends_well(dataset, tmp_path, capsys):
    with serve(
        answer_with_script(positive(0.55, 0.42), STOP), lambda body: "401" if len(server.requests) == 1 else None
    ) as server:
        evaluate(dataset, [f"vllm:{server.url}#tiny"], ["disk"], tmp_path / "out", baselines=False, workers=1)
    assert "1 of 2 runs failed, 1 with" in capsys.readouterr().out
