"""Making trajectories on real processes: the same files however they are made, killed and resumed."""

import csv
import json
import re
import sys
from dataclasses import replace

import pytest
from support.dataset_fixtures import write_organ_dataset
from support.killed_jobs import kill_after_rows, write_slow_script
from support.records import with_target
from typer.testing import CliRunner

from ibisagent.agent.actions import Backtrack, Terminate
from ibisagent.agent.policies import Completion, SyncPolicy
from ibisagent.agent.replay import replay
from ibisagent.agent.reply_parser import parse_reply
from ibisagent.agent.trajectory import Trajectory
from ibisagent.agent.trajectory_files import read_trajectories
from ibisagent.evals.trajectories import find_fault
from ibisagent.tools.clicks import click_to_pixel
from ibisagent.tools.datasets import read_dataset
from ibisagent.tools.errors import InputError
from ibisagent.tools.imaging.open_image import open_image
from ibisagent.tools.masks.measure import iou
from ibisagent.tools.masks.rle import decode, encode
from ibisagent.training.experts.expert import ExpertConfig
from ibisagent.training.experts.noisy_expert import MistakeRates
from ibisagent.training.trajectories import Filters, InitialMaskRates, make_trajectories
from ibisagent.ui.cli.app import app

SETTINGS = {
    "segmenter": "geodesic",
    "mistakes": MistakeRates.from_total(0.5),
    "initial_masks": InitialMaskRates(0.2, 0.2),
    "filters": Filters(0.0),
}
OWN = "Where would you cut?"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Six pictures of a liver and a spleen, a polyp that is absent, a request of its own, and a missing mask."""
    folder = tmp_path_factory.mktemp("data")
    write_organ_dataset(folder, 6, "request", lambda *where: OWN if where == (2, "spleen") else "")
    with (folder / "manifest.csv").open("a") as file:
        file.write("\nmissing,images/0.png,masks/missing.png,liver,,1")
    return folder


@pytest.fixture(scope="module")
def unbroken(dataset, tmp_path_factory):
    out = tmp_path_factory.mktemp("made") / "out"
    summary = make_trajectories(read_dataset(dataset), out, workers=1, **SETTINGS)
    assert (summary["kept"] + summary["dropped"], summary["broken"]) == (18, 1)
    return out


def records(out):
    return [record for path in sorted(out.glob("trajectories-*.jsonl")) for record in read_trajectories(path)]


def timeless(value):
    if isinstance(value, dict):
        return {key: timeless(item) for key, item in value.items() if key != "seconds"}
    return [timeless(item) for item in value] if isinstance(value, list) else value


def written(out):
    """Every file, less the seconds in the records."""
    files = {path.name: path.read_text() for path in sorted(out.iterdir())}
    lines = {name: [json.loads(line) for line in text.splitlines()] for name, text in files.items() if "jsonl" in name}
    return {name: timeless(lines.get(name, text)) for name, text in files.items()}


def test_a_folder_holds_sound_records_in_the_order_of_the_cases(dataset, unbroken):
    made = records(unbroken)
    cases = {case.id: case for case in read_dataset(dataset)}
    with (unbroken / "left-out.csv").open(newline="") as file:
        left_out = {row["id"]: (row["status"], row["reason"]) for row in csv.DictReader(file)}
    status, reason = left_out["missing"]
    assert status == "broken"
    assert "masks/missing.png: got a path with no file" in reason
    kept = [case for id, case in cases.items() if id not in left_out]
    assert len(made) == len(kept) >= 15
    for case, record in zip(kept, made, strict=True):
        truth = case.read_truth(case.open())
        assert (unbroken / record.image["uri"]).resolve() == case.image
        assert (decode(record.truth) == truth).all()
        assert record.policy == "noisy_expert"
        for step in record.steps:
            for text in filter(None, (step.reply, step.completion["label"])):
                assert parse_reply(text, strict=True).error is None
    assert replay(made[0], "geodesic", open_image(unbroken / made[0].image["uri"])).differences == ()


def test_the_runs_show_every_kind_of_step(unbroken):
    made = records(unbroken)
    steps = [step for record in made for step in record.steps]
    assert {step.action["type"] for step in steps} == {"point", "backtrack", "terminate"}
    assert {record.stop for record in made} >= {"terminated", "target_absent"}
    assert {step.reverts == 0 for step in steps if step.reverts is not None} == {True, False}
    assert {step.completion["model"] for step in steps} == {"expert", "mistake"}
    assert any(step.undone for step in steps)
    fits = [iou(decode(record.start), decode(record.truth)) for record in made if record.has_initial_mask]
    assert (min(fits) < 0.1, max(fits) > 0.3) == (True, True)


def test_requests_are_worded_anew_but_for_those_of_the_data_set(dataset, unbroken, tmp_path):
    asked = [record.request for record in records(unbroken)]
    assert OWN in asked
    assert len({request for request in asked if request != OWN}) > 8
    plain = {"segmenter": "disk", "filters": Filters(0.0), "reword": False, "workers": 1}
    make_trajectories(read_dataset(dataset)[:3], tmp_path, **plain)
    assert [record.request for record in records(tmp_path)] == [
        *("Segment the liver.", "Segment the polyp.", "Segment the spleen.")
    ]


@pytest.mark.slow
def test_the_number_of_processes_does_not_matter(dataset, unbroken, tmp_path):
    reported, out = [], tmp_path / "out"
    make_trajectories(read_dataset(dataset), out, workers=2, on_row=lambda *row: reported.append(row[1:]), **SETTINGS)
    assert written(out) == written(unbroken)
    assert reported == [(done, 19) for done in range(1, 20)]


BODY = """
from ibisagent.tools.datasets import read_dataset
from ibisagent.training.experts.noisy_expert import MistakeRates
from ibisagent.training.trajectories import Filters, InitialMaskRates, make_trajectories

if __name__ == "__main__":
    settings = {"segmenter": "geodesic", "mistakes": MistakeRates.from_total(0.5)}
    settings |= {"initial_masks": InitialMaskRates(0.2, 0.2), "filters": Filters(0.0)}
    make_trajectories(read_dataset(sys.argv[1]), sys.argv[2], workers=1, **settings)
"""


@pytest.mark.slow
def test_a_killed_run_goes_on_where_it_was(dataset, unbroken, tmp_path):
    out = tmp_path / "out"
    rows = out / ".rows.jsonl"
    finished = kill_after_rows(write_slow_script(tmp_path / "script.py", BODY), dataset, out, rows=rows)
    assert not list(out.glob("trajectories-*"))
    with rows.open("a") as file:
        file.write('{"id":"5-polyp","status"')
    reported = []
    make_trajectories(
        read_dataset(dataset), out, workers=1, on_row=lambda row, *_: reported.append(row["id"]), **SETTINGS
    )
    assert written(out) == written(unbroken)
    assert 4 <= finished < 19
    assert finished + len(reported) in (19, 20)  # the broken case is tried again


def test_a_finished_folder_is_left_alone_and_other_settings_are_refused(dataset, unbroken):
    before = {path: path.stat().st_mtime_ns for path in unbroken.glob("*.jsonl")}
    reported = []
    again = make_trajectories(read_dataset(dataset), unbroken, on_row=lambda *row: reported.append(row), **SETTINGS)
    assert (reported, again["broken"]) == ([], 1)
    assert {path: path.stat().st_mtime_ns for path in unbroken.glob("*.jsonl")} == before
    with pytest.raises(InputError, match=r"got expert\.depth 1\.0 after 0\.85; .* choose another --out"):
        make_trajectories(read_dataset(dataset), unbroken, expert=ExpertConfig(depth=1.0), **SETTINGS)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"workers": -1}, "got -1 workers"),
        ({"segmenter": "nothing"}, "segmenter 'nothing': expected one of"),
        ({"max_steps": 0}, "max_steps=0"),
        ({"policy": "person"}, "expected one that acts alone"),
        ({"policy": "nobody"}, "policy 'nobody': expected one of"),
        ({"policy": "centre", "mistakes": MistakeRates.from_total(0.1)}, "got mistakes and a policy"),
    ],
)
def test_what_cannot_be_made_is_refused_before_anything_is_written(dataset, tmp_path, settings, said):
    with pytest.raises(InputError, match=said):
        make_trajectories(read_dataset(dataset), tmp_path / "out", **settings)
    assert not (tmp_path / "out").exists()


def test_more_initial_masks_than_runs_are_refused():
    with pytest.raises(InputError, match="sum to 1 at most"):
        InitialMaskRates(0.7, 0.7)


def test_runs_that_teach_nothing_are_dropped(unbroken):
    good = next(record for record in records(unbroken) if record.stop == "terminated" and len(record.steps) > 2)
    absent = next(record for record in records(unbroken) if record.stop == "target_absent")
    poor = replace(with_target(good, mask=good.start), stop="max_steps")
    faults = [
        find_fault(good, Filters()),
        find_fault(absent, Filters()),
        find_fault(poor, Filters(min_dice=0.9)),
        find_fault(good, Filters(max_replies=2)),
        find_fault(good, Filters(min_gain=1.0)),
        find_fault(Trajectory.from_json(absent.to_json() | {"stop": "max_steps"}), Filters()),
        find_fault(Trajectory.from_json(good.to_json() | {"stop": "segmenter_error", "error": "no memory"}), Filters()),
    ]
    assert faults[:2] == [None, None]
    assert [fault.split()[0] for fault in faults[2:]] == ["final", str(len(good.steps)), "a", "the", "ended"]
    assert faults[6] == "ended by segmenter_error: no memory"


class Stubborn(SyncPolicy):
    """Clicks on one place, says nothing that can be read, clicks there again, then stops."""

    name = "stubborn"

    def act(self, observation):
        click = "<think>Here.</think>\n<action>Positive Point (0.0100, 0.0100)</action>"
        stop = "<think>Done.</think>\n<action>Terminate</action>\n<answer>Done.</answer>"
        return Completion((click, "I wonder.", click.replace("0.0100)", "0.9900)"), stop)[observation.step], model="my")


def test_a_policy_s_own_runs_are_labelled_by_the_expert_at_every_reply(dataset, tmp_path):
    cases = read_dataset(dataset)[:6]
    settings = {"segmenter": "geodesic", "policy": Stubborn(), "workers": 1, "reword": False}
    assert make_trajectories(cases, tmp_path, **settings) == {
        **{"kept": 6, "dropped": 0, "broken": 0},
        "replies": {"my": 24},
    }
    for case, record in zip(cases, records(tmp_path), strict=True):
        assert (record.policy, record.stop, len(record.steps)) == ("stubborn", "terminated", 4)
        truth, met = case.read_truth(case.open()), decode(record.start)
        assert [step.action and step.action["type"] for step in record.steps] == ["point", None, "point", "terminate"]
        right = [parse_reply(step.completion["label"], strict=True).action for step in record.steps]
        if case.present:
            assert truth[click_to_pixel(right[0], truth.shape)]
        else:
            assert (right[0], met.any()) == (Terminate(), False)
        assert right[1:] == [Backtrack()] * 3
    assert json.loads((tmp_path / "settings.json").read_text())["policy"] == "stubborn"
    with pytest.raises(InputError, match=r"got policy 'random' after 'stubborn'; .* choose another --out"):
        make_trajectories(cases, tmp_path, **settings | {"policy": "random"})


def test_a_policy_s_runs_are_left_out_only_when_a_tool_failed_unless_asked_otherwise(dataset, unbroken, tmp_path):
    settings = {"segmenter": "disk", "policy": "oracle", "max_steps": 1, "workers": 1, "filters": Filters(min_dice=0.9)}
    made = make_trajectories(read_dataset(dataset)[:3], tmp_path, **settings)
    assert made == {"kept": 1, "dropped": 2, "broken": 0, "replies": {"oracle": 1}}
    record = records(unbroken)[0]
    for stop in ("loop", "stalled", "parse_failures", "policy_error"):
        fault = find_fault(
            Trajectory.from_json(record.to_json() | {"stop": stop, "error": None}), Filters(min_dice=None)
        )
        assert fault == ("ended by policy_error" if stop == "policy_error" else None)


PROGRAM = """
import sys
import nibabel as nib
import numpy as np
values = np.asarray(nib.load(sys.argv[1]).dataobj)
nib.save(nib.Nifti1Image((values > values.mean()).astype(np.uint8), np.eye(4)), sys.argv[2])
"""


@pytest.mark.slow
def test_runs_begin_with_a_program_s_proposal_unless_an_initial_mask_was_drawn(dataset, tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    cases = read_dataset(dataset)[:9]
    line = f"command:{sys.executable} {tmp_path / 'program.py'} {{image}} {{out}}"
    settings = {"segmenter": "disk", "initial_masks": InitialMaskRates(perturbed=0.4), "filters": Filters(None)}
    for workers in (1, 2):
        make_trajectories(cases, tmp_path / str(workers), propose=line, workers=workers, **settings)
    met = {"proposed": 0, "preceded": 0}
    for record, other in zip(records(tmp_path / "1"), records(tmp_path / "2"), strict=True):
        image = open_image(tmp_path / "1" / record.image["uri"])
        proposed = encode(image.pixels > image.pixels.mean())
        outcome = record.target.proposal["outcome"]
        met[outcome] += 1
        assert (record.start == proposed) == (outcome == "proposed")
        assert record.mask == other.mask
        assert replay(record, "disk", image).differences == ()
    assert min(met.values()) > 0
    with pytest.raises(InputError, match="after 'command:"):
        make_trajectories(cases, tmp_path / "1", propose="none", workers=1, **settings)


@pytest.mark.slow
def test_nano_s_own_runs_begin_with_its_proposals(dataset, tmp_path):
    cases = [case for case in read_dataset(dataset)[:6] if case.target == "liver"][:1]
    settings = {"segmenter": "geocut", "policy": "nano", "workers": 1, "reword": False}
    make_trajectories(cases, tmp_path / "own", **settings)
    make_trajectories(cases, tmp_path / "none", propose="none", **settings)
    assert {record.target.proposal["by"] for record in records(tmp_path / "own")} == {"nano"}
    assert [record.target.proposal for record in records(tmp_path / "none")] == [None] * len(cases)


def test_the_command_lets_a_policy_drive_and_refuses_mistakes_beside_it(dataset, tmp_path):
    options = [str(dataset), "--out", str(tmp_path), "--policy", "random", "--segmenter", "disk", "--workers", "1"]
    made = CliRunner().invoke(app, ["trajectories", "make", *options, "--limit", "3"], catch_exceptions=False)
    assert re.match(r"3 cases: 3 kept, 0 dropped, 0 broken; replies: \d+ by random$", made.stdout.splitlines()[0])
    with pytest.raises(InputError, match="got mistakes and a policy, expected one of them"):
        CliRunner().invoke(app, ["trajectories", "make", *options, "--mistake-rate", "0.2"], catch_exceptions=False)


def test_the_command_makes_what_stats_and_show_read(dataset, tmp_path):
    out, run = tmp_path / "out", CliRunner()
    options = ["--segmenter", "geodesic", "--workers", "1", "--limit", "4", "--style", "full", "--snap", "0"]
    made = run.invoke(app, ["trajectories", "make", str(dataset), "--out", str(out), *options], catch_exceptions=False)
    assert made.stdout.startswith("4 cases: 4 kept, 0 dropped, 0 broken; replies: ")
    stats = run.invoke(app, ["trajectories", "stats", str(out)], catch_exceptions=False)
    assert [line.split()[:2] for line in stats.stdout.splitlines() if "all" in line] == [["all", "4"]]
    command = ["trajectories", "show", str(out), "--out", str(tmp_path / "sheets")]
    shown = run.invoke(app, command, catch_exceptions=False)
    assert (shown.exit_code, len(list((tmp_path / "sheets").glob("*.png")))) == (0, 4)
    assert any(len(step.thought) > 80 for record in records(out) for step in record.steps)
