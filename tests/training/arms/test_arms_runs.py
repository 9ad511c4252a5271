"""The command on tiny trainings: what is made is not made again, and the report needs no whole folder."""

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file

from ibisagent.agent.policies.local import NANO
from ibisagent.training.arms.__main__ import main
from ibisagent.training.arms.experiment import read_experiment
from ibisagent.training.arms.measuring import read_rows
from ibisagent.training.arms.stages import make_stage, stage_folder

TINY = """
max_steps = 1

[phantoms.few]
count = 5
seed = 5
size = 64
request_kinds = ["present", "absent"]
single_row = true

[sets]
tasks = ["few"]
validate = ["few"]
choose = ["few"]

[stages.rl]
kind = "grpo"
base = "nano"
config = "nano-grpo"
data = ["tasks"]
set = [
  "rollouts.tasks=2", "rollouts.group_size=2", "rollouts.chunks=2", "rollouts.max_steps=1", "rollouts.absent=-1",
  "train.max_steps=1", "validation.every=1", "validation.cases=3", "train.save_steps=1",
]
"""
ARMS = """
[tables.arms]
stages = ["nano", "rl", "rl@last"]
samples = 0
"""
MORE = """
[trajectories.shown]
data = "few"
segmenter = "disk"
max_steps = 1

[stages.drawn-anew]
kind = "reset"
base = "nano"
reset = ["pointer_head"]

[stages.taught]
kind = "sft"
base = "drawn-anew"
config = "nano"
data = ["shown"]
set = ["threads=1", "freeze_vision=true", "train.dataloader_num_workers=0", "train.max_steps=1", "train.warmup_steps=0"]

[stages.imitated]
kind = "imitation"
base = "nano"
config = "nano"
data = ["tasks"]
rounds = 2
tasks = 3
rollouts = ["rollouts.group_size=4", "rollouts.max_steps=2", "rollouts.absent=-1"]
set = ["threads=1", "train.dataloader_num_workers=0", "train.max_steps=1", "train.warmup_steps=0", "loss.mask=0.0"]
"""


@pytest.fixture
def experiment(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(TINY + ARMS)
    return path


def test_a_report_is_made_of_what_is_measured_and_a_killed_measurement_goes_on(
    experiment: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, options = tmp_path / "out", ["--experiment", str(experiment)]
    assert main(["report", str(out), *options]) == 0
    assert capsys.readouterr().out.count("not measured yet") == 3
    assert main(["run", str(out), *options, "--stage", "nano"]) == 0
    said = capsys.readouterr().out
    assert said.count("not measured yet") == 2
    assert (out / "arms-choose.md").read_text() in said
    assert not (out / "stages").exists()
    (measured,) = (out / "cells").rglob("*.csv")
    rows, written = read_rows(measured), measured.stat().st_mtime_ns
    assert len(rows) >= 4
    assert main(["run", str(out), *options, "--stage", "nano"]) == 0
    assert measured.stat().st_mtime_ns == written
    lines = measured.read_text().splitlines(keepends=True)
    marked = lines[1].replace(rows[0]["stop"], "killed-here")
    measured.with_suffix(".partial").write_text("".join([lines[0], marked, *lines[2:-1]]))
    measured.unlink()
    capsys.readouterr()
    assert main(["run", str(out), *options, "--stage", "nano"]) == 0
    resumed = read_rows(measured)
    assert resumed == [rows[0] | {"stop": "killed-here"}, *rows[1:]], "the rows so far are kept, the others equal"
    assert capsys.readouterr().out == said


@pytest.mark.slow
def test_the_command_trains_and_measures_what_is_missing_and_nothing_twice(
    experiment: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, options = tmp_path / "out", ["--experiment", str(experiment)]
    assert main(["run", str(out), *options]) == 0
    said = capsys.readouterr().out
    assert "not measured yet" not in said
    (training,) = (out / "stages").iterdir()
    assert json.loads((training / "training.json").read_text())["log"][0]["step"] == 1
    files = sorted((out / "cells").rglob("*.csv"))
    assert len(files) == 3
    assert (out / "arms-curves.png").read_bytes()[:4] == b"\x89PNG"
    written = {path: path.stat().st_mtime_ns for path in [*files, training / "model" / "model.safetensors"]}
    assert main(["run", str(out), *options]) == 0
    assert capsys.readouterr().out == said
    assert {path: path.stat().st_mtime_ns for path in written} == written


def test_an_unknown_table_and_set_are_refused_in_a_line(
    experiment: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for option, value in (("--table", "arm"), ("--set", "chose")):
        assert main(["report", str(tmp_path / "out"), "--experiment", str(experiment), option, value]) == 1
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        assert f"{option}: {value}: got an unknown name" in said


@pytest.mark.slow
def test_sft_after_new_weights_and_imitation_move_what_they_may(experiment: Path, tmp_path: Path) -> None:
    experiment.write_text(TINY + MORE)
    tiny, out = read_experiment(experiment), tmp_path / "out"
    before = load_file(NANO / "model.safetensors")
    drawn = load_file(make_stage(tiny, "drawn-anew", 0, out) / "model.safetensors")
    changed = {name for name, value in drawn.items() if not value.equal(before[name])}
    assert changed
    assert all(name.startswith("pointer_head.") for name in changed)
    taught = load_file(make_stage(tiny, "taught", 0, out) / "model.safetensors")
    moved = {name.partition(".")[0] for name, value in taught.items() if not value.equal(drawn[name])}
    assert "pointer_head" in moved
    assert "visual" not in moved

    folder = stage_folder(tiny, "imitated", 0, out)
    imitated = make_stage(tiny, "imitated", 0, out)
    rolled = [json.loads((folder / f"round-{number}" / "rollouts.json").read_text()) for number in (0, 1)]
    assert all(each["tasks"] == 3 and 1 <= each["kept"] <= 3 for each in rolled)
    assert not load_file(imitated / "model.safetensors")["embed_tokens.weight"].equal(before["embed_tokens.weight"])
    spent = json.loads((folder / "cpu.json").read_text())
    assert spent["2"] > sum(each["cpu_seconds"] for each in rolled)
    times = {path: path.stat().st_mtime_ns for path in folder.rglob("*.safetensors")}
    make_stage(tiny, "imitated", 0, out)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.safetensors")} == times
