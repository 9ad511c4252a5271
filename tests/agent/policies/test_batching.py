"""A local model that answers the calls of several threads as one."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from support import tiny_vlm
from support.observations import make_observation, make_picture

from ibisagent.agent import LoopConfig, build_graph
from ibisagent.agent.policies.local import open_local


@pytest.mark.parametrize(
    "folder", [tiny_vlm.qwen25, tiny_vlm.qwen3, tiny_vlm.pointer], ids=["qwen2.5", "qwen3", "pointer"]
)
def test_concurrent_episodes_reply_as_alone(folder):
    policy = open_local(folder(), max_tokens=12)
    shown = [
        make_observation(f"Segment number {seed}{' please' * (seed % 5)}.", make_picture(64, 96, seed))
        for seed in range(16)
    ]
    alone = [policy.act(each) for each in shown]
    calls, generate = [], policy.model.generate
    policy.model.generate = lambda **given: calls.append(len(given["input_ids"])) or generate(**given)
    with ThreadPoolExecutor(16) as pool:
        together = list(pool.map(policy.act, shown))
    assert max(calls) > 4
    assert [each.text for each in together] == [each.text for each in alone]


def test_a_graph_s_batch_shares_the_model_s_calls(pixels):
    policy = open_local(tiny_vlm.qwen25())
    calls, generate = [], policy.model.generate
    policy.model.generate = lambda **given: calls.append(len(given["input_ids"])) or generate(**given)
    graph = build_graph(policy, "disk", LoopConfig(max_steps=2, max_parse_failures=2))
    before = threading.active_count()
    ends = graph.batch([{"image": pixels, "request": f"Segment {number}."} for number in range(8)])
    assert {end["stop"] for end in ends} <= {"parse_failures", "max_steps", "terminated", "target_absent"}
    assert max(calls) > 2
    assert threading.active_count() <= before


@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_log_probabilities_are_those_of_the_tokens_drawn(temperature):
    policy = open_local(tiny_vlm.qwen25(), max_tokens=8, temperature=temperature, logprobs=True)
    torch.manual_seed(3)
    shown = [
        make_observation("Segment the liver.", make_picture(64, 96)),
        make_observation("Segment it.", make_picture(64, 96, 1)),
    ]
    for asked, said in zip(shown, policy.act_many(shown), strict=True):
        encoded = policy.inputs.encode(policy._prompts.conversation(asked))
        batch = policy.inputs.batch([encoded])
        ids = torch.tensor([encoded.ids + said.token_ids])
        batch |= {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        batch["mm_token_type_ids"] = (ids == policy.inputs.image_token_id).int()
        with torch.inference_mode():
            logits = policy.model(**batch).logits[0, len(encoded.ids) - 1 : -1] / (temperature or 1.0)
        expected = torch.log_softmax(logits, dim=1).gather(1, torch.tensor(said.token_ids)[:, None])[:, 0]
        assert said.logprobs == pytest.approx(expected.tolist(), abs=1e-4)
        assert policy.inputs.tokenizer.decode(said.token_ids, skip_special_tokens=True) == said.text
