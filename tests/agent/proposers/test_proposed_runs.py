"""Runs that begin with a proposal, recorded, seen, dropped and replayed; and those that go on without one."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from langgraph.checkpoint.memory import InMemorySaver
from PIL import Image
from rich.console import Console
from support.command_line import call as call_command
from support.dataset_fixtures import write_organ_dataset
from support.fakes import NOT_THERE, STOP, UNDO, RecordingPolicy, positive, script
from support.fakes import FixedProposer as Fixed
from support.mcp_servers import call, over_stdio
from support.mcp_servers import run as run_client

from ibisagent.agent import Click, LoopConfig, build_graph
from ibisagent.agent.episode import run_episode
from ibisagent.agent.integrations import segmentation_tool
from ibisagent.agent.policies.options import PolicyOptions
from ibisagent.agent.proposers import get_proposer
from ibisagent.agent.proposers.command import CommandProposer
from ibisagent.agent.replay import replay
from ibisagent.agent.threads import intervene
from ibisagent.agent.trajectory import Trajectory
from ibisagent.evals.contact_sheets import contact_sheet_of
from ibisagent.tools.errors import InputError
from ibisagent.tools.imaging.open_image import open_image
from ibisagent.tools.masks.rle import area, decode, encode
from ibisagent.ui.cli.step_table import build_step_table

DECLINE = "<think>x</think><action>Decline</action><answer>I cannot tell.</answer>"


def run(policy, pixels, proposer, config=None, segmenter="disk", **given):
    graph = build_graph(policy, segmenter, config, proposer=proposer)
    return run_episode(graph, {"image": pixels, "request": "Segment it.", **given})


def test_a_proposal_is_the_initial_mask_that_the_policy_sees_and_the_record_holds(pixels, truth):
    policy, proposer = RecordingPolicy(script(positive(0.1, 0.1), STOP)), Fixed(truth)
    record = run(policy, pixels, proposer)
    first = policy.seen[0]
    assert (first.has_initial_mask, first.initial_mask_by, first.score) == (True, "fixed", None)
    assert np.array_equal(first.mask, truth)
    assert record.start == encode(truth)
    proposal = record.target.proposal
    assert (proposal["by"], proposal["outcome"], proposal["score"], proposal["reason"]) == (
        "fixed",
        "proposed",
        0.7,
        None,
    )
    assert area(record.mask) > truth.sum()
    assert record.seconds >= proposal["seconds"] >= 0
    assert Trajectory.from_json(record.to_json()) == record
    image = open_image(pixels)
    assert replay(record, "disk", image).differences == ()
    assert proposer.asked == [(image.sha, "Segment it.")]  # once, not by the replay
    assert contact_sheet_of(record, image).height > 100


def test_a_backtrack_drops_a_proposal(pixels, truth):
    policy = RecordingPolicy(script(UNDO, NOT_THERE))
    record = run(policy, pixels, Fixed(truth))
    assert (record.stop, area(record.mask), record.steps[0].reverts) == ("target_absent", 0, 0)
    assert [seen.initial_mask_by for seen in policy.seen] == ["fixed", None]


def test_what_is_declined_asserts_no_proposal(pixels, truth):
    assert area(run(script(DECLINE), pixels, Fixed(truth)).mask) == 0
    assert area(run(script(DECLINE), pixels, None, initial_mask=truth).mask) == truth.sum()  # a person's


@pytest.mark.parametrize("given", [{"prompts": [Click(0.2, 0.2)]}, {"initial_mask": np.eye(96, 128, dtype=bool)}])
def test_what_a_person_gives_takes_precedence_and_is_said(given, pixels, truth):
    proposer = Fixed(truth)
    record = run(script(STOP), pixels, proposer, **given)
    assert (proposer.asked, record.target.proposal["outcome"]) == ([], "preceded")
    assert "take precedence" in record.target.proposal["reason"]


def test_a_question_is_asked_without_a_proposal(pixels, truth):
    proposer = Fixed(truth)
    record = run(script(NOT_THERE), pixels, proposer, kind="question")
    assert (proposer.asked, record.target.proposal) == ([], None)


def fails(_image):
    raise RuntimeError("out of memory")


@pytest.mark.parametrize(
    ("mask", "outcome", "reason"),
    [
        (None, "nothing", "nothing there"),
        (fails, "failed", "RuntimeError: out of memory"),
        (
            lambda image: np.zeros((3, 4), bool),
            "failed",
            "shape (3, 4) and type bool, expected (96, 128)",
        ),
        (lambda image: np.ones(image.shape, bool), "failed", "the whole picture"),
        (lambda image: np.zeros(image.shape, bool), "failed", "an empty mask"),
        (lambda image: np.ones(image.shape, np.uint8), "failed", "uint8"),
        (lambda image: time.sleep(5), "failed", "TimeoutError"),
    ],
)
def test_a_run_goes_on_without_what_is_of_no_use_and_says_so(mask, outcome, reason, pixels):
    begun = time.perf_counter()
    record = run(script(positive(0.5, 0.5), STOP), pixels, Fixed(mask), LoopConfig(policy_seconds=0.3))
    assert time.perf_counter() - begun < 4
    assert (record.stop, record.has_initial_mask, record.target.proposal["outcome"]) == ("terminated", False, outcome)
    assert reason in record.target.proposal["reason"]
    assert "\n" not in record.target.proposal["reason"]
    shown = Console(file=io.StringIO(), width=300)
    shown.print(build_step_table(record))
    words = " ".join(shown.file.getvalue().split())
    assert f"0 no proposal by fixed {record.target.proposal['reason']} 0" in words


def test_a_follow_up_refines_the_mask_and_a_request_after_nothing_is_proposed_for(pixels, truth):
    proposer = Fixed(truth)
    graph = build_graph(script(UNDO, NOT_THERE, STOP, STOP), "disk", proposer=proposer, checkpointer=InMemorySaver())
    thread = {"configurable": {"thread_id": "1"}}
    graph.invoke({"image": pixels, "request": "one"}, thread)
    second = graph.invoke({"request": "two"}, thread)
    assert (second["stop"], area(second["mask"])) == ("terminated", truth.sum())
    graph.invoke({"request": "three"}, thread)
    assert [request for _, request in proposer.asked] == ["one", "two"]
    undone = intervene(graph, thread, "Backtrack", interrupt_before=["reason"])
    assert undone["target_states"][0]["initial_mask"] is None


def test_a_proposal_is_asked_for_once_on_a_branch_and_after_a_resume(pixels, truth):
    proposer = Fixed(truth)
    graph = build_graph(script(positive(0.1, 0.1), STOP), "disk", proposer=proposer, checkpointer=InMemorySaver())
    thread = {"configurable": {"thread_id": "1"}}
    graph.invoke({"image": pixels, "request": "one"}, thread, interrupt_before=["reason"])
    ended = graph.invoke(None, thread)
    assert (len(proposer.asked), ended["stop"]) == (1, "terminated")


# A program


PROGRAM = """
import sys
import nibabel as nib
import numpy as np
image, out, text = sys.argv[1:4]
values = np.asarray(nib.load(image).dataobj)
mask = (values > values.mean()).astype(np.uint8)
if "crash" in text: sys.exit("no such organ")
if "late" in text: import time; time.sleep(30)
if "small" in text: mask = mask[:5]
if "nothing" in text: sys.exit(0)
nib.save(nib.Nifti1Image(mask, np.eye(4)), out) if out.endswith(".gz") else None
if out.endswith(".png"):
    from PIL import Image
    Image.fromarray(mask[..., 0].T * 255).save(out)
"""


@pytest.fixture
def program(tmp_path):
    (tmp_path / "my program.py").write_text(PROGRAM)
    return f"{sys.executable} '{tmp_path / 'my program.py'}'"


@pytest.mark.parametrize("out", ["{out}", "{out}.nii.gz", "{out}.png"])
def test_a_program_proposes(out, program, pixels):
    proposer = get_proposer(f"command:{program} {{image}} {out} {{text}}")
    proposal = proposer.propose(open_image(pixels), "the {out} bright $(part); `of` it")
    assert np.array_equal(proposal.mask, pixels > pixels.mean())
    record = run(script(STOP), pixels, proposer)
    assert (record.target.proposal["by"], record.target.proposal["outcome"]) == (proposer.name, "proposed")
    assert np.array_equal(decode(record.mask), pixels > pixels.mean())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("crash", "got exit code 1 (no such organ)"),
        ("late", "got no mask within 2 s"),
        ("small", "got a mask of (5, 96, 1) voxels, expected (128, 96, 1)"),
        ("nothing", "got no file at {out}"),
    ],
)
def test_a_program_that_fails_leaves_the_run_without_a_proposal(text, said, program, pixels):
    proposer = CommandProposer(f"{program} {{image}} {{out}} {{text}}", seconds=2 if text == "late" else 60)
    record = run(script(positive(0.5, 0.5), STOP), pixels, proposer, request=text)
    assert (record.stop, record.target.proposal["outcome"]) == ("terminated", "failed")
    assert said in record.target.proposal["reason"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("command:segment-it {image}", r"without \{out\}"),
        ("command:'open {image} {out}", "cannot be split"),
        ("no-such", "expected one of none, nano"),
        ("no_such_module:Class", "got no module"),
    ],
)
def test_a_wrong_name_is_refused_in_a_line(name, said):
    with pytest.raises(InputError, match=said) as caught:
        get_proposer(name)
    assert "\n" not in str(caught.value)


def test_local_only_refuses_a_program_unless_it_is_said_to_be_local(program):
    options = PolicyOptions(local_only=True)
    with pytest.raises(InputError, match="--local-only forbids"):
        get_proposer(f"command:{program} {{image}} {{out}}", None, options)
    assert get_proposer(f"local-command:{program} {{image}} {{out}}", None, options).name.startswith("command:")


@pytest.mark.slow
def test_the_commands_take_a_program(program, pixels, tmp_path):
    Image.fromarray(pixels).save(tmp_path / "scan.png")
    given = ("--propose", f"local-command:{program} {{image}} {{out}} {{text}}", "--local-only")
    ran = call_command("segment", "scan.png", "the organ", "--policy", "centre", *given, "--out", "o", cwd=tmp_path)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "0   proposed by" in ran.stdout
    proposal = json.loads((tmp_path / "o/trajectory.json").read_text())["targets"][0]["proposal"]
    assert (proposal["outcome"], proposal["by"].startswith("command:python")) == ("proposed", True)
    (tmp_path / "data").mkdir()
    write_organ_dataset(tmp_path / "data", 1, "modality", lambda *_: "MR")
    line = ("eval", "data", "--policy", "centre", "--no-baselines", "--workers", 1, "--segmenter", "disk", "--out", "e")
    ran = call_command(*line, *given, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    with (tmp_path / "e/results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["proposal"] for row in rows} == {"proposed"}
    for row in rows:
        assert float(row["proposal_gain"]) == pytest.approx(float(row["iou"]) - float(row["proposal_iou"]))
    other = call_command(*line, "--propose", "none", cwd=tmp_path)
    assert (other.returncode, "propose" in other.stderr) == (2, True)


SLOW_ONCE = """
import pathlib, sys, time
import nibabel as nib
import numpy as np
calls = pathlib.Path(sys.argv[3])
calls.write_text(calls.read_text() + "." if calls.exists() else ".")
if calls.read_text() == ".": time.sleep(60)
values = np.asarray(nib.load(sys.argv[1]).dataobj)
nib.save(nib.Nifti1Image((values > values.mean()).astype(np.uint8), np.eye(4)), sys.argv[2])
"""


@pytest.mark.slow
def test_a_run_killed_during_its_proposal_is_taken_up_and_asks_again(pixels, tmp_path):
    Image.fromarray(pixels).save(tmp_path / "scan.png")
    (tmp_path / "slow.py").write_text(SLOW_ONCE)
    line = ("segment", "scan.png", "the organ", "--policy", "centre", "--out", "o", "--thread", "1", "--db", "runs.db")
    program = f"{sys.executable} {tmp_path / 'slow.py'} {{image}} {{out}} {tmp_path / 'calls'}"
    propose = ("--propose", f"local-command:{program}")
    called = [sys.executable, "-m", "ibisagent.ui", *line, *propose]
    process = subprocess.Popen(called, cwd=tmp_path, start_new_session=True)
    while not (tmp_path / "calls").exists():
        assert process.poll() is None
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "o/trajectory.json").exists()
    ran = call_command(*line, *propose, cwd=tmp_path)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert (tmp_path / "calls").read_text() == ".."
    record = Trajectory.from_json(json.loads((tmp_path / "o/trajectory.json").read_text()))
    assert record.target.proposal["outcome"] == "proposed"
    assert record.start == encode(pixels > pixels.mean())
    unbroken = run("centre", pixels, Fixed(pixels > pixels.mean()), segmenter="geocut", request="the organ")
    assert (record.mask, record.stop, len(record.steps)) == (unbroken.mask, unbroken.stop, len(unbroken.steps))
    assert call_command(*line, *propose, cwd=tmp_path).returncode == 0  # done: given again
    assert (tmp_path / "calls").read_text() == ".."


@pytest.mark.slow
def test_the_tool_and_the_server_take_a_program(program, pixels, tmp_path):
    bright = pixels > pixels.mean()
    proposer = get_proposer(f"command:{program} {{image}} {{out}} {{text}}")
    tool = segmentation_tool(script(STOP), "disk", proposer=proposer, root={"scan": pixels})
    arguments = {"image": "scan", "request": "the organ"}
    said = tool.invoke({"type": "tool_call", "id": "1", "name": tool.name, "args": arguments})
    assert said.artifact["rle"] == encode(bright)

    Image.fromarray(pixels).save(tmp_path / "scan.png")
    given = ("--policy", "centre", "--propose", f"local-command:{program} {{image}} {{out}} {{text}}", "--local-only")

    async def ask():
        async with over_stdio(*given, "--root", tmp_path) as client:
            return await call(client, "segment", image="scan.png", request="the organ")

    _, told = run_client(ask)
    area_of = {
        proposer: area(run("centre", pixels, proposer and Fixed(bright), segmenter="geocut").mask)
        for proposer in (True, None)
    }
    assert told["measurements"]["area_px"] == area_of[True] != area_of[None]
    failed = tool.invoke({"type": "tool_call", "id": "2", "name": tool.name, "args": arguments | {"request": "crash"}})
    assert f"The proposer {proposer.name} failed; the run began without a proposal." in failed.content
    assert "no such organ" not in failed.content


def test_nano_proposes_by_default_and_none_turns_it_off():
    assert get_proposer(None, build_graph("nano", "disk").components.policy).name == "nano"
    assert build_graph("nano", "disk", proposer="none").components.proposer is None
    assert build_graph("centre", "disk").components.proposer is None
