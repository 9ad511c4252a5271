"""From recorded runs and a person's corrected threads to starts, and from these to updates of a policy."""

import json
import re

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from safetensors.torch import load_file
from support import grpo_runs
from support.fakes import script
from support.start_files import hash_tree, write_corrected_threads
from transformers import TrainerCallback
from typer.testing import CliRunner

from ibisagent.agent import build_graph
from ibisagent.agent.policies.local import NANO
from ibisagent.agent.record_images import open_recorded_image
from ibisagent.agent.recorded_starts import replay_start
from ibisagent.tools.datasets import read_dataset
from ibisagent.tools.errors import InputError
from ibisagent.training.experts.noisy_expert import MistakeRates
from ibisagent.training.grpo.config import read_grpo_training
from ibisagent.training.grpo.run import train_grpo
from ibisagent.training.starts import read_starts, write_starts
from ibisagent.training.trajectories import make_trajectories
from ibisagent.ui.cli.app import app

SETTINGS = (*grpo_runs.SMALL, "rollouts.starts=0.6", "rollouts.max_steps=4", "train.save_steps=1")
VOLATILE = ("seconds/", "step_time", "train_", "logp_gap")


class Killed(TrainerCallback):
    """Ends a training once its first checkpoint is written."""

    def on_save(self, args, state, control, **more):
        raise KeyboardInterrupt


def log_of(out):
    rows = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if not name.startswith(VOLATILE)} for row in rows]


@pytest.mark.slow
def test_starts_of_a_hundred_runs_and_of_corrected_threads_are_the_recorded_states_and_train(tmp_path):
    data = grpo_runs.write_tasks(tmp_path / "set", count=24)
    cases = read_dataset(data)
    runs, threads = tmp_path / "runs", tmp_path / "threads"
    made = make_trajectories(cases[:130], runs, mistakes=MistakeRates.from_total(0.6), workers=1)
    assert made["kept"] >= 100
    threads.mkdir()
    write_corrected_threads(threads / "runs.db", [case for case in cases if case.present][:6])

    before = hash_tree(runs, threads, data)
    file = tmp_path / "starts.jsonl"
    command = ["starts", "mine", str(runs), str(threads / "runs.db"), "--out", str(file), "--root", str(data)]
    said = CliRunner().invoke(app, command)
    assert said.exit_code == 0, said.output
    assert hash_tree(runs, threads, data) == before, "what is mined is not changed"
    counts = {why: int(count) for count, why in re.findall(r"(\d+) (lost|undone|corrected)", said.stdout)}
    assert min(counts["lost"], counts["undone"]) >= 20
    assert counts["corrected"] == 5, "the sixth thread was not accepted"
    assert "1 without a truth" in said.stdout

    starts = read_starts(file)
    graph = build_graph(script(), "geocut", proposer="none", checkpointer=InMemorySaver())
    for number, start in enumerate(starts):
        image = open_recorded_image(start.record.image, tmp_path, [data])
        state = replay_start(graph, start.record, image, {"configurable": {"thread_id": str(number)}})
        masks = [graph.components.store.get_mask(step["mask"]) for step in state["steps"]]
        assert masks == [step.mask for step in start.record.steps]
        assert state["target_states"][0]["prompts"] == list(start.record.target.prompts)

    config = read_grpo_training("nano-grpo", [*SETTINGS, "rollouts.workers=1"])
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    folder = train_grpo(config, [data], whole, starts=file)
    log = log_of(whole)
    assert sum(row["recorded_starts"] for row in log[:2]) > 0
    assert all(row["dropped"] == 0 and row["rows"] >= 6 for row in log[:2])
    gaps = [json.loads(line)["logp_gap_max"] for line in (whole / "log.jsonl").read_text().splitlines()[:2]]
    assert max(gaps) < 1e-4
    before, after = (load_file(each / "model.safetensors") for each in (NANO, folder))
    assert any(not value.equal(before[name]) for name, value in after.items())

    other = read_grpo_training("nano-grpo", [*SETTINGS, "rollouts.workers=8"])
    with pytest.raises(KeyboardInterrupt):
        train_grpo(other, [data], killed, starts=file, callbacks=[Killed()])
    train_grpo(other, [data], killed, starts=file)
    assert log_of(killed)[:2] == log[:2], "neither a resume nor the workers change an update"
    assert (killed / "model" / "model.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()

    for starts_then, changes, said in (
        (None, (), "starts None after"),
        (starts, ("rollouts.starts=0.5",), "starts_share 0.5 after 0.6"),
        (starts[1:], (), "other starts than before"),
    ):
        if starts_then is not None:
            write_starts(file, starts_then)
        changed = read_grpo_training("nano-grpo", [*SETTINGS, *changes])
        with pytest.raises(InputError, match=said):
            train_grpo(changed, [data], whole, starts=file if starts_then is not None else None)
