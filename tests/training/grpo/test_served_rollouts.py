"""Rollouts that a server draws, vLLM-shaped, on loopback and with a real model behind it."""

import hashlib
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
import trl.trainer.grpo_trainer
from support import tiny_vlm
from support.grpo_runs import build_small_trainer, write_tasks
from support.observations import make_observations
from support.openai_server import images_in, serve
from support.vllm_server import ServedModel
from transformers import TrainerCallback

from ibisagent.agent.policies.local import NANO, QwenInputs
from ibisagent.agent.policies.retries import Retries
from ibisagent.agent.prompting import load_prompts
from ibisagent.tools.errors import InputError, MissingExtra, RunFailed
from ibisagent.training.grpo.config import read_grpo_training
from ibisagent.training.grpo.served_policy import ServedPolicy

LOGPROBS = "processed_logprobs"
ASKED = {"temperature", "top_p", "top_k", "min_p", "repetition_penalty", "presence_penalty", "frequency_penalty"}
ASKED |= {"max_tokens", "min_tokens", "seed", "n", "logprobs", "top_logprobs", "return_token_ids", "stream"}
ASKED |= {"skip_special_tokens", "ignore_eos", "stop_token_ids", "model", "messages"}


class Moving(TrainerCallback):
    """Moves the weights after an update, as the replies of a random model all earn the same."""

    def on_step_end(self, args, state, control, **more):
        with torch.no_grad():
            more["model"].lm_head.weight.mul_(0.8)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_tasks(tmp_path_factory.mktemp("tasks") / "set", seed=9)


@contextmanager
def training(data, out, monkeypatch, changes=(), *, answer=None, syncs=True, folder=None):
    """A trainer whose replies a server draws; TRL's transfer of weights, which needs NCCL, is a copy in memory."""
    folder = folder or tiny_vlm.qwen25()
    served = ServedModel(tiny_vlm.qwen25())
    with serve(answer(served) if answer else served.answer) as server:
        sent = []

        class Generation:
            vllm_client = SimpleNamespace(get_server_info=lambda: {"model_config": {"logprobs_mode": LOGPROBS}})

            def __init__(self, *, model, mode, server_base_url, **_):
                assert (mode, server_base_url) == ("server", server.url.removesuffix("/v1"))
                self._model = model

            def sync_weights(self):
                sent.append(hashlib.sha256(self._model.lm_head.weight.detach().numpy().tobytes()).hexdigest())
                if syncs or len(sent) == 1:
                    served.load(self._model.state_dict())

        monkeypatch.setattr(trl.trainer.grpo_trainer, "VLLMGeneration", Generation)
        url = server.url.removesuffix("/v1")
        changes = [f"rollouts.server='{url}'", "freeze=[]", *changes]
        trainer, _ = build_small_trainer(data, out, changes, model_folder=folder, max_tokens=8)
        trainer.add_callback(Moving())
        yield SimpleNamespace(trainer=trainer, served=served, server=server, sent=sent)


@pytest.mark.slow
def test_a_training_by_a_server_sees_what_the_server_drew(data, tmp_path, monkeypatch):
    with training(data, tmp_path, monkeypatch, ["rollouts.context='history'"]) as it:
        it.trainer.train()
        log = [row for row in it.trainer.state.log_history if "reward" in row]
        assert [row["step"] for row in log] == [1, 2]
        assert all(row["logp_gap_max"] < 1e-4 for row in log)
        assert all(row["rows"] > 0 for row in log)
        assert len(set(it.sent)) == 2, "weights are sent before each update"
        assert not it.served.resized
        policy = it.trainer._runner.policy
        assert policy.smart_resize == policy.inputs.smart_resize
        assert {frozenset(body) for body in it.server.requests} == {frozenset(ASKED)}
        first = it.server.requests[0]
        assert (first["temperature"], first["top_p"], first["top_k"], first["max_tokens"]) == (1.0, 1.0, 0, 8)
        assert max(len(images_in(body["messages"])) for body in it.server.requests) > 1
        assert {image.size for body in it.server.requests for image in images_in(body["messages"])} == {(64, 64)}
        assert len({body["seed"] for body in it.server.requests}) > 6


def test_pictures_of_any_size_are_sent_as_the_published_processor_leaves_them():
    """The tokens of each prompt come back as ours, also of several turns; equal requests draw equally, others not."""
    folder = tiny_vlm.qwen25_published()
    served, inputs = ServedModel(folder), QwenInputs.from_folder(folder)
    inputs.limit_pixels(8000)
    end = inputs.tokenizer.eos_token_id
    with serve(served.answer) as server:
        options = {"temperature": 1.0, "max_tokens": 6, "end_ids": [end], "retries": Retries(max_retries=0)}
        policy = ServedPolicy(server.url.removesuffix("/v1"), inputs, load_prompts(), **options)
        observations = make_observations()
        replies = [policy.act(each) for each in observations]
        again = [policy.act(each) for each in observations]
        others = [policy.act(replace(each, seed=1)) for each in observations]
        sizes = {image.size for body in server.requests for image in images_in(body["messages"])}
    assert policy.fault is None
    assert not served.resized
    assert len(sizes) > 2
    assert all(side % 28 == 0 for size in sizes for side in size)
    assert [each.token_ids for each in replies] == [each.token_ids for each in again]
    assert [each.token_ids for each in replies] != [each.token_ids for each in others]
    for reply in replies:
        assert len(reply.logprobs) == len(reply.token_ids) <= 6
        assert reply.finish_reason == ("stop" if reply.token_ids[-1] == end else "length")


@pytest.mark.slow
def test_weights_that_are_not_sent_close_the_gate(data, tmp_path, monkeypatch):
    with (
        training(data, tmp_path, monkeypatch, syncs=False) as it,
        pytest.raises(RunFailed, match=r"update 1, reply .*: got log-probabilities that differ from the sampled ones"),
    ):
        it.trainer.train()


def with_other_prompt(served):
    def answer(body):
        made = served.answer(body)
        return made | {"prompt_token_ids": [*made["prompt_token_ids"][:4], 0, *made["prompt_token_ids"][5:]]}

    return answer


def without_ids(served):
    def answer(body):
        made = served.answer(body)
        del made["choices"][0]["token_ids"]
        return made

    return answer


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (with_other_prompt, "update 0: got a server whose prompt differs from ours at token 4, expected equal tokens"),
        (without_ids, "update 0: got a reply without a log-probability for each of its token_ids, expected both"),
    ],
)
def test_a_server_that_shows_or_returns_something_else_ends_the_training(data, tmp_path, monkeypatch, answer, said):
    with (
        training(data, tmp_path, monkeypatch, answer=answer) as it,
        pytest.raises(RunFailed, match=said) as caught,
    ):
        it.trainer.train()
    assert "\n" not in str(caught.value)


def test_importance_ratios_correct_what_the_server_rounds(data, tmp_path, monkeypatch):
    """Its log-probabilities are those of bfloat16, as it were: the weights of tokens are what they are off."""

    def rounded(served):
        def answer(body):
            made = served.answer(body)
            for each in made["choices"][0]["logprobs"]["content"]:
                each["logprob"] = round(each["logprob"] * 4) / 4
            return made

        return answer

    with training(data, tmp_path, monkeypatch, ["gate_max=0.0", "gate_mean=0.0"], answer=rounded) as it:
        it.trainer.model.train()
        it.trainer.current_gradient_accumulation_steps = 2
        it.trainer._prepare_inputs([{"task": task} for task in (0, 0, 0, 1, 1, 1)])
        for chunk in it.trainer._buffered_inputs:
            real = chunk["completion_mask"].bool()
            off = chunk["old_per_token_logps"] - chunk["sampling_per_token_logps"]
            assert torch.allclose(chunk["importance_sampling_ratio"][real], off[real].exp().clamp(max=2.0))
            assert 0.05 < off[real].abs().max() < 0.126


def test_what_a_server_cannot_do_is_refused_in_a_line(data, tmp_path, monkeypatch):
    named = "got a pointer model, expected one of the Qwen-VL family"
    with pytest.raises(InputError, match=named), training(data, tmp_path, monkeypatch, folder=NANO):
        pass
    with pytest.raises(InputError, match=r"server is '127.0.0.1', expected an address such as http"):
        read_grpo_training("nano-grpo", ["rollouts.server='127.0.0.1'"])
    inputs, options = QwenInputs.from_folder(tiny_vlm.qwen25()), {"temperature": 1.0, "max_tokens": 4, "end_ids": [0]}
    with pytest.raises(InputError, match=r"http://127.0.0.1:9 does not list its model \(.*\), expected a server of"):
        ServedPolicy("http://127.0.0.1:9", inputs, load_prompts(), retries=Retries(max_retries=0), **options)
    monkeypatch.undo()
    with serve(ServedModel(tiny_vlm.qwen25()).answer) as server:
        changes = [f"rollouts.server='{server.url.removesuffix('/v1')}'", "freeze=[]"]
        with pytest.raises(MissingExtra, match=r"\[rollouts\]: ImportError: vLLM is not available"):
            build_small_trainer(data, tmp_path, changes, model_folder=tiny_vlm.qwen25())
