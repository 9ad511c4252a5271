"""A user's data sets in an experiment, and trajectories by its own models: keys, one line errors, resumed calls."""

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ibisagent.tools.datasets import read_dataset, write_manifest
from ibisagent.tools.errors import InputError
from ibisagent.training.arms.__main__ import main
from ibisagent.training.arms.data import find_cases, find_trajectories
from ibisagent.training.arms.experiment import Experiment, read_experiment, shipped_experiment
from ibisagent.training.arms.measuring import read_rows
from ibisagent.training.arms.stages import make_stage
from ibisagent.training.phantoms import KINDS
from ibisagent.training.phantoms.folder import write_phantoms
from ibisagent.training.phantoms.spec import PhantomDatasetSpec

RECIPE = """
max_steps = 2

[folders.own]
split = "train"

[folders.own-val]
split = "val"
limit = 4

[phantoms.few]
count = 3
seed = 5
size = 64
request_kinds = ["present"]
single_row = true

[trajectories.looks]
data = "own"
segmenter = "disk"
max_steps = 1

[trajectories.states]
data = "few"
propose = "nano"
stop_iou = 0.99

[trajectories.rounds]
data = "own"
policy = "first"
limit = 3

[sets]
validate = ["few"]
choose = ["own-val"]

[stages.first]
kind = "sft"
base = "nano"
config = "nano"
data = ["looks", "states"]
set = ["threads=1", "freeze_vision=true", "train.dataloader_num_workers=0", "train.max_steps=1", "train.warmup_steps=0"]

[stages.second]
like = "first"
base = "first"
data = ["rounds"]

[tables.recipe]
stages = ["nano", "second"]
measure = ["both", "clicks", "proposal"]
samples = 0
"""


def write_folder(folder: Path) -> Path:
    """A native data set of phantoms of two sources, the second picture of each two for validation; one unknown name."""
    spec = PhantomDatasetSpec(8, seed=70, size=64, request_kinds=("present", "absent"), single_row=True)
    write_phantoms(spec, folder, workers=0)
    cases = [
        replace(case, source=f"site {number % 3}", split=("train", "val")[number % 2])
        for number, case in enumerate(read_dataset(folder))
    ]
    cases[1] = replace(cases[1], target="left thalamus", request="Segment the left thalamus.")
    write_manifest(folder, cases)
    return folder


def write_recipe(folder: Path, *changes: tuple[str, str]) -> Path:
    text = RECIPE
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = folder / "recipe.toml"
    path.write_text(text)
    return path


def open_recipe(folder: Path, own: Path, *changes: tuple[str, str]) -> Experiment:
    return read_experiment(write_recipe(folder, *changes), {"own": own, "own-val": own})


def shown_records(folder: Path) -> list[dict[str, Any]]:
    """The records of trajectories without the seconds, which no two runs share."""
    records = [json.loads(line) for path in sorted(folder.glob("*.jsonl")) for line in path.read_text().splitlines()]
    for record in records:
        record.pop("seconds")
        for step in record["steps"]:
            step.pop("seconds")
            step["completion"].pop("seconds", None)
        for target in record["targets"]:
            (target["proposal"] or {}).pop("seconds", None)
    return records


def test_keys_change_with_what_a_folder_holds_and_not_with_where_it_lies(tmp_path: Path) -> None:
    own = write_folder(tmp_path / "own")
    experiment = open_recipe(tmp_path, own)
    keys = {name: experiment.stage_key(name, 0) for name in ("first", "second")}
    moved = shutil.copytree(own, tmp_path / "elsewhere" / "moved")
    there = open_recipe(tmp_path, moved)
    assert {name: there.stage_key(name, 0) for name in keys} == keys
    assert there.trajectories_key("rounds", 0) == experiment.trajectories_key("rounds", 0)
    narrower = open_recipe(tmp_path, own, ('split = "train"', 'split = "train"\nwithout = ["site 0"]'))
    assert {case.source for case in narrower.read_folder("own")} == {"site 1", "site 2"}
    cases = read_dataset(moved)
    write_manifest(moved, [replace(cases[0], request="Where is it?"), *cases[1:]])
    for changed in (narrower, open_recipe(tmp_path, moved)):
        assert all(changed.stage_key(name, 0) != key for name, key in keys.items())
    other_policy = open_recipe(tmp_path, own, ('policy = "first"', 'policy = "nano"'))
    assert other_policy.stage_key("first", 0) == keys["first"]
    assert other_policy.stage_key("second", 0) != keys["second"]
    assert experiment.trajectories_key("rounds", 1) != experiment.trajectories_key("rounds", 0), "its policy has seeds"
    assert experiment.trajectories_key("looks", 1) == experiment.trajectories_key("looks", 0)


def test_a_part_of_a_folder_is_a_set_and_its_ids_are_unique(tmp_path: Path) -> None:
    own, out = write_folder(tmp_path / "own"), tmp_path / "out"
    experiment = open_recipe(tmp_path, own)
    cases = find_cases(experiment, "choose", out)
    assert [case.split for case in cases] == ["val"] * 4
    assert all(case.image.is_relative_to(out) and case.open().shape == (64, 64) for case in cases)
    moved = own.rename(tmp_path / "moved")
    again = find_cases(open_recipe(tmp_path, moved), "choose", out)
    assert again == cases, "the same paths, that lead elsewhere"
    assert again[0].open().shape == (64, 64)
    twice = open_recipe(tmp_path, moved, ('choose = ["own-val"]', 'choose = ["own-val", "own-val"]'))
    with pytest.raises(InputError, match=r"\[sets\.choose\]: got id .* twice"):
        find_cases(twice, "choose", out)


def test_a_folder_that_was_not_given_is_named_in_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own, out = write_folder(tmp_path / "own"), tmp_path / "out"
    arguments = ["run", str(out), "--experiment", str(write_recipe(tmp_path))]
    for given, said in (
        ([], "[folders.own]: got no path, expected --folder own=PATH; add it"),
        ([f"own={own}"], "[folders.own-val]: got no path, expected --folder own-val=PATH; add it"),
        ([f"owm={own}"], "--folder owm: got an unknown name, expected one of own, own-val"),
        ([str(own)], "expected NAME=PATH"),
        ([f"own={own / 'none'}"], "[folders.own]: "),
    ):
        options = [option for folder in given for option in ("--folder", folder)]
        assert main([*arguments, *options]) == 1
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert said in error
    assert not (out / "stages").exists()
    assert not (out / "cells").exists()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('policy = "first"', 'policy = "first"\nmistakes = 0.2', "a policy errs by itself"),
        ('policy = "first"', 'policy = "second"', r"stages\.second\.data, rounds: a stage before.*second"),
        ('propose = "nano"', 'propose = "nanno"', r"trajectories\.states.*nanno"),
        ('data = "own"', 'data = "theirs"', r"trajectories\.looks\.data.*theirs"),
        ('"proposal"]', '"drawing"]', "measure is 'drawing', expected some of clicks, both, proposal"),
        ("[folders.own]", "[folders.few]", r"folders\.few.*got the name of phantoms"),
        ("stop_iou = 0.99", "stop_iou = 9", "stop_iou=9: expected a number from 0 to 1"),
        ("samples = 0", 'samples = 0\nsets = ["chose"]', r"tables\.recipe\.sets.*chose"),
    ],
)
def test_what_does_not_fit_together_is_named_before_anything_is_made(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        read_experiment(write_recipe(tmp_path, (old, new)))


def test_the_draft_measures_on_pictures_that_nothing_learns_from_and_rehearses_phantoms() -> None:
    real = read_experiment(shipped_experiment("real"))
    taught = {settings.data for settings in real.trajectories.values()} | set(real.sets["tasks"])
    spans = {name: range(spec.seed, spec.seed + spec.count) for name, spec in real.phantoms.items()}
    for name, span in spans.items():
        assert span.stop <= 9_000_000 if name in taught else 9_000_000 <= span.start < span.stop <= 10_000_000, name
        assert not any(set(span) & set(other) for same, other in spans.items() if same != name)
    kinds = {name: set(real.phantoms[name].modalities) for name in taught - real.folders.keys()}
    assert kinds.pop("looks") | kinds.pop("looks-newer") == set(KINDS)
    assert all(some == set(KINDS) for some in kinds.values())
    for name in ("states", "begun", "rounds"):
        phantoms, pictures = (real.trajectories[each] for each in (name, f"{name}-real"))
        assert (phantoms.limit or real.phantoms[phantoms.data].count) >= pictures.limit > 0
        assert replace(phantoms, data="real", limit=pictures.limit, seed=pictures.seed) == pictures


@pytest.mark.slow
def test_policies_and_proposals_of_stages_make_data_and_a_moved_folder_is_the_same(tmp_path: Path) -> None:
    own, out = write_folder(tmp_path / "own"), tmp_path / "out"
    experiment = open_recipe(tmp_path, own)
    model = make_stage(experiment, "second", 0, out, workers=2)
    data = {
        path.name.rpartition("-")[0]: path for path in (out / "data").iterdir() if (path / "summary.json").is_file()
    }
    states, rounds = shown_records(data["states"]), shown_records(data["rounds"])
    proposed = [target["proposal"] for record in states for target in record["targets"]]
    assert {each["by"] for each in proposed} == {"nano"}
    assert any(each["outcome"] == "proposed" for each in proposed)
    assert {step["actor"] for record in states for step in record["steps"]} <= {"policy"}
    assert all(record["policy"] == "expert" for record in states)
    first = out / "stages" / experiment.stage_key("first", 0) / "model"
    assert {record["policy"] for record in rounds} == {f"hf:{first}"}
    assert {target["proposal"]["by"] for record in rounds for target in record["targets"]} == {f"hf:{first}"}
    assert all(step["completion"]["label"] for record in rounds for step in record["steps"])
    assert str(tmp_path / "own") not in json.dumps([*rounds, *shown_records(data["looks"])])

    alone = find_trajectories(experiment, "states", tmp_path / "alone", "states", {"nano": "nano"})
    assert shown_records(alone) == states, "however many processes"
    moved = own.rename(tmp_path / "moved")
    times = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    assert make_stage(open_recipe(tmp_path, moved), "second", 0, out) == model
    assert {path: path.stat().st_mtime_ns for path in times} == times
    for stage in ("first", "second"):
        shutil.rmtree(out / "stages" / experiment.stage_key(stage, 0))
    make_stage(open_recipe(tmp_path, moved), "second", 0, out)  # trains on the trajectories that are there


@pytest.mark.slow
def test_what_a_model_declines_is_told_from_what_it_does_not_see(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own, out = write_folder(tmp_path / "own"), tmp_path / "out"
    given = [option for name in ("own", "own-val") for option in ("--folder", f"{name}={own}")]
    arguments = [str(out), "--experiment", str(write_recipe(tmp_path)), *given]
    assert main(["run", *arguments, "--stage", "nano"]) == 0
    said = capsys.readouterr().out
    assert said.count("not measured yet") == 3
    assert "| declined: absent | present | empty: absent | present |" in said
    rows = {path.name.split("-")[1]: read_rows(path) for path in (out / "cells").rglob("*.csv")}
    declined = {kind: [row["case"] for row in some if row["declined"]] for kind, some in rows.items()}
    (unknown,) = [case.id for case in read_dataset(own) if case.target == "left thalamus"]
    assert declined == {"greedy": [], "both": [unknown], "proposal": [unknown]}
    by_kind = {kind: {row["case"]: row for row in some} for kind, some in rows.items()}
    assert by_kind["both"][unknown]["stop"] == "declined"
    assert by_kind["proposal"][unknown]["refused"] is None
    for case, row in by_kind["proposal"].items():
        both = by_kind["both"][case]
        assert row["stop"] == ("nothing" if row["empty"] else "proposed")
        if not row["empty"]:
            assert both["iou"] == row["iou"], "the product is content with what it drew"
    sources = (out / "recipe-choose-sources.md").read_text()
    assert sources.count("| nano | source | site 0 |") == 3
    assert "| nano | modality | " in sources
    assert re.search(r"\| nano \| source \| site 1 \| 2 \| \.\d{3} \(\.\d{3} to \.\d{3}\) \|", sources), sources
    assert main(["report", *arguments]) == 0
    assert capsys.readouterr().out == said


@pytest.mark.slow
def test_a_killed_command_goes_on_with_the_trajectories_it_has(tmp_path: Path) -> None:
    own, out, whole = write_folder(tmp_path / "own"), tmp_path / "out", tmp_path / "whole"
    path = write_recipe(tmp_path, ("count = 3", "count = 60"))
    given = [option for name in ("own", "own-val") for option in ("--folder", f"{name}={own}")]
    line = [sys.executable, "-m", "ibisagent.training.arms", "run", str(out), "--experiment", str(path), *given]
    with (tmp_path / "log").open("wb") as log:
        running = subprocess.Popen([*line, "--stage", "second", "--train-only"], stdout=log, stderr=log)
        try:
            until = time.monotonic() + 300
            while not (rows := list((out / "data").glob("states-*/.rows.jsonl"))) or not rows[0].read_bytes():
                assert running.poll() is None, (tmp_path / "log").read_text()
                assert time.monotonic() < until
                time.sleep(0.05)
        finally:
            running.send_signal(signal.SIGKILL)
            running.wait()
    (folder,) = {path.parent for path in rows}
    assert not (folder / "summary.json").exists()
    experiment = read_experiment(path, {"own": own, "own-val": own})
    assert (make_stage(experiment, "first", 0, out) / "model.safetensors").is_file()
    again = find_trajectories(experiment, "states", whole, "states", {"nano": "nano"})
    assert shown_records(folder) == shown_records(again)
    assert len(shown_records(folder)) > 40
