"""Two processes of one training (gloo, on the CPU): the same rows, rewards and weights as in one."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
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


@pytest.fixture(scope="module")
def one_of_two_fails(data):
    """Leave two requests: one on a picture that fails `FailingGeocut`, one on a picture that does not."""
    folder, first = data.parent / "two", {}
    shutil.copytree(data, folder)
    with open(data / "manifest.csv", newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        for row in rows:
            first.setdefault(int(np.asarray(Image.open(data / row["image"])).sum(dtype=int)) % 2, row)
    with open(folder / "manifest.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows.fieldnames)
        writer.writeheader()
        writer.writerows(first[odd] for odd in (0, 1))
    return folder


def train_in_two_processes(data, validation, out, settings):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command += ["-m", "ibisagent.ui", "train", "grpo", "--config", "nano-grpo", "--data", str(data), "--out", str(out)]
    command += [part for folder in validation for part in ("--validation", str(folder))]
    command += [part for change in settings for part in ("--set", change)]
    tests = str(Path(__file__).parents[2])
    paths = os.pathsep.join([tests, *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": paths}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)


def check_two_processes(data, validation, folder, settings):
    """Train in one process and in two; return the log after finding them equal."""
    one, two = folder / "one", folder / "two"
    train_grpo(read_grpo_training("nano-grpo", settings), [data], one, validation=validation)
    done = train_in_two_processes(data, validation, two, settings)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("wrote ") == 1
    logs = log_of(one), log_of(two)
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
    return logs[0]


@pytest.mark.slow
def test_two_processes_train_as_one(data, tmp_path):
    check_two_processes(data, [], tmp_path, (*SETTINGS, "rollouts.tasks=4"))


@pytest.mark.slow
def test_a_process_without_rows_trains_with_the_other(data, one_of_two_fails, tmp_path):
    """All episodes of one task fail that do not refuse at once, and with them, in one of the updates, a process."""
    failing = ("rollouts.tasks=2", "rollouts.chunks=3", "rollouts.absent=0", f"rollouts.segmenter='{FAILING}'")
    log = check_two_processes(one_of_two_fails, [data], tmp_path, (*SETTINGS, *failing))
    assert 3 in [row.get("dropped") for row in log], "three of the failing picture: all of one process"


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
