"""Draws by generators of their own: distributed as a softmax, the same in any batch, at any time."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from langchain_core.language_models import FakeListChatModel
from scipy.stats import chisquare
from support import tiny_vlm
from support.observations import make_observation, make_picture

from ibisagent.agent import LoopConfig, PolicyOptions, build_graph, get_policy
from ibisagent.agent.policies import RandomPolicy
from ibisagent.agent.policies.abstention import AbstainingPolicy
from ibisagent.agent.policies.base import Observation
from ibisagent.agent.policies.chat import ChatPolicy
from ibisagent.agent.policies.local import NANO, open_local
from ibisagent.agent.policies.local.row_sampling import NEAR_TIE, RowSampler, row_generator
from ibisagent.tools.errors import InputError

SHOWN = make_observation("Segment the liver.", make_picture(64, 96))


def draw_tokens(sampler: RowSampler, logits: torch.Tensor, count: int) -> torch.Tensor:
    """Draw ``count`` tokens in each row, (B, count), from the same logits at each position."""
    ids = torch.zeros(len(logits), 1, dtype=torch.long)
    for _ in range(count):
        ids = torch.cat([ids, sampler(ids, logits).argmax(dim=1, keepdim=True)], dim=1)
    return ids[:, 1:]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_tokens_are_drawn_as_the_softmax_says(temperature):
    logits = torch.tensor([[0.0, 1.0, -1.0, 2.0, -float("inf")]])
    drawn = draw_tokens(RowSampler([row_generator(0, SHOWN)], temperature, (), 0.0), logits, 20_000)
    expected = torch.softmax(logits[0, :4] / temperature, dim=0).double().numpy()
    counts = np.bincount(drawn[0].numpy(), minlength=5)
    assert counts[4] == 0
    assert chisquare(counts[:4], 20_000 * expected / expected.sum()).pvalue > 0.01


def test_a_row_draws_the_same_in_any_batch_and_whatever_torch_draws_beside_it():
    logits, shown = torch.zeros(4, 50), [replace(SHOWN, seed=seed) for seed in range(4)]

    def drawn(several: list[Observation]) -> list[list[int]]:
        torch.rand(7)
        sampler = RowSampler([row_generator(5, each) for each in several], 1.0, (), 0.0)
        rows: list[list[int]] = draw_tokens(sampler, logits[: len(several)], 30).tolist()
        return rows

    together = drawn(shown)
    assert [drawn([each])[0] for each in shown] == together
    assert drawn(shown[::-1]) == together[::-1]
    assert len({tuple(row) for row in together}) == 4


def test_another_seed_step_picture_or_request_is_another_draw():
    others = [SHOWN, *(replace(SHOWN, **{name: 1}) for name in ("seed", "step"))]
    others += [replace(SHOWN, image_sha="1"), replace(SHOWN, request="Segment the \ud800.")]
    firsts = [row_generator(0, each).random() for each in others] + [row_generator(1, SHOWN).random()]
    assert len(set(firsts)) == 6
    assert row_generator(0, replace(SHOWN, feedback="x")).random() == firsts[0]


def test_rows_are_marked_whose_choice_was_close_before_they_were_over():
    sampler = RowSampler([row_generator(0, SHOWN)] * 4, 0.0, (1, None), 1e-3)
    sampler(torch.tensor([[5]] * 4), torch.tensor([[1.0, 0.0], [1.0, 0.9995], [0.0, 1.0], [0.0, 1.0]]))
    sampler(
        torch.tensor([[5, 0], [5, 0], [5, 1], [5, 0]]), torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    )
    assert sampler.near_ties.tolist() == [False, True, False, True]  # the third was over


@pytest.mark.parametrize("folder", [tiny_vlm.qwen25, tiny_vlm.pointer], ids=["qwen2.5", "pointer"])
def test_sampled_replies_are_the_same_alone_and_in_any_batch(folder):
    policy = open_local(folder(), max_tokens=12, temperature=1.0)
    shown = [
        make_observation(
            f"Segment it{' please' * (seed % 5)}.", make_picture(64, 96, seed // 4), seed=seed, image_sha=str(seed // 4)
        )
        for seed in range(16)
    ]
    alone = [policy.act(each).text for each in shown]
    assert len(set(alone)) > 12
    for size in (5, 16):
        batches = [shown[start : start + size] for start in range(0, 16, size)]
        assert [each.text for batch in batches for each in policy.act_many(batch)] == alone


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_close_choice_is_made_again_alone(temperature, monkeypatch):
    policy = open_local(tiny_vlm.qwen25(), max_tokens=4, temperature=temperature)
    shown = [replace(SHOWN, seed=seed) for seed in range(3)]
    calls, generate = [], policy.model.generate
    policy.model.generate = lambda **given: calls.append(len(given["input_ids"])) or generate(**given)
    monkeypatch.setitem(NEAR_TIE, torch.float32, 1e9)  # every choice is close
    policy.act_many(shown)
    assert calls == [3, 1, 1, 1]
    monkeypatch.setitem(NEAR_TIE, torch.float32, 0.0)
    policy.act_many(shown)
    assert calls == [3, 1, 1, 1, 3]


def test_another_policy_seed_draws_otherwise():
    texts = {open_local(tiny_vlm.qwen25(), max_tokens=8, temperature=1.0, seed=seed).act(SHOWN).text for seed in (0, 1)}
    assert len(texts) == 2


def test_the_random_policy_draws_from_the_run_s_seed(pixels):
    graph = build_graph(RandomPolicy(3), "disk", LoopConfig(max_steps=3))
    start = {"image": pixels, "request": "Segment it."}
    by_seed = [graph.invoke(start | {"seed": seed}) for seed in (0, 1, 0)]
    actions = [[step["action"] for step in ended["steps"]] for ended in by_seed]
    assert actions[0] == actions[2] != actions[1]
    assert [ended["run"]["seed"] for ended in by_seed] == [0, 1, 0]
    assert graph.invoke(start)["steps"][0]["action"] == actions[0][0]
    x, y = np.random.default_rng([3, 0]).random(2)  # what it drew before runs had a seed
    assert (actions[0][0]["x"], actions[0][0]["y"]) == pytest.approx((x, y), abs=1e-4)


@pytest.mark.parametrize("seed", [-1, 1.0, "1", True])
def test_a_seed_is_a_whole_number(seed, pixels):
    with pytest.raises(InputError, match=r"seed: got .*, expected a whole number from 0 up"):
        build_graph("centre", "disk").invoke({"image": pixels, "request": "Segment it.", "seed": seed})


def test_policies_tell_their_sampling_and_the_hash_of_their_weights():
    local = open_local(NANO, temperature=0.7, seed=2)
    assert local.sampling == {"temperature": 0.7, "seed": 2, "max_tokens": local.sampling["max_tokens"]}
    assert local.targets is not None
    wrapped = AbstainingPolicy(local, local.targets)
    assert (wrapped.sampling, wrapped.weights_hash) == (local.sampling, local.weights_hash)
    digest = hashlib.sha256((NANO / "model.safetensors").read_bytes()).hexdigest()
    assert local.weights_hash == digest[:16]
    assert get_policy("random", PolicyOptions(seed=4)).sampling == {"seed": 4}
    assert ChatPolicy(FakeListChatModel(responses=["x"])).sampling is None
    for without in ("centre", "person"):
        assert getattr(get_policy(without), "weights_hash", None) is None
