"""TRL's trainer over episodes: its loss is the objective, a row sees its own picture, and the gate notices if not."""

import inspect
import re
from dataclasses import replace

import pytest
import torch
from support import tiny_vlm
from support.grpo_runs import build_small_trainer, write_tasks
from trl.trainer.grpo_trainer import GRPOTrainer

from ibisagent.agent.policies.local import NANO
from ibisagent.tools.errors import RunFailed
from ibisagent.training.grpo.episodes import EpisodeRunner
from ibisagent.training.grpo.estimator import compute_advantages
from ibisagent.training.grpo.log_prob_gate import LogProbGap, LogProbGate
from ibisagent.training.scoring import require_pictures, score_by_logits

PICTURES = ("pixel_values", "image_grid_thw", "num_images", "mm_token_type_ids")
ADAPTERS = "lora={r=2,target_modules='.*language_model.*q_proj'}"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_tasks(tmp_path_factory.mktemp("tasks") / "set", seed=9)


class Kept:
    """Runs the episodes of two present targets, of which one is dropped, so that the rows do not fill the chunks."""

    def __init__(self, runner):
        self.runner, self.policy, self.rollouts = runner, runner.policy, []

    def run(self, tasks, **drawn_by):
        rollouts = self.runner.run(tasks, **drawn_by)
        rows = sum(len(rollout.rows) for rollout in rollouts)
        gone = next((each for each in rollouts if (rows - len(each.rows)) % 2), rollouts[4])
        self.rollouts = [
            replace(each, reward=None, rows=(), dropped="x") if each is gone else each for each in rollouts
        ]
        return self.rollouts


def update_of(data, out, changes=(), **options):
    """A trainer before its first update, the chunks of that, and the rollouts that they came from."""
    trainer, config = build_small_trainer(data, out, changes, **options)
    trainer.current_gradient_accumulation_steps = config.rollouts.chunks
    trainer._runner = Kept(trainer._runner)
    trainer.model.train()
    first = trainer._prepare_inputs([{"task": task} for task in (0, 0, 0, 1, 1, 1)])
    return trainer, [first, *trainer._buffered_inputs[1:]], trainer._runner.rollouts


def scores_of(trainer, row):
    """The log-probabilities of a turn's sampled tokens, alone and without padding."""
    ids = torch.tensor([[*row.prompt_ids, *row.completion_ids]])
    seen = {"pixel_values": torch.from_numpy(row.patches)}
    return score_by_logits(trainer.model, ids, torch.ones_like(ids), len(row.completion_ids), 1.0, **seen)[0][0]


def gradient(trainer):
    found = torch.cat([p.grad.flatten() for p in trainer.model.parameters() if p.grad is not None]).clone()
    trainer.model.zero_grad()
    return found


@pytest.mark.parametrize(
    ("estimator", "credit"),
    [("dr_grpo", "turn"), *(pytest.param(name, "path", marks=pytest.mark.slow) for name in ("dr_grpo", "paper"))],
)
def test_trl_s_loss_over_chunks_of_rows_is_the_objective_over_paths(data, tmp_path, estimator, credit):
    changes = [f'estimator="{estimator}"', f'credit="{credit}"', "freeze=[]"]
    trainer, chunks, rollouts = update_of(data, tmp_path, changes)
    assert [chunk["completion_mask"].any(dim=1).all() for chunk in chunks].count(False) == 1  # a row of padding
    loss = 0.0
    for chunk in chunks:
        part = trainer._compute_loss(trainer.model, chunk)
        part.backward()
        loss += part.item()
    got = gradient(trainer)
    objective = torch.tensor(0.0)
    for start in (0, 3):
        group = rollouts[start : start + 3]
        for rollout, own in zip(
            group, compute_advantages([each.path for each in group], estimator, credit), strict=True
        ):
            length = 40 if estimator == "dr_grpo" else sum(len(row.completion_ids) for row in rollout.rows)
            for row, advantage in zip(rollout.rows, own, strict=True):
                logps = scores_of(trainer, row)
                objective = objective + (torch.exp(logps - logps.detach()) * advantage).sum() / length / 5
    (-objective).backward()
    expected = gradient(trainer)
    assert expected.norm() > 1e-4
    assert loss == pytest.approx(-objective.item(), abs=1e-6)
    assert (got - expected).norm() < 1e-3 * expected.norm()


@pytest.mark.parametrize("folder", [NANO, tiny_vlm.qwen25()], ids=["pointer", "qwen"])
def test_a_turn_sees_its_own_pixels_and_no_others(data, tmp_path, folder):
    trainer, chunks, _ = update_of(data, tmp_path, ["freeze=[]"], model_folder=folder)
    chunk = max(chunks, key=lambda each: len(each["prompt_ids"]))
    chunk["pixel_values"].requires_grad_(True)
    logps, _, _ = trainer._get_per_token_logps_and_entropies(
        trainer.model,
        torch.cat([chunk["prompt_ids"], chunk["completion_ids"]], dim=1),
        torch.cat([chunk["prompt_mask"], chunk["completion_mask"]], dim=1),
        chunk["completion_ids"].shape[1],
        **{name: chunk[name] for name in PICTURES if name in chunk},
    )
    rows = len(chunk["prompt_ids"])
    assert rows > 1
    for number, each in enumerate((logps * chunk["completion_mask"]).sum(dim=1)):
        if not chunk["completion_mask"][number].any():
            continue
        (found,) = torch.autograd.grad(each, chunk["pixel_values"], retain_graph=True)
        largest = found.unflatten(0, (rows, -1)).abs().amax(dim=(1, 2))
        assert largest[number] > 1e-4
        assert largest.count_nonzero() == 1


def test_the_gate_is_open_for_what_was_seen_and_closed_for_anything_else(data, tmp_path):
    trainer, chunks, rollouts = update_of(data, tmp_path)
    for chunk in chunks:
        trainer._compute_loss(trainer.model, chunk)
    assert max(trainer._metrics["train"]["logp_gap_max"]) < 1e-4
    chunk, rows = chunks[0], len(chunks[0]["prompt_ids"])
    seen = chunk["pixel_values"]
    other = next(row for rollout in rollouts for row in rollout.rows[::-1] if rollout.task != rollouts[0].task)
    for wrong in (torch.from_numpy(other.patches).repeat(rows, 1), torch.zeros_like(seen)):
        assert wrong.shape == seen.shape
        with pytest.raises(RunFailed, match=r"^update 0, reply '.*': got log-probabilities that differ from") as caught:
            trainer._compute_loss(trainer.model, chunk | {"pixel_values": wrong})
        assert "\n" not in str(caught.value)
    fewer = {"pixel_values": seen[len(seen) // rows :], "image_grid_thw": chunk["image_grid_thw"][1:]}
    with pytest.raises(RuntimeError, match=r"picture tokens and \d+ picture features"):
        trainer._compute_loss(trainer.model, chunk | fewer)
    trainer._gate = LogProbGate(0, 0)
    trainer._compute_loss(trainer.model, chunk | {"pixel_values": torch.zeros_like(seen)})


@pytest.mark.parametrize(
    ("folder", "own"),
    [(NANO, []), (tiny_vlm.qwen25(), []), (tiny_vlm.qwen25(), [ADAPTERS])],
    ids=["pointer", "qwen", "qwen-lora"],
)
def test_with_all_turns_shown_a_row_has_all_pictures_so_far(data, tmp_path, folder, own):
    trainer, chunks, rollouts = update_of(data, tmp_path, ["rollouts.context='history'", *own], model_folder=folder)
    longest = max(rollouts, key=lambda rollout: len(rollout.rows))
    assert [len(row.grid) for row in longest.rows] == list(range(1, len(longest.rows) + 1))
    assert len(longest.rows) > 1
    for chunk in chunks:
        trainer._compute_loss(trainer.model, chunk)
    assert max(trainer._metrics["train"]["logp_gap_max"]) < 1e-4


def test_the_gate_s_bounds():
    trained, sampled = torch.tensor([[0.0, -1.0], [-2.0, -3.0]]), torch.tensor([[0.0, -1.0], [-2.5, -9.0]])
    gap = LogProbGap.of(trained, sampled, torch.tensor([[1, 1], [1, 0]]))
    assert gap == LogProbGap(0.5, pytest.approx(0.5 / 3), 1)
    assert LogProbGate(0.6, 0.2).why_closed(gap) is None
    assert "by 0.5 (max), expected at most 0.4" in LogProbGate(0.4, 0.2).why_closed(gap)
    assert "(mean)" in LogProbGate(0, 0.1).why_closed(gap)
    assert LogProbGate(1.0, 0).why_closed(LogProbGap(float("nan"), 0.0, 0)) is not None
    with pytest.raises(RuntimeError, match="got 0 picture tokens and 0 picture features"):
        require_pictures(torch.zeros(1, 3), None, 7, 2)


@pytest.mark.parametrize("lora", [False, True])
def test_a_qwen_vl_goes_through_the_same_trainer(data, tmp_path, lora):
    """Its replies are noise, but what the trainer scores is what was sampled, positions of pictures included."""
    adapters = [ADAPTERS] if lora else []
    trainer, chunks, rollouts = update_of(data, tmp_path, adapters, model_folder=tiny_vlm.qwen25())
    assert sum(bool(rollout.rows) for rollout in rollouts) == 5
    for chunk in chunks:
        trainer._compute_loss(trainer.model, chunk).backward()
    assert max(trainer._metrics["train"]["logp_gap_max"]) < 1e-4
    blank = torch.zeros_like(chunks[0]["pixel_values"])
    with pytest.raises(RunFailed, match="log-probabilities"):
        trainer._compute_loss(trainer.model, chunks[0] | {"pixel_values": blank})
    if lora:
        trained = [name for name, each in trainer.model.named_parameters() if each.requires_grad]
        assert trained
        assert all("lora" in name for name in trained)


def test_an_update_without_any_episode_ends_the_training(data, tmp_path, monkeypatch):
    trainer, _ = build_small_trainer(data, tmp_path)
    run = EpisodeRunner._score
    monkeypatch.setattr(EpisodeRunner, "_score", lambda *args: run(args[0], args[1], "no such file", args[3]))
    with pytest.raises(RunFailed, match="update 0: every episode failed, the first with case: no such file; fix that"):
        trainer.train()


@pytest.mark.slow
def test_a_segmenter_that_fails_one_call_in_ten_costs_its_episodes_and_nothing_else(data, tmp_path):
    """They are counted and leave the means; in the run without failures the others earn the same."""
    rewards = {}
    for every in (0, 10):
        changes = ["rollouts.workers=1", "train.max_steps=2", "rollouts.tasks=3", "rollouts.chunks=3"]
        changes += [f"rollouts.segmenter='support.grpo_runs:FailingGeocut?every={every}'"] if every else []
        trainer, _ = build_small_trainer(data, tmp_path / str(every), changes)
        kept = []
        run = trainer._runner.run
        trainer._runner.run = lambda tasks, run=run, kept=kept, **drawn: kept.append(run(tasks, **drawn)) or kept[-1]
        trainer.train()
        log = [row for row in trainer.state.log_history if "dropped" in row]
        assert len(log) == 2, "it ends"
        for row, rollouts in zip(log, kept, strict=True):
            scored = [each.reward.total for each in rollouts if not each.dropped]
            assert row["dropped"] == len(rollouts) - len(scored)
            assert row["reward"] == pytest.approx(sum(scored) / len(scored))
        rewards[every] = [None if each.dropped else each.reward.total for each in kept[0]]
    assert None not in rewards[0]
    assert 0 < rewards[10].count(None) < 9
    for whole, some in zip(rewards[0], rewards[10], strict=True):
        assert some in (None, whole)


def test_trl_reads_of_a_batch_what_it_read_when_this_was_written():
    """A new release may read another key or call scoring another way; then the trainer is to be looked at again."""
    source = inspect.getsource(GRPOTrainer._compute_loss)
    ours = {"prompt_ids", "prompt_mask", "completion_ids", "completion_mask", "advantages", "num_items_in_batch"}
    ours |= {"pixel_values", "image_grid_thw", "num_images", "mm_token_type_ids", "old_per_token_logps"}
    others = {
        "pixel_attention_mask",
        "spatial_shapes",
        "num_tiles",
        "image_sizes",
        "token_type_ids",
        "image_position_ids",
    }
    unused = {"tool_mask", "importance_sampling_ratio", "ref_per_token_logps", "sampling_per_token_logps"}
    assert set(re.findall(r'inputs(?:\.get\(|\[)"(\w+)"', source)) == ours | others | unused
    scoring = list(inspect.signature(GRPOTrainer._get_per_token_logps_and_entropies).parameters)
    assert scoring[:5] == ["self", "model", "input_ids", "attention_mask", "logits_to_keep"]
    assert scoring[5:8] == ["batch_size", "compute_entropy", "compute_aux_loss"]
    assert "self._get_per_token_logps_and_entropies(" in source
