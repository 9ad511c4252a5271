"""Configs for GPUs: what can be known of them without one, and what is refused before it hangs."""

import json

import pytest
import torch
from support import tiny_vlm
from support.grpo_runs import write_tasks
from support.openai_server import answer_with_script, serve
from typer.testing import CliRunner

from ibisagent.agent.policies.local import open_model
from ibisagent.tools.errors import InputError, RunFailed
from ibisagent.training.config_files import list_shipped_configs
from ibisagent.training.grpo import trainer_factory
from ibisagent.training.grpo.config import read_grpo_training
from ibisagent.training.grpo.memory import count_parameters, estimate_memory
from ibisagent.training.grpo.run import train_grpo
from ibisagent.training.grpo.trainer_factory import build_grpo_config
from ibisagent.ui.cli.app import app

LARGE = ("qwen2_5vl-7b-grpo", "qwen2_5vl-7b-grpo-8gpu", "qwen2_5vl-7b-grpo-server")


def test_the_configs_for_gpus_share_their_tasks_out(tmp_path, monkeypatch):
    assert list_shipped_configs("grpo") == ["nano-grpo", *sorted(LARGE)]
    for name in LARGE:
        config = read_grpo_training(name)
        monkeypatch.setattr(trainer_factory, "count_processes", lambda config=config: config.gpus)
        settings = build_grpo_config(config, tmp_path, 512)
        assert settings.per_device_train_batch_size == 4
        assert settings.use_vllm is (name == "qwen2_5vl-7b-grpo-server")
        parts = estimate_memory(config, 8.29e9, config.gpus)
        assert parts["weights"] == pytest.approx(16.6, abs=0.1)
        assert sum(parts.values()) < 0.7 * 80
        assert ("episodes at once" in parts) is (config.rollouts.server is None)


def test_the_estimate_grows_with_what_is_held():
    config = read_grpo_training("qwen2_5vl-7b-grpo")
    total = sum(estimate_memory(config, 8.29e9, 1).values())
    for change in ("rollouts.chunks=8", "rollouts.workers=256", "dtype='float32'"):
        assert sum(estimate_memory(read_grpo_training("qwen2_5vl-7b-grpo", [change]), 8.29e9, 1).values()) > total + 1
    model, _ = open_model(tiny_vlm.qwen25())
    stored = {each.data_ptr(): each.numel() for each in model.parameters()}
    assert count_parameters("any", tiny_vlm.qwen25()) == sum(stored.values())
    with pytest.raises(InputError, match="base 'mine': got no weights here, expected a folder or one of Qwen"):
        count_parameters("mine", None)


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGE[:2])
def test_the_settings_for_gpus_train_a_tiny_model_in_bfloat16(tmp_path, name):
    """LoRA, checkpointed activations, autocast, and the gate at its bound for 16 bits."""
    changes = ["rollouts.tasks=2", "rollouts.group_size=3", "rollouts.chunks=3", "rollouts.max_steps=2"]
    changes += ["train.max_steps=1", "validation.every=0"]
    data = write_tasks(tmp_path / "set")
    train_grpo(read_grpo_training(name, changes), [data], tmp_path / "out", base=str(tiny_vlm.qwen25()))
    (row, _) = (json.loads(line) for line in (tmp_path / "out" / "log.jsonl").read_text().splitlines())
    assert row["logp_gap_mean"] < 0.05
    assert (tmp_path / "out" / "model" / "adapter_model.safetensors").is_file()


@pytest.mark.parametrize(
    ("variables", "train", "named"),
    [
        ({"ACCELERATE_USE_FSDP": "true"}, {}, "FSDP"),
        ({"ACCELERATE_USE_DEEPSPEED": "true", "ACCELERATE_DEEPSPEED_ZERO_STAGE": "3"}, {}, "ZeRO-3"),
        ({"ACCELERATE_USE_DEEPSPEED": "true", "ACCELERATE_DEEPSPEED_CONFIG_FILE": "STAGE3"}, {}, "ZeRO-3"),
        ({}, {"deepspeed": "STAGE3"}, "ZeRO-3"),
        ({}, {"fsdp": "full_shard"}, "FSDP"),
    ],
)
def test_what_would_hang_is_refused_in_a_line(tmp_path, monkeypatch, variables, train, named):
    (tmp_path / "zero3.json").write_text('{"zero_optimization": {"stage": 3}}')
    for name, value in variables.items():
        monkeypatch.setenv(name, value.replace("STAGE3", str(tmp_path / "zero3.json")))
    changes = [f"train.{key}='{value.replace('STAGE3', str(tmp_path / 'zero3.json'))}'" for key, value in train.items()]
    with pytest.raises(InputError, match=f"training: got {named}, expected whole weights in each process") as caught:
        build_grpo_config(read_grpo_training("nano-grpo", changes), tmp_path, 40)
    assert "\n" not in str(caught.value)


def doctor(*arguments):
    ran = CliRunner().invoke(app, ["doctor", "--train", *arguments])
    return ran.output.splitlines(), ran.exception


def test_doctor_tells_what_a_training_misses(monkeypatch):
    lines, error = doctor("nano-grpo")
    assert error is None
    assert len(lines) == 8
    assert all(line.endswith(": ok") for line in lines)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    lines, error = doctor("qwen2_5vl-7b-grpo", "--base", str(tiny_vlm.qwen25()))
    assert isinstance(error, RunFailed)
    assert "GPUs: 0 (the config is for 1): too few; set tasks and chunks for what is there" in lines
    assert any(line.startswith("memory: ") and line.endswith("no GPU to compare it with") for line in lines)
    with serve(answer_with_script("")) as server:
        url = server.url.removesuffix("/v1")
        lines, error = doctor("qwen2_5vl-7b-grpo-server", "--set", f"rollouts.server='{url}'")
    assert f"server {url}: serves tiny: ok" in lines
    assert "vllm (needs <0.32,>=0.22): missing; install it" in lines
    assert "qwen2_5vl-7b-grpo-server: 3 of 10 checks failed; first vllm" in str(error)
    assert (
        "deepspeed (needs any version): missing; install it" in doctor("nano-grpo", "--set", "train.deepspeed='x'")[0]
    )
    lines, _ = doctor("qwen2_5vl-7b-grpo-server", "--set", "rollouts.server='http://127.0.0.1:9'")
    assert "does not list its model" in lines[-1]


def test_doctor_compares_the_estimate_with_the_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    for size, ends in ((80, "ok"), (24, "more than 95% of 24 GB; raise rollouts.chunks or lower rollouts.workers")):
        held = type("Properties", (), {"total_memory": size * 10**9})
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _, held=held: held)
        lines, _ = doctor("qwen2_5vl-7b-grpo")
        (memory,) = (line for line in lines if line.startswith("memory: "))
        assert memory.endswith(f"{size} GB here: {ends}")
