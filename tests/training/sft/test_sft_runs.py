"""Fine-tuning by the real trainer: what is learned and written, interruptions, and the command line."""

import json
import os
import signal
import subprocess
import sys
import time
import tomllib

import numpy as np
import pytest
import torch
from conftest import ellipse
from safetensors.torch import load_file, save_file
from support import scripted_local, tiny_vlm
from support.command_line import call
from support.fakes import NOT_THERE, STOP, UNDO, RecordingPolicy, negative, positive
from support.observations import make_observation
from transformers import TrainerCallback
from typer.testing import CliRunner

from ibisagent.agent import LoopConfig, PolicyOptions, build_graph, get_policy
from ibisagent.agent.policies.local import PROFILE, open_local, open_model, read_profile
from ibisagent.tools.errors import InputError, MissingExtra
from ibisagent.training.config_files import list_shipped_configs
from ibisagent.training.run_folder import last_checkpoint
from ibisagent.training.sft.config import Loss, read_training_config
from ibisagent.training.sft.run import train_sft
from ibisagent.ui.cli.app import app

STORIES = (
    ("a.png", "Segment the liver.", positive(0.3, 0.4), UNDO, positive(0.6, 0.5), STOP),
    ("b.png", "Segment the cyst.", positive(0.2, 0.8), negative(0.7, 0.1), STOP),
    ("b.png", "Segment the spleen.", NOT_THERE),
)
TRAIN = """
[train]
learning_rate = {rate}
lr_scheduler_type = "constant"
max_steps = {steps}
per_device_train_batch_size = {batch}
logging_steps = 2
save_steps = 2
save_total_limit = 2
seed = 3
"""
PACKED = 'pack = 4\nattn_implementation = "eager"\n'
GUIDED = PACKED + "[loss]\nattention = 0.2\nposition = 0.3\n"
LORA = """
mistakes = "mask"
freeze_vision = true
[lora]
r = 8
lora_alpha = 32
target_modules = '.*language_model.*\\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)'
"""


@pytest.fixture
def data(tmp_path):
    """A folder of three runs, eight samples, on two pictures."""
    folder = tmp_path / "data"
    folder.mkdir()
    scripted_local.draw_images(folder, "a.png", "b.png")
    assert len(scripted_local.make_samples(folder, *STORIES, truth=ellipse((80, 64), (40, 30), (20, 20)))) == 8
    return folder


def plan_of(tmp_path, base, settings=PACKED, rate=3e-3, steps=6, batch=2, name="plan.toml"):
    text = f"base = {str(base)!r}\n{settings}{TRAIN.format(rate=rate, steps=steps, batch=batch)}"
    (tmp_path / name).write_text(text)
    return tmp_path / name


def weights(folder):
    return next(folder.glob("*.safetensors")).read_bytes()


def log_of(out):
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def replies_of(folder, data, picture, request, replies):
    """What the model in a folder says where its expert would have said ``replies``."""
    policy = open_local(folder, max_tokens=48)
    watched = RecordingPolicy(
        scripted_local.LocalPolicy(
            scripted_local.ScriptedModel(policy.inputs, replies), policy.inputs, prompts=policy._prompts
        )
    )
    build_graph(watched, "disk", LoopConfig()).invoke({"image": data / picture, "request": request})
    return [each.text for each in policy.act_many(watched.seen)]


# What is learned


@pytest.mark.slow
@pytest.mark.parametrize(
    ("base", "settings"), [(tiny_vlm.qwen25, GUIDED), (tiny_vlm.pointer, PACKED)], ids=["qwen", "pointer"]
)
def test_a_packed_training_learns_by_heart(base, settings, data, tmp_path):
    out = tmp_path / "out"
    path = plan_of(tmp_path, base(), settings, rate=5e-3, steps=240, batch=8)
    plan = read_training_config(path, ["train.save_steps=240", "loss.coordinate_sigma=1.5", "loss.coordinates=3.0"])
    model = train_sft(plan, [data], out)
    figures = log_of(out)
    assert figures[-2]["nll"] < 0.1 * figures[0]["nll"]
    assert figures[-2]["coordinate_nll"] < 1.5  # 1.3: what the blurred targets leave to it
    for picture, request, *replies in STORIES:
        assert replies_of(model, data, picture, request, replies) == replies
    record = json.loads((out / "training.json").read_text())
    assert (record["samples"], record["log"], len(record["data"])) == (8, figures, 64)
    assert record["config"]["train"]["max_steps"] == 240
    assert (model / PROFILE).read_text() == (base() / PROFILE).read_text()
    assert "auxiliary" not in str(load_file(model / "model.safetensors").keys())


@pytest.mark.slow
@pytest.mark.parametrize("base", [tiny_vlm.qwen25, tiny_vlm.qwen3], ids=["qwen2.5", "qwen3"])
def test_adapters_learn_by_heart_and_leave_the_vision_encoder_as_it_is(base, data, tmp_path):
    out = tmp_path / "out"
    (tmp_path / "words.toml").write_text(tiny_vlm.PROFILE.replace("square_side = 64\nmax_tokens = 12\n", ""))
    settings = 'prompts = "words.toml"\n' + LORA
    plan = read_training_config(plan_of(tmp_path, base(), settings, 1e-2, 80, 8), ["train.save_steps=80"])
    model = train_sft(plan, [data], out)
    figures = log_of(out)
    assert figures[-2]["loss"] < 0.1 * figures[0]["loss"]
    for picture, request, *replies in STORIES:
        assert replies_of(model, data, picture, request, replies) == replies
    names = load_file(model / "adapter_model.safetensors").keys()
    assert len(names) == 2 * 7 * (2 if base is tiny_vlm.qwen25 else 3)
    assert all("language_model" in name and "lora_" in name for name in names)
    assert not list(model.glob("model*"))
    before, after = (open_model(folder, dtype=torch.float32)[0].state_dict() for folder in (base(), model))
    assert before.keys() == after.keys()
    differing = [name for name, value in before.items() if not torch.equal(value, after[name])]
    assert len(differing) == len(names) / 2
    assert not [name for name in differing if "visual" in name]
    assert get_policy(f"hf:{model}", PolicyOptions(local_only=True)).name == f"hf:{model}"
    assert read_profile(model) == read_profile(base()) | tomllib.loads((tmp_path / "words.toml").read_text())


def test_an_adapter_whose_base_is_gone_or_wrong_is_refused_in_a_line(data, tmp_path):
    base = tiny_vlm.copy_with_changes(tiny_vlm.qwen25(), tmp_path / "base")
    plan = read_training_config(plan_of(tmp_path, base, LORA, steps=1))
    model = train_sft(plan, [data], tmp_path / "out")
    again = read_training_config(plan_of(tmp_path, model, LORA, steps=1, name="again.toml"))
    second = train_sft(again, [data], tmp_path / "again")
    assert json.loads((second / "adapter_config.json").read_text())["base_model_name_or_path"] == str(model)
    first, both = (open_local(folder).model.state_dict() for folder in (model, second))
    assert sum(not torch.equal(value, both[name]) for name, value in first.items()) == 14
    base.rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"model: got an adapter of '.*base', which is not here"):
        open_local(second)


# What is grafted


GRAFT = PACKED + "[graft]\nfine_channels = 4\n"


@pytest.mark.slow
def test_a_grafted_drawing_learns_and_goes_on(data, tmp_path):
    path, begun = plan_of(tmp_path, tiny_vlm.pointer(), GRAFT, rate=3e-3, steps=30, batch=8), []
    unbroken = train_sft(read_training_config(path), [data], tmp_path / "unbroken")
    with pytest.raises(KeyboardInterrupt):
        train_sft(read_training_config(path), [data], tmp_path / "out", callbacks=[Watching(begun, 5)])
    resumed = train_sft(read_training_config(path), [data], tmp_path / "out", callbacks=[Watching(begun)])
    assert begun == [0, 4]
    assert weights(resumed) == weights(unbroken)
    figures = log_of(tmp_path / "unbroken")
    assert figures[-2]["loss"] < 0.7 * figures[0]["loss"]
    assert figures[-2]["mask_iou"] > figures[0]["mask_iou"] + 0.2
    policy = open_local(unbroken)
    assert policy.model.config.fine_channels == 4
    assert policy.draw_target(make_observation("Segment it.", np.zeros((64, 64, 3), np.uint8))).shape == (32, 32)
    assert any(value.abs().sum() > 0 for value in policy.model.fine_drawing.last.parameters())
    again = train_sft(read_training_config(path), [data], tmp_path / "again", base=str(unbroken))
    assert open_local(again).model.config.fine_channels == 4


def test_a_graft_that_does_not_fit_is_refused_in_a_line(data, tmp_path):
    base = train_sft(
        read_training_config(plan_of(tmp_path, tiny_vlm.pointer(), GRAFT, steps=1)), [data], tmp_path / "one"
    )
    other = read_training_config(tmp_path / "plan.toml", ["graft.fine_channels=8"])
    with pytest.raises(
        InputError, match=r"\[graft\]: got fine_channels=8 for a base with 4, expected as many; correct"
    ):
        train_sft(other, [data], tmp_path / "two", base=str(base))
    with pytest.raises(InputError, match=r"\[graft\]: got a base of type 'qwen2_5_vl', expected a pointer model"):
        train_sft(other, [data], tmp_path / "three", base=str(tiny_vlm.qwen25()))
    with pytest.raises(InputError, match="got 'graft', expected it beside 'base' and a 'pack' from 1 up"):
        read_training_config(tmp_path / "plan.toml", ["pack=0"])
    with pytest.raises(InputError, match=r"\[graft\]: .*fine_channels=0, expected a whole number from 1 up"):
        read_training_config(tmp_path / "plan.toml", ["graft.fine_channels=0"])


# The same again


@pytest.mark.slow
@pytest.mark.parametrize("settings", [PACKED, LORA], ids=["packed", "adapters"])
def test_the_same_seed_and_data_give_the_same_weights(settings, data, tmp_path):
    plan = read_training_config(plan_of(tmp_path, tiny_vlm.qwen25(), settings))
    torch.rand(3)
    first = train_sft(plan, [data], tmp_path / "first")
    torch.rand(5)
    second = train_sft(plan, [data], tmp_path / "second")
    assert weights(first) == weights(second)
    other = train_sft(read_training_config(tmp_path / "plan.toml", ["train.seed=4"]), [data], tmp_path / "other")
    assert weights(other) != weights(first)
    records = [json.loads((tmp_path / name / "training.json").read_text()) for name in ("first", "second")]
    assert records[0]["data"] == records[1]["data"]


def test_accumulated_steps_weigh_as_one_large_step(data, tmp_path):
    path = plan_of(tmp_path, tiny_vlm.qwen25(), steps=1, batch=1, rate=1e-3)
    sgd = [
        'train.optim="sgd"',
        "train.max_grad_norm=100.0",
        "train.logging_steps=1",
        "pack=1",
    ]
    losses = []
    for batch, accumulated in ((8, 1), (1, 8)):
        sizes = [f"train.per_device_train_batch_size={batch}", f"train.gradient_accumulation_steps={accumulated}"]
        train_sft(read_training_config(path, [*sgd, *sizes]), [data], tmp_path / f"out{batch}")
        losses.append(log_of(tmp_path / f"out{batch}")[0])
    assert losses[1]["loss"] == pytest.approx(losses[0]["loss"], rel=0.1)  # rows are of unequal length
    assert losses[1]["grad_norm"] < 2 * losses[0]["grad_norm"]


# Interruptions


class Watching(TrainerCallback):
    """Keeps the step that a training begins at, and presses Ctrl-C at one."""

    def __init__(self, begun, stop=None):
        self.begun, self.stop = begun, stop

    def on_train_begin(self, args, state, control, **more):
        self.begun.append(state.global_step)

    def on_step_end(self, args, state, control, **more):
        if state.global_step == self.stop:
            raise KeyboardInterrupt


@pytest.mark.slow
@pytest.mark.parametrize("settings", [PACKED, LORA], ids=["packed", "adapters"])
def test_an_interrupted_training_goes_on_to_the_same_weights(settings, data, tmp_path):
    plan, begun, out = read_training_config(plan_of(tmp_path, tiny_vlm.qwen25(), settings)), [], tmp_path / "out"
    unbroken = train_sft(plan, [data], tmp_path / "unbroken")
    for stop in (1, 5):
        with pytest.raises(KeyboardInterrupt):
            train_sft(plan, [data], out, callbacks=[Watching(begun, stop)])
    resumed = train_sft(plan, [data], out, callbacks=[Watching(begun)])
    assert begun == [0, 0, 4]
    assert weights(resumed) == weights(unbroken)


def test_a_checkpoint_of_another_model_is_no_beginning(data, tmp_path):
    plan, out = read_training_config(plan_of(tmp_path, tiny_vlm.qwen25())), tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        train_sft(plan, [data], out, callbacks=[Watching([], 3)])
    held = out / "checkpoints/checkpoint-2/model.safetensors"
    save_file({f"other.{name}": value for name, value in load_file(held).items()}, held, {"format": "pt"})
    with pytest.raises(RuntimeError, match="the checkpoint's weights are not the model's: "):
        train_sft(plan, [data], out)


@pytest.mark.slow
def test_a_killed_training_goes_on_to_the_same_weights(data, tmp_path):
    plan = plan_of(tmp_path, tiny_vlm.qwen25(), steps=40)
    unbroken = train_sft(read_training_config(plan), [data], tmp_path / "unbroken")
    out = tmp_path / "out"
    command = ["train", "sft", "--config", str(plan), "--data", str(data), "--out", str(out)]
    process = subprocess.Popen([sys.executable, "-m", "ibisagent.ui", *command], start_new_session=True)
    while last_checkpoint(out / "checkpoints") is None or len(log_of(out)) < 3:
        assert process.poll() is None
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (out / "training.json").exists()
    last = last_checkpoint(out / "checkpoints")
    torn = out / "checkpoints/checkpoint-99"  # killed while it was written
    torn.mkdir()
    (torn / "trainer_state.json").write_text('{"global_step"')
    begun = []
    resumed = train_sft(read_training_config(plan), [data], out, callbacks=[Watching(begun)])
    assert begun == [int(last.name.rpartition("-")[2])]
    assert weights(resumed) == weights(unbroken)
    timeless = [
        [{k: v for k, v in line.items() if "train_" not in k} for line in log_of(each)]
        for each in (out, tmp_path / "unbroken")
    ]
    assert timeless[0] == timeless[1]


def test_a_finished_training_is_left_alone_and_others_are_refused(data, tmp_path):
    path, out = plan_of(tmp_path, tiny_vlm.qwen25(), steps=2), tmp_path / "out"
    model = train_sft(read_training_config(path), [data], out)
    before = (model / "model.safetensors").stat().st_mtime_ns
    assert train_sft(read_training_config(path), [data], out) == model
    assert (model / "model.safetensors").stat().st_mtime_ns == before
    with pytest.raises(
        InputError, match=r"out: got config\.loss\.coordinate_sigma 0\.5 after None, config\.train\.seed 4 after 3; use"
    ):
        train_sft(read_training_config(path, ["train.seed=4", "loss.coordinate_sigma=0.5"]), [data], out)
    with pytest.raises(InputError, match=r"out: got other data than before; use"):
        train_sft(read_training_config(path), [data, data], out)
    words = tiny_vlm.PROFILE.replace("Look", "See")
    (tmp_path / "words.toml").write_text(words)
    with pytest.raises(
        InputError, match=r"out: got config\.prompts 'words\.toml' after None, other prompt_file than before;"
    ):
        train_sft(read_training_config(path, ["prompts='words.toml'"]), [data], out)
    (out / "settings.json").write_text("{")
    with pytest.raises(InputError, match=r"settings\.json: got settings that cannot be read"):
        train_sft(read_training_config(path), [data], out)


# The command line


def test_the_command_trains_what_the_policy_option_takes(data, tmp_path):
    out = tmp_path / "out"
    plan = plan_of(tmp_path, tiny_vlm.qwen3(), LORA)
    command = ["train", "sft", "--config", str(plan), "--data", str(data), "--out", str(out), "--base"]
    command += [str(tiny_vlm.qwen25()), "--set", "train.max_steps=2", "--set", "freeze_vision=false"]
    ran = call(*command, cwd=tmp_path)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout == f"wrote {out}/model; try it: --policy hf:{out}/model\n"
    assert open_local(out / "model").model.config.model_type == "qwen2_5_vl"
    record = json.loads((out / "training.json").read_text())
    assert (record["base"], record["config"]["train"]["max_steps"]) == (str(tiny_vlm.qwen25()), 2)


def refused(*command):
    error = CliRunner().invoke(app, ["train", "sft", *map(str, command)]).exception
    assert isinstance(error, InputError)
    assert "\n" not in str(error)
    return str(error)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("train.max_stepz=3", "[train]: max_stepz: got an unknown name, expected max_steps; correct it"),
        ("train.frobnicate=3", "[train]: frobnicate: got an unknown name, expected a setting of SFTConfig; correct it"),
        (
            "loss.blurr=3",
            "[loss]: blurr: got an unknown name, expected one of coordinates, coordinate_sigma, refusals, attention, ",
        ),
        ("train.learning_rate='high'", "[train]: got learning_rate='high', expected a number or true or false"),
        ("train.lr_scheduler_type='steep'", "[train]: got settings that SFTConfig refuses ("),
        ("train.output_dir='/'", "[train]: got 'output_dir', expected settings without it; leave it out"),
        ("packs=3", "plan.toml: packs: got an unknown name, expected pack; correct it"),
        ("pack='3'", "plan.toml: got pack='3', expected int; correct it"),
        ("mistakes='keep'", "plan.toml: got mistakes='keep', expected 'mask' or 'correct'; choose one"),
        ("lora.r=8", "plan.toml: got 'pack' with 'lora', expected one of them; leave the other out"),
        (
            "from_scratch.num_hidden_layers=1",
            "plan.toml: expected either 'base' (a model) or 'from_scratch' (sizes of a new one); give one",
        ),
        ("base='nowhere'", "policy 'hf:nowhere': got no folder here and no hub id that can be downloaded"),
        ("train.max_steps", "--set train.max_steps: expected key=value or table.key=value with a value as in TOML"),
        ("mistakes=mask", "--set mistakes=mask: expected key=value"),
        ("base.x=1", "--set base.x=1: expected key=value"),
        ("train.eval_strategy='steps'", "got settings that the trainer refuses ("),
    ],
)
def test_settings_that_do_not_fit_are_refused_in_a_line(change, said, data, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    plan = plan_of(tmp_path, tiny_vlm.qwen25())
    assert said in refused("--config", plan, "--data", data, "--out", tmp_path / "out", "--set", change)


def test_what_is_not_there_is_refused_in_a_line(data, tmp_path):
    plan, out = plan_of(tmp_path, tiny_vlm.qwen25()), tmp_path / "out"
    given = ["--data", data, "--out", out]
    assert "ships: nano, nano-qwen, qwen2_5vl-7b" in refused("--config", "nono", *given)
    assert f"{tmp_path}: got no .jsonl file" in refused("--config", plan, "--data", tmp_path, "--out", out)
    (tmp_path / "file").touch()
    assert "file: cannot be created (" in refused("--config", plan, "--data", data, "--out", tmp_path / "file")
    assert "got 'pack' for a model without tokens for coordinates" in refused(
        "--config", plan_of(tmp_path, stock(tmp_path)), *given
    )


def stock(tmp_path):
    """A model whose tokenizer writes coordinates in digits, as the published ones do."""
    folder = tiny_vlm.copy_with_changes(tiny_vlm.qwen25(), tmp_path / "stock")
    path = folder / "tokenizer.json"
    path.write_text(path.read_text().replace('"0.5', '"0,5'))
    return folder


def test_without_the_extra_it_is_named(data, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "trl", None)
    monkeypatch.delitem(sys.modules, "ibisagent.ui.cli.train", raising=False)
    command = ["train", "sft", "--config", "nano", "--data", str(data), "--out", str(tmp_path / "out")]
    error = CliRunner().invoke(app, command).exception
    assert isinstance(error, MissingExtra)
    assert (
        str(error) == "trl is not installed; run in a clone of ibisagent: pip install -e '.[train]' -c constraints.txt"
    )


# What ships


def test_the_paper_s_settings():
    plan = read_training_config("qwen2_5vl-7b")
    train = plan.train
    assert (plan.base, plan.mistakes, plan.pack, plan.max_pixels) == ("Qwen/Qwen2.5-VL-7B-Instruct", "mask", 0, 512**2)
    assert (plan.freeze_vision, plan.lora["r"], plan.dtype, train["bf16"]) == (True, 8, "bfloat16", True)
    assert train["per_device_train_batch_size"] * train["gradient_accumulation_steps"] == 256
    assert (train["learning_rate"], train["num_train_epochs"], train["warmup_steps"]) == (1e-5, 10, 0.1)
    assert train["lr_scheduler_type"] == "cosine"


@pytest.mark.slow
@pytest.mark.parametrize("name", list_shipped_configs("sft"))
def test_a_training_that_ships_runs_on_a_tiny_model(name, data, tmp_path):
    tiny = ["train.max_steps=1", "train.per_device_train_batch_size=2", "train.gradient_accumulation_steps=2"]
    sizes = ["num_hidden_layers=1", "hidden_size=48", "num_attention_heads=2", "num_key_value_heads=1"]
    sizes += ["intermediate_size=48"]
    sizes += {
        "nano": ["num_reader_layers=1", "widths=[8, 8, 8, 32]", "feature_channels=8", "num_maps=2"],
        "nano-qwen": ["vision_depth=1", "vision_hidden_size=32", "vision_num_heads=2", "vision_intermediate_size=48"],
    }.get(name, [])
    made = name.startswith("nano")
    plan = read_training_config(name, [*tiny, *(f"from_scratch.{each}" for each in sizes if made)])
    base = None if made else str(tiny_vlm.qwen25())
    policy = open_local(train_sft(plan, [data], tmp_path / "out", base=base))
    adapted = len(list((tmp_path / "out/model").glob("adapter_model.safetensors")))
    assert adapted == (not made)
    assert policy.inputs.square_side == (160 if made else 64)
    size = policy.inputs.pictures.size["longest_edge"]
    assert size == (160**2 if made else 512**2)


def test_the_loss_of_the_nano_recipe_is_the_default():
    assert Loss(**read_training_config("nano").loss) == Loss()
