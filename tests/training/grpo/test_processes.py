"""Two processes of one training (gloo, on the CPU): the same rows, rewards and weights as in one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file
from support import grpo_runs

from ibisagent.agent.policies.local import NANO
from ibisagent.tools.errors import InputError
from ibisagent.training.grpo import trainer_factory
from ibisagent.training.grpo.config import read_grpo_training
from ibisagent.training.grpo.log_prob_gate import LogProbGap
from ibisagent.training.grpo.run import train_grpo
from ibisagent.training.grpo.trainer_factory import build_grpo_config

SETTINGS = (
    *("rollouts.group_size=3", "rollouts.chunks=2", "rollouts.max_steps=2", "train.max_steps=2", "train.save_steps=2"),
    *("validation.every=1", "validation.cases=4", "validation.pictures=2"),
)
# What one process takes for a chunk is another's part: means over chunks of means differ, and seconds.
OWN = ("seconds/", "step_time", "train_", "logp_gap", "entropy")
ROUNDED = ("loss", "grad_norm")
FAILING = "support.grpo_runs:FailingGeocut"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return grpo_runs.write_tasks(tmp_path_factory.mktemp("tasks") / "set")


def log_of(out):
    rows = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if not name.startswith(OWN)} for row in rows]


def train_in_two_processes(data, out, settings):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command += ["-m", "ibisagent.ui", "train", "grpo", "--config", "nano-grpo", "--data", str(data), "--out", str(out)]
    command += [part for change in settings for part in ("--set", change)]
    tests = str(Path(__file__).parents[2])
    paths = os.pathsep.join([tests, *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": paths}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)


@pytest.mark.slow
@pytest.mark.parametrize(
    "own",
    [
        ("rollouts.tasks=4",),
        ("rollouts.tasks=2", "rollouts.chunks=3", "rollouts.segmenter='support.grpo_runs:FailingGeocut'"),
    ],
    ids=["whole", "a-process-without-rows"],
)
def test_two_processes_train_as_one(data, tmp_path, own):
    """In the second case pictures fail the segmenter, and with them all episodes of the one task of a process."""
    settings, one, two = (*SETTINGS, *own), tmp_path / "one", tmp_path / "two"
    train_grpo(read_grpo_training("nano-grpo", settings), [data], one)
    done = train_in_two_processes(data, two, settings)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("wrote ") == 1
    logs = log_of(one), log_of(two)
    if len(own) > 1:
        assert 5 in [row.get("dropped") for row in logs[0]], "of six: at least one process has none"
    for row, other in zip(*logs, strict=True):
        assert row.keys() == other.keys()
        for name in row:
            assert other[name] == (pytest.approx(row[name], abs=1e-6) if name in ROUNDED else row[name]), name
    assert (one / "validation.json").read_bytes() == (two / "validation.json").read_bytes()
    last = "checkpoints/checkpoint-2/model.safetensors"
    weights, other, start = load_file(one / last), load_file(two / last), load_file(NANO / "model.safetensors")
    moved = max((weights[name] - start[name].float()).abs().max().item() for name in weights)
    assert moved > 1e-5
    assert max((weights[name] - other[name]).abs().max().item() for name in weights) < 0.05 * moved


def test_tasks_are_shared_by_all_processes(tmp_path, monkeypatch):
    config = read_grpo_training("nano-grpo", ["rollouts.tasks=6", "rollouts.group_size=4", "rollouts.chunks=4"])
    assert build_grpo_config(config, tmp_path, 40).per_device_train_batch_size == 6
    monkeypatch.setattr(trainer_factory, "count_processes", lambda: 2)
    assert build_grpo_config(config, tmp_path, 40).per_device_train_batch_size == 3
    for processes in (4, 5):
        monkeypatch.setattr(trainer_factory, "count_processes", lambda processes=processes: processes)
        with pytest.raises(InputError, match=f"got 6 tasks in 4 chunks for {processes} processes, expected as many"):
            build_grpo_config(config, tmp_path, 40)


def test_a_gap_of_any_process_stops_all():
    own = LogProbGap(0.1, 0.05, 3)
    assert own.across([own, LogProbGap(0.4, 0.01, 1)]) == LogProbGap(0.4, 0.05, 3)
    assert str(own.across([LogProbGap(float("nan"), 0.0, 0), own]).max) == "nan"
