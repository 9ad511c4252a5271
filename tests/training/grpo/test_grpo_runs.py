"""GRPO from a file to a model folder: what is written, resumed and refused."""

import csv
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from safetensors.torch import load_file
from support import grpo_runs
from typer.testing import CliRunner

from ibisagent.agent import LoopConfig, build_graph, get_policy
from ibisagent.agent.policies.local import NANO
from ibisagent.evals.rewards import REWARD_PRESETS
from ibisagent.tools.errors import InputError
from ibisagent.training.config_files import list_shipped_configs
from ibisagent.training.grpo.config import read_grpo_training
from ibisagent.training.grpo.run import train_grpo
from ibisagent.training.grpo.validation import best_update
from ibisagent.training.run_folder import last_checkpoint
from ibisagent.ui.cli.app import app

SETTINGS = (
    *(*grpo_runs.SMALL, "rollouts.max_steps=2", "train.max_steps=3", "train.save_steps=1"),
    *("validation.every=2", "validation.cases=6", "validation.pictures=2"),
)
VOLATILE = ("seconds/", "step_time", "train_", "logp_gap")  # a sampled log-probability is rounded as its batch falls


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return grpo_runs.write_tasks(tmp_path_factory.mktemp("tasks") / "set")


def log_of(out):
    rows = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if not name.startswith(VOLATILE)} for row in rows]


def weights(out):
    """The final ones, and the best by validation."""
    last = out / "checkpoints" / "checkpoint-3" / "model.safetensors"
    return last.read_bytes(), (out / "model" / "model.safetensors").read_bytes()


@pytest.mark.slow
def test_training_moves_the_weights_and_a_killed_run_resumes_to_the_same_ones(data, tmp_path):
    config = read_grpo_training("nano-grpo", SETTINGS)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    folder = train_grpo(config, [data], whole)
    before = load_file(NANO / "model.safetensors")
    after = load_file(whole / "checkpoints" / "checkpoint-3" / "model.safetensors")
    moved = {name for name, value in after.items() if not value.equal(before[name].float())}
    assert moved
    assert not [name for name in moved if name.startswith("visual.")]
    assert (folder / "known_targets.toml").read_bytes() == (NANO / "known_targets.toml").read_bytes()
    log = log_of(whole)
    assert [row["step"] for row in log] == [1, 2, 3, 3]
    assert all(row["dropped"] == 0 and row["rows"] >= 6 for row in log[:3])
    with (whole / "log.csv").open() as file:
        table = list(csv.DictReader(file))
    assert all(float(row["logp_gap_max"]) < 1e-4 for row in table[:3])
    assert [row["step"] for row in table] == ["1", "2", "3", "3"]
    assert float(table[0]["reward/answer"]) == log[0]["reward/answer"]

    validated = json.loads((whole / "validation.json").read_text())
    assert list(validated) == ["0", "2", "3"]
    assert [name for row in log for name in row if name == "validation/iou"] == ["validation/iou"] * 2
    finished = json.loads((whole / "training.json").read_text())
    assert finished["best_update"] == best_update({int(update): rows for update, rows in validated.items()})

    command = [sys.executable, "-m", "ibisagent.ui", "train", "grpo", "--config", "nano-grpo", "--data", str(data)]
    command += ["--out", str(killed), *(part for change in SETTINGS for part in ("--set", change))]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while last_checkpoint(killed / "checkpoints") is None and time.monotonic() < deadline:
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (killed / "training.json").is_file(), "it was too late to kill it"
    assert train_grpo(config, [data], killed) == killed / "model"
    assert log_of(killed)[:3] == log[:3]
    assert weights(killed) == weights(whole)
    written = (killed / "model" / "model.safetensors").stat().st_mtime_ns
    train_grpo(config, [data], killed)
    assert (killed / "model" / "model.safetensors").stat().st_mtime_ns == written, "a finished run is left alone"
    with pytest.raises(InputError, match=r"got config.train.learning_rate .* after .*; use what it began with"):
        train_grpo(read_grpo_training("nano-grpo", [*SETTINGS, "train.learning_rate=1e-3"]), [data], killed)

    graph = build_graph(get_policy(f"hf:{folder}"), "disk", LoopConfig(max_steps=2))
    assert graph.invoke({"image": next((data / "images").iterdir()), "request": "Segment the liver."})["stop"]


def test_the_shipped_file_and_its_settings(tmp_path):
    assert "nano-grpo" in list_shipped_configs("grpo")
    config = read_grpo_training("nano-grpo")
    assert (config.base, config.estimator, config.reward) == ("nano", "dr_grpo", REWARD_PRESETS["default"])
    changes = ["reward.preset='paper'", "reward.fold='sum'", "reward.weights.steps=-0.1"]
    changed = read_grpo_training("nano-grpo", changes)
    paper = REWARD_PRESETS["paper"]
    assert (changed.reward.answer, changed.reward.fold) == (paper.answer, "sum")
    assert (changed.reward.weights.steps, changed.reward.weights.answer) == (-0.1, paper.weights.answer)
    assert json.loads(json.dumps(changed.to_json()))["reward"]["fold"] == "sum"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("estimator='ppo'", r"nano-grpo\.toml: got estimator='ppo', expected one of dr_grpo, paper; choose one"),
        ("credit='step'", r"got credit='step', expected one of path, turn"),
        ("reward.preset='iou'", r"got reward\.preset='iou', expected one of default, paper"),
        ("reward.fold='max'", r"got fold='max', expected one of mean, sum, off"),
        ("reward.weights=3", r"got reward\.weights=3, expected a table"),
        ("reward.weights.dice=3", r"\[reward\.weights\]: dice: got an unknown name"),
        ("rollouts.group_size=1", r"\[rollouts\]: .*group_size is 1, expected 2 or more"),
        ("rollouts.chunks=7", r"64 rollouts cannot be split into 7 chunks"),
        ("rollouts.temperature=0", r"expected a temperature above 0"),
        ("rollouts.tasks=0", r"tasks is 0, expected a whole number from 1 up"),
        ("rollout.tasks=1", r"rollout: got an unknown name"),
    ],
)
def test_settings_that_cannot_be_are_refused_in_a_line(change, said):
    with pytest.raises(InputError, match=said) as caught:
        read_grpo_training("nano-grpo", [change])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("train.use_vllm=true", "[train]: got 'use_vllm', expected settings without it"),
        (
            "train.num_generations=4",
            "got 'num_generations', expected settings without it; leave it out, see [rollouts]",
        ),
        ("train.learning_rat=1", "learning_rat: got an unknown name"),
        ("rollouts.tasks=4000", "expected 4000 or more, those of an update; add some, or lower rollouts.tasks"),
        ("freeze=['tower']", "freeze: got 'tower', expected the name of a module, such as embed_tokens, visual"),
    ],
)
def test_the_command_refuses_what_cannot_be_trained_in_a_line(data, tmp_path, change, said):
    command = ["train", "grpo", "--config", "nano-grpo", "--data", str(data), "--out", str(tmp_path / "out")]
    command += ["--validation", str(data)]
    error = CliRunner().invoke(app, [*command, "--set", change]).exception
    assert isinstance(error, InputError)
    assert said in str(error)
    assert "\n" not in str(error)
