"""Preferences between replies to one state: what is compared, that it is seen, and that it is learned."""

import csv
import json
import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from support import corrected_runs, scripted_local, tiny_vlm
from support.fakes import STOP, negative, positive
from typer.testing import CliRunner

from ibisagent.agent import PolicyOptions, get_policy
from ibisagent.agent.policies.local import NANO, PROFILE
from ibisagent.agent.prompting import load_prompts
from ibisagent.tools.errors import InputError
from ibisagent.training.config_files import list_shipped_configs
from ibisagent.training.dpo.config import read_dpo_training
from ibisagent.training.dpo.run import train_dpo
from ibisagent.training.dpo.trainer_factory import build_dpo_config, build_dpo_trainer
from ibisagent.training.model_folder import find_prompt_file, open_trainable
from ibisagent.training.run_folder import last_checkpoint
from ibisagent.training.samples import Samples, find_shards
from ibisagent.training.tokenized_samples import tokenize_sample
from ibisagent.ui.cli.app import app

WRONG, OTHER = positive(0.205, 0.205), negative(0.405, 0.805)
CORRECTIONS = (
    ([WRONG, STOP], ["Backtrack", "Positive Point (0.615, 0.515)", "Terminate"]),
    ([OTHER, STOP], ["Backtrack", "Positive Point (0.335, 0.715)", "Terminate"]),
)
SMALL = ("train.per_device_train_batch_size=2", "train.max_steps=3", "train.save_steps=1")
LORA = "lora={r=4, lora_alpha=8, target_modules='.*(q_proj|v_proj)'}"


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """A folder of two corrected runs, two pictures, with three pairs each."""
    folder = tmp_path_factory.mktemp("pairs")
    records = []
    for number, (replies, said) in enumerate(CORRECTIONS):
        own = folder / f"run{number}"
        own.mkdir()
        scripted_local.draw_images(own, *["other.png"] * number, "scan.png")
        record = corrected_runs.correct(own, replies, said)
        labeled = corrected_runs.label(record, own, "dpo").record
        assert labeled is not None
        records.append(replace(labeled, image=labeled.image | {"uri": f"run{number}/scan.png"}))
    scripted_local.write_records(folder, *records)
    return folder


def build(data, out, changes=(), model_folder=NANO):
    config = read_dpo_training("nano-dpo", [*SMALL, *changes])
    model, inputs = open_trainable(model_folder, dtype=config.dtype)
    prompts = load_prompts(find_prompt_file(model_folder / PROFILE))
    pairs = Samples(find_shards([data]), prompts, pairs=True)
    return build_dpo_trainer(config, model, inputs, pairs, build_dpo_config(config, out)), pairs, inputs


def batch_of(trainer, *numbers):
    return trainer.data_collator([{"pair": number} for number in numbers])


def scores_of(model, batch):
    """The log-probability of each row's reply, as TRL's loss has it."""
    given = {name: value for name, value in batch.items() if name != "completion_mask"}
    labels = batch["input_ids"].masked_fill(batch["completion_mask"] == 0, -100)
    return model(**given, labels=labels, fused_lm_head=True, use_cache=False).log_probs.sum(dim=1)


def plain_scores(model_folder, samples, inputs):
    """The same by a fresh model's own logits, one unpadded reply at a time."""
    model, _ = open_trainable(model_folder)
    found = []
    for sample in samples:
        tokens = tokenize_sample(sample, inputs)
        ids = torch.tensor([tokens.ids])
        seen = {
            "pixel_values": torch.from_numpy(tokens.encoded.patches),
            "image_grid_thw": torch.from_numpy(tokens.encoded.grid),
            "mm_token_type_ids": (ids == inputs.image_token_id).int(),
        }
        with torch.no_grad():
            likely = model(input_ids=ids, **seen).logits[0, :-1].float().log_softmax(dim=-1)
        each = likely.gather(1, ids[0, 1:, None])[:, 0]
        found.append(each[tokens.reply_start - 1 :].sum())
    return torch.stack(found)


@pytest.mark.parametrize("folder", [tiny_vlm.pointer, tiny_vlm.qwen25], ids=["pointer", "qwen2.5"])
@pytest.mark.parametrize("changes", [(), (LORA,)], ids=["full", "lora"])
def test_both_replies_of_a_pair_are_scored_as_the_model_itself_would_and_begin_equal(folder, changes, data, tmp_path):
    trainer, pairs, inputs = build(data, tmp_path, changes, folder())
    assert len(pairs) == 4
    numbers = range(len(pairs))
    batch = batch_of(trainer, *numbers)
    chosen = [pairs[number] for number in numbers]
    rejected = [replace(each, reply=each.rejected) for each in chosen]
    with torch.no_grad():
        got = scores_of(trainer.model, batch)
    assert torch.allclose(got, plain_scores(folder(), [*chosen, *rejected], inputs), atol=2e-4)
    loss = trainer._compute_loss(trainer.model.train(), batch, False)
    assert loss.item() == pytest.approx(math.log(2), abs=1e-6)
    assert trainer._metrics["train"]["rewards/margins"] == pytest.approx([0.0], abs=1e-6)
    loss.backward()
    assert any(each.grad is not None and each.grad.abs().max() > 0 for each in trainer.model.parameters())


@pytest.mark.parametrize("folder", [tiny_vlm.pointer, tiny_vlm.qwen25], ids=["pointer", "qwen2.5"])
def test_every_row_sees_its_own_picture_and_no_other(folder, data, tmp_path):
    trainer, pairs, _ = build(data, tmp_path, model_folder=folder())
    batch = batch_of(trainer, 0, len(pairs) - 1)
    pixels = batch["pixel_values"].requires_grad_()
    rows = pixels.shape[0] // 4
    for row, score in enumerate(scores_of(trainer.model, batch)):
        (slope,) = torch.autograd.grad(score, pixels, retain_graph=True)
        seen = [part.abs().max().item() > 0 for part in slope.split(rows)]
        assert seen == [number == row for number in range(4)]
    with torch.no_grad():
        right = scores_of(trainer.model, batch)
        one, two, three, four = pixels.split(rows)
        swapped = scores_of(trainer.model, batch | {"pixel_values": torch.cat([two, one, four, three])})
        blank = scores_of(trainer.model, batch | {"pixel_values": torch.zeros_like(pixels)})
    for wrong in (swapped, blank):
        assert (wrong - right).abs().min() > 1e-3
    with pytest.raises(RuntimeError, match=r"picture tokens and .* picture features"):
        trainer._compute_loss(trainer.model, batch | {"image_grid_thw": batch["image_grid_thw"][1:]}, False)


@pytest.mark.slow
def test_the_shipped_model_comes_to_prefer_what_the_person_did(data, tmp_path):
    """From a loss of ln 2; the reference stays as it was."""
    changes = ["train.learning_rate=1e-4", "train.lr_scheduler_type='constant'", "train.save_strategy='no'"]
    trainer, pairs, _ = build(data, tmp_path, [*changes, "train.max_steps=4"])
    batch = batch_of(trainer, *range(len(pairs)))
    with torch.no_grad():
        before = scores_of(trainer.model, batch)
    trainer.train()
    log = [row for row in trainer.state.log_history if "loss" in row]
    assert log[0]["loss"] == pytest.approx(math.log(2), abs=1e-6)
    assert log[0]["rewards/margins"] == pytest.approx(0.0, abs=1e-6)
    assert log[-1]["rewards/margins"] > 0
    with torch.no_grad():
        after, reference = scores_of(trainer.model.eval(), batch), scores_of(trainer.ref_model, batch)
    assert torch.equal(reference, before)
    chosen, rejected = (after - before).chunk(2)
    assert (chosen - rejected > 0).all()
    assert chosen.mean() > 0


@pytest.mark.parametrize(
    ("base", "changes", "written"),
    [
        (tiny_vlm.pointer, (), "model.safetensors"),
        pytest.param(tiny_vlm.qwen25, (LORA, "save_fp16=false"), "adapter_model.safetensors", marks=pytest.mark.slow),
    ],
    ids=["full", "lora"],
)
def test_a_training_writes_a_model_folder_and_its_logs(base, changes, written, data, tmp_path):
    config = read_dpo_training("nano-dpo", [*SMALL, "train.max_steps=2", "train.save_steps=2", *changes])
    folder = train_dpo(config, [data], tmp_path, base=str(base()))
    assert [path.name for path in folder.glob("*.safetensors")] == [written]
    assert get_policy(f"hf:{folder}", PolicyOptions(local_only=True)).name == f"hf:{folder}"
    finished = json.loads((tmp_path / "training.json").read_text())
    assert (finished["pairs"], [row["step"] for row in finished["log"]]) == (4, [1, 2, 2])
    with (tmp_path / "log.csv").open() as file:
        table = list(csv.DictReader(file))
    assert float(table[0]["rewards/margins"]) == 0
    assert [row["step"] for row in table] == ["1", "2", "2"]


def test_settings_and_data_that_cannot_be_are_refused_in_a_line(data, tmp_path):
    assert list_shipped_configs("dpo") == ["nano-dpo"]
    assert read_dpo_training("nano-dpo").base == "nano"
    for change, said in (
        ("dtype='float64'", "got dtype='float64', expected float32 or bfloat16; choose one"),
        ("train.max_length=10", "[train]: got 'max_length', expected settings without it; leave it out"),
        ("train.beta='high'", "got beta='high', expected a number or true or false"),
        ("freeze=['tower']", "freeze: got 'tower', expected the name of a module, such as embed_tokens, visual"),
        ("estimator='ppo'", "estimator: got an unknown name"),
    ):
        command = ["train", "dpo", "--config", "nano-dpo", "--data", str(data), "--out", str(tmp_path / "out")]
        error = CliRunner().invoke(app, [*command, "--set", change]).exception
        assert isinstance(error, InputError)
        assert said in str(error)
        assert "\n" not in str(error)
    scripted_local.draw_images(tmp_path, "scan.png")
    record = corrected_runs.correct(tmp_path, [WRONG, STOP], [])
    scripted_local.write_records(tmp_path, record)
    with pytest.raises(InputError, match="got no reply with another action as its label in 1 trajectory files"):
        train_dpo(read_dpo_training("nano-dpo"), [tmp_path], tmp_path / "none", base=str(tiny_vlm.pointer()))


@pytest.mark.slow
def test_a_killed_training_resumes_to_the_same_curve(data, tmp_path):
    config = read_dpo_training("nano-dpo", [*SMALL, "train.max_steps=4"])
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    train_dpo(config, [data], whole)
    before, after = load_file(NANO / "model.safetensors"), load_file(whole / "model" / "model.safetensors")
    assert [name for name, value in after.items() if not value.equal(before[name])]
    assert (whole / "model" / "known_targets.toml").read_bytes() == (NANO / "known_targets.toml").read_bytes()
    command = [sys.executable, "-m", "ibisagent.ui", "train", "dpo", "--config", "nano-dpo", "--data", str(data)]
    command += ["--out", str(killed), *(part for change in SMALL for part in ("--set", change))]
    command += ["--set", "train.max_steps=4"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while last_checkpoint(killed / "checkpoints") is None and time.monotonic() < deadline:
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (killed / "training.json").is_file(), "it was too late to kill it"
    train_dpo(config, [data], killed)

    def curve(out):
        rows = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
        volatile = ("train_", "num_tokens")  # TRL counts tokens anew
        return [{name: value for name, value in row.items() if not name.startswith(volatile)} for row in rows]

    assert [row["step"] for row in curve(whole)] == [1, 2, 3, 4, 4]
    assert curve(killed) == curve(whole)
    weights = [(out / "model" / "model.safetensors").read_bytes() for out in (whole, killed)]
    assert weights[0] == weights[1]
    with pytest.raises(InputError, match=r"got config.train.beta .* after .*; use what it began with"):
        train_dpo(read_dpo_training("nano-dpo", [*SMALL, "train.max_steps=4", "train.beta=0.5"]), [data], killed)
