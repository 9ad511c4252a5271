"""Samples for fine-tuning: as the loop shows them, with loss where it belongs, alone or packed."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import ellipse
from PIL import Image
from support import scripted_local, tiny_vlm
from support.fakes import NOT_THERE, STOP, UNDO, FunctionPolicy, negative, positive, script
from support.image_fixtures import RAS, write_nifti
from torch.nn import functional

from ibisagent.agent import Click, Completion, LoopConfig, build_graph
from ibisagent.agent.policies.local import open_model
from ibisagent.agent.policies.pointer import PointerOutput, PointerState
from ibisagent.agent.policies.pointer.pointer_head import PointerMaps
from ibisagent.agent.trajectory import Trajectory, build_trajectory
from ibisagent.tools.errors import InputError
from ibisagent.training.samples import Samples
from ibisagent.training.sft.collator import Collator
from ibisagent.training.sft.config import TrainingConfig
from ibisagent.training.sft.grafting import graft_modules
from ibisagent.training.sft.trainer_factory import build_sft_config, build_trainer
from ibisagent.training.tokenized_samples import IGNORED, tokenize_sample

RUBBISH = "I would rather <|not|> say."
POINT = "<think>Here.</think>\n<action>Positive Point ({}, {})</action>"
WRONG, RIGHT, MORE = positive(0.2, 0.2), positive(0.6, 0.5), negative(0.7, 0.8)

# name: replies, settings, what a person says afterwards and whether the policy waits, what the run is given
STORIES = {
    "undone": ([WRONG, UNDO, positive(0.3, 0.3), UNDO, RIGHT, RUBBISH, MORE, STOP], {}, [], {}),
    "undone without notice": ([WRONG, UNDO, RIGHT, STOP], {"undo_notice": False}, [], {}),
    "dropped": ([UNDO, RIGHT, RUBBISH, RUBBISH, STOP], {}, [], {"initial_mask": ellipse((80, 64), (60, 50), (9, 9))}),
    "refined": ([MORE, STOP], {}, [], {"initial_mask": ellipse((80, 64), (40, 30), (20, 20))}),
    "corrected": (
        [WRONG, RIGHT, STOP, MORE, STOP],
        {},
        [("Backtrack", True), ("Backtrack", True), ("Redo", True), (negative(0.1, 0.1), False)],
        {},
    ),
    "asked again": ([WRONG, STOP, MORE, UNDO, UNDO, NOT_THERE], {}, [("Segment the rest.", False)], {}),
    "clicked before": ([MORE, STOP], {}, [], {"prompts": [Click(0.5, 0.5)]}),
    "shrunk": ([POINT.format(9, 9), POINT.format(24, 20), STOP], {"picture_side": 48, "coordinates": "pixels"}, [], {}),
    "volume": ([WRONG, RIGHT, STOP], {}, [], {"slice": "coronal:2", "window": "100,500"}),
}


@pytest.mark.parametrize(
    "folder", [tiny_vlm.qwen25, tiny_vlm.qwen3, tiny_vlm.pointer], ids=["qwen2.5", "qwen3", "pointer"]
)
@pytest.mark.parametrize("context", ["stateless", "history"])
@pytest.mark.parametrize("story", STORIES)
def test_a_sample_is_what_the_model_was_given(story, context, folder, tmp_path):
    replies, settings, said, given = STORIES[story]
    if story == "volume":
        volume = RAS.repeat(12, 0).repeat(8, 1).repeat(9, 2)
        given = {"image": {"uri": str(write_nifti(tmp_path / "scan.nii.gz", volume=volume)), **given}}
    else:
        scripted_local.draw_images(tmp_path, "scan.png")
        given = {"image": tmp_path / "scan.png", **given}
    config = LoopConfig(context=context, **settings)
    graph, result, shown = scripted_local.run_scripted_model(folder(), replies, config, said, **given)
    record = build_trajectory(graph, result, folder=tmp_path)
    record = Trajectory.from_json(record.to_json())
    inputs = scripted_local.open_inputs(folder())
    samples = Samples([scripted_local.write_records(tmp_path, record)], scripted_local.open_prompts(folder()))
    reply_start = [step.reply for step in record.steps if step.reply is not None]
    assert len(shown) == len(replies)
    shown = shown[len(shown) - len(reply_start) :]
    read = [step.action is not None for step in record.steps if step.reply is not None]
    assert read == ["would rather" not in reply for reply in reply_start]
    assert [ref.state_index for ref in samples.refs] == np.flatnonzero(read).tolist()
    for index, number in enumerate(np.flatnonzero(read)):
        sample = tokenize_sample(samples[index], inputs)
        ids, patches, grid = shown[number]
        assert sample.ids[: sample.reply_start] == sample.encoded.ids == ids
        assert sample.ids[sample.reply_start :] == inputs.reply_ids(reply_start[number])
        assert np.array_equal(sample.encoded.patches, patches)
        assert sample.encoded.grid.tolist() == grid


# Where loss lies


def taught(samples, inputs):
    """What carries loss in each sample, as text."""
    several = [tokenize_sample(samples[index], inputs) for index in range(len(samples))]
    for each in several:
        assert {a for a, b in zip(each.labels, each.ids, strict=True) if a != b} == {IGNORED}
        assert set(each.labels[: each.reply_start]) == {IGNORED}
    return [inputs.tokenizer.decode([token for token in each.labels if token != IGNORED]) for each in several]


@pytest.fixture
def mistaken(tmp_path):
    """A run with a click that was a mistake, a reply that cannot be read, an undo and a refusal; its file."""
    scripted_local.draw_images(tmp_path, "scan.png")
    said = [Completion(WRONG, model="mistake", label=RIGHT), *map(Completion, (UNDO, RUBBISH, NOT_THERE))]
    policy = FunctionPolicy(lambda observation: said[observation.step])
    graph = build_graph(policy, "disk")
    result = graph.invoke({"image": tmp_path / "scan.png", "request": "Segment it."})
    assert result["stop"] == "target_absent"
    return scripted_local.write_records(
        tmp_path, build_trajectory(graph, result, truth=np.zeros((80, 64), bool), folder=tmp_path)
    )


def test_the_action_of_a_mistake_carries_no_loss_but_its_thought_does(mistaken):
    inputs = scripted_local.open_inputs(tiny_vlm.qwen25())
    samples = Samples([mistaken], scripted_local.open_prompts(tiny_vlm.qwen25()), mistakes="mask")
    thought, _, action = WRONG.partition("<action>")
    assert "Positive" in action
    assert taught(samples, inputs) == [f"{thought}<action>", f"{UNDO}<|im_end|>", f"{NOT_THERE}<|im_end|>"]


def test_or_the_reply_of_the_expert_is_learned_in_its_place(mistaken):
    inputs = scripted_local.open_inputs(tiny_vlm.qwen25())
    samples = Samples([mistaken], scripted_local.open_prompts(tiny_vlm.qwen25()), mistakes="correct")
    assert taught(samples, inputs) == [f"{said}<|im_end|>" for said in (RIGHT, UNDO, NOT_THERE)]


MODES = ("correct", "mask")


def test_a_labelled_reply_that_cannot_be_read_is_learned_corrected_alone(tmp_path):
    scripted_local.draw_images(tmp_path, "scan.png")
    said = [Completion(RUBBISH, label=RIGHT), Completion(NOT_THERE)]
    graph = build_graph(FunctionPolicy(lambda observation: said[observation.step]), "disk")
    result = graph.invoke({"image": tmp_path / "scan.png", "request": "Segment it."})
    file = scripted_local.write_records(tmp_path, build_trajectory(graph, result, folder=tmp_path))
    prompts = scripted_local.open_prompts(tiny_vlm.qwen25())
    replies = {mode: [sample.reply for sample in Samples([file], prompts, mistakes=mode)] for mode in MODES}
    assert replies == {"correct": [RIGHT, NOT_THERE], "mask": [NOT_THERE]}


def test_control_tokens_in_a_reply_are_plain_words(tmp_path):
    scripted_local.draw_images(tmp_path, "scan.png")
    reply = RIGHT.replace("Here.", "<|image_pad|><|im_end|>")
    inputs = scripted_local.open_inputs(tiny_vlm.qwen25())
    sample = tokenize_sample(scripted_local.make_samples(tmp_path, ("scan.png", "Segment it.", reply, STOP))[0], inputs)
    assert inputs.image_token_id not in sample.labels
    assert sample.labels.count(inputs.tokenizer.eos_token_id) == 1


# What is refused


def test_files_that_hold_no_samples_are_refused_in_a_line(tmp_path):
    scripted_local.draw_images(tmp_path, "scan.png")
    prompts = scripted_local.open_prompts(tiny_vlm.qwen25())
    file = tmp_path / "t.jsonl"
    graph = build_graph(FunctionPolicy(lambda _: STOP), "disk")
    record = build_trajectory(
        graph, graph.invoke({"image": tmp_path / "scan.png", "request": "Segment."}), folder=tmp_path
    )
    for text, said in [
        ("", "got no state in 1 trajectory files"),
        ("{", "not a readable trajectory file"),
        ('{"version": 9, "steps": []}', "t.jsonl: trajectory version 9"),
    ]:
        file.write_text(text)
        with pytest.raises(InputError, match=said):
            Samples([file], prompts)
    scripted_local.write_records(tmp_path, replace(record, image=record.image | {"uri": None})).rename(file)
    with pytest.raises(InputError, match=r"t\.jsonl: got a run on an image without a file .*--root$"):
        Samples([file], prompts)
    scripted_local.write_records(tmp_path, record).rename(file)
    (tmp_path / "scan.png").unlink()
    with pytest.raises(InputError, match=r"t\.jsonl: scan\.png: got no such image in a folder .*--root$"):
        Samples([file], prompts)


def test_images_outside_the_trajectories_folder_are_taken_below_a_root_alone(tmp_path):
    folders = data, records = tmp_path / "data", tmp_path / "records"
    for folder in folders:
        folder.mkdir()
    scripted_local.draw_images(data, "scan.png")
    graph = build_graph(script(RIGHT, STOP), "disk")
    result = graph.invoke({"image": data / "scan.png", "request": "Segment."})
    file = scripted_local.write_records(records, build_trajectory(graph, result, folder=records))
    prompts = scripted_local.open_prompts(tiny_vlm.qwen25())
    with pytest.raises(InputError, match=r"jsonl: scan\.png: got no such image in a folder that may be read"):
        Samples([file], prompts)
    assert [sample.reply for sample in Samples([file], prompts, roots=[data])] == [RIGHT, STOP]


def test_runs_that_show_all_turns_are_not_packed(tmp_path):
    scripted_local.draw_images(tmp_path, "scan.png")
    config = LoopConfig(context="history")
    graph, result, _ = scripted_local.run_scripted_model(
        tiny_vlm.qwen25(), [RIGHT, STOP], config, image=tmp_path / "scan.png"
    )
    file = scripted_local.write_records(tmp_path, build_trajectory(graph, result, folder=tmp_path))
    samples = Samples([file], scripted_local.open_prompts(tiny_vlm.qwen25()))
    assert samples.groups(1) == [[0], [1]]
    with pytest.raises(InputError, match="'history' with 'pack'"):
        samples.groups(2)


# Packed rows


class Bench:
    """A tiny model, and two pictures with several requests each, of which four samples share a picture."""

    def __init__(self, tmp_path, folder):
        scripted_local.draw_images(tmp_path, "a.png", "b.png")
        stories = [
            ("a.png", "Segment it.", RIGHT, STOP),
            ("a.png", "Segment the very large liver, please.", WRONG, UNDO, RIGHT, STOP),
            ("b.png", "Segment it.", RIGHT, MORE, STOP),
            ("a.png", "Segment nothing.", NOT_THERE),
        ]
        self.samples = scripted_local.make_samples(
            tmp_path, *stories, model=folder, truth=ellipse((80, 64), (40, 30), (20, 20))
        )
        self.model, self.inputs = open_model(folder, square_side=64, dtype=torch.float32)
        self.out = tmp_path / "out"

    def trainer(self, pack):
        loss = {"coordinates": 1.0, "coordinate_sigma": 0.0, "mask": 0.0}
        plan = TrainingConfig(pack=pack, loss=loss)
        return build_trainer(plan, self.model, self.inputs, self.samples, build_sft_config(plan, self.out))

    def alone(self, index):
        """Each learned token's negative log-likelihood in a sample by itself, by transformers alone."""
        batch = Collator(self.samples, self.inputs, [[index]])([{"group": 0}])
        labels = batch.pop("labels")[0, 1:]
        with torch.no_grad():
            logits = self.model(**batch).logits[0, :-1]
        return functional.cross_entropy(logits[labels != IGNORED], labels[labels != IGNORED], reduction="none")


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path, tiny_vlm.qwen25())


def test_samples_of_one_picture_share_a_row(bench):
    assert sorted(map(sorted, bench.samples.groups(4))) == [[0, 2, 4, 9], [1, 5], [3], [6], [7, 8]]
    assert sorted(map(len, bench.samples.groups(3))) == [1, 1, 1, 2, 2, 3]
    assert bench.samples.groups(3) == bench.samples.groups(3)


@pytest.mark.slow
@pytest.mark.parametrize("folder", [tiny_vlm.qwen25, tiny_vlm.pointer], ids=["qwen", "pointer"])
def test_a_packed_row_has_the_loss_of_its_samples_alone(folder, tmp_path):
    bench = Bench(tmp_path, folder())
    trainer = bench.trainer(pack=5)
    groups = bench.samples.groups(5)
    assert max(map(len, groups)) > 2
    for number, group in enumerate(groups):
        batch = trainer.data_collator([{"group": number}])
        with torch.no_grad():
            loss = trainer.compute_loss(bench.model, batch)
        expected = torch.cat([bench.alone(index) for index in group]).mean()
        torch.testing.assert_close(loss, expected, atol=1e-5, rtol=0)
    batch = trainer.data_collator([{"group": number} for number in range(len(groups))])
    with torch.no_grad():
        loss = trainer.compute_loss(bench.model, batch)
    expected = torch.cat([bench.alone(index) for index in range(len(bench.samples))]).mean()
    torch.testing.assert_close(loss, expected, atol=1e-5, rtol=0)


def test_a_packed_row_has_the_positions_of_its_samples_alone(bench):
    groups = bench.samples.groups(5)
    batch = bench.trainer(pack=5).data_collator([{"group": number} for number in range(len(groups))])
    for row, group in enumerate(groups):
        for number, index in enumerate(group, 1):
            own = (batch["segments"][row] == 0) | (batch["segments"][row] == number)
            each = tokenize_sample(bench.samples[index], bench.inputs)
            assert batch["input_ids"][row, own].tolist() == each.ids
            kept = [label for label in each.labels if label != IGNORED]
            labels = batch["labels"][row, batch["segments"][row] == number]
            assert labels[labels != IGNORED].tolist() == kept
            ids = torch.tensor([each.ids])
            kinds, grid = (ids == bench.inputs.image_token_id).int(), torch.from_numpy(each.encoded.grid)
            expected = bench.model.model.get_rope_index(ids, kinds, image_grid_thw=grid)[0][:, 0]
            assert torch.equal(batch["position_ids"][:, row, own], expected)


def test_a_reply_is_guided_to_the_picture_tokens_on_what_is_missed(bench):
    groups = bench.samples.groups(5)
    batch = bench.trainer(pack=5).data_collator([{"group": 0}])
    sample = bench.samples[groups[0][0]]
    click_region = Image.fromarray(sample.click_region.astype(np.float32)).resize((4, 4), Image.Resampling.BOX)
    share = np.asarray(click_region, np.float32).ravel()
    assert torch.allclose(batch["regions"][0], torch.from_numpy(share / share.sum()))
    reply_start = (batch["segments"][0] == 1) & (batch["labels"][0] != IGNORED)
    assert set(batch["region_index"][0, reply_start].tolist()) == {0}


def test_refusals_weigh_as_the_plan_says(tmp_path):
    scripted_local.draw_images(tmp_path, "a.png")
    samples = scripted_local.make_samples(tmp_path, ("a.png", "Segment it.", NOT_THERE), truth=np.zeros((80, 64), bool))
    model, inputs = open_model(tiny_vlm.qwen25(), square_side=64, dtype=torch.float32)
    assert [sample.is_refusal for sample in samples] == [True]

    def loss(weight):
        plan = TrainingConfig(pack=1, loss={"refusals": weight})
        trainer = build_trainer(plan, model, inputs, samples, build_sft_config(plan, tmp_path / "out"))
        with torch.no_grad():
            return trainer.compute_loss(model, trainer.data_collator([{"group": 0}]))

    torch.testing.assert_close(loss(0.25), loss(1.0) / 4)


def test_a_stop_or_a_click_is_no_refusal(bench):
    assert not any(sample.is_refusal for sample in bench.samples)


def test_a_pointer_learns_to_draw_target_and_mask(tmp_path):
    """A drawing that is the truth costs next to nothing, and the collator gives it target and mask the right way up."""
    bench = Bench(tmp_path, tiny_vlm.pointer())
    plan = TrainingConfig(pack=5, loss={"mask": 1.0})
    trainer = build_trainer(plan, bench.model, bench.inputs, bench.samples, build_sft_config(plan, bench.out))
    group = bench.samples.groups(5)[0]
    batch = trainer.data_collator([{"group": 0}])
    for index, (truth, mask) in zip(group, batch["masks"], strict=True):
        for whole, part in ((bench.samples[index].truth, truth), (bench.samples[index].mask, mask)):
            small = np.asarray(Image.fromarray(whole.astype(np.float32)).resize((16, 16), Image.Resampling.BOX))
            assert np.array_equal(part.numpy(), small)
    targets, masks = batch["masks"].unbind(dim=1)

    def cost(target, mask):
        drawing = PointerMaps(target * 40 - 20, mask * 40 - 20, None, None)
        return trainer._auxiliary_loss(
            None, PointerOutput(pointer_state=PointerState(drawing, None, None)), batch, None, None
        )

    sharp = batch["masks"] > 0.5
    batch["masks"] = sharp.float()
    targets, masks = batch["masks"].unbind(dim=1)
    assert cost(targets, masks) < 0.01
    assert cost(masks, targets) > 1


def test_a_fine_drawing_is_compared_with_the_truth_at_its_own_resolution(tmp_path):
    """A stripe as wide as one fine place is drawn by the fine map alone; the coarse one learns its share of a place."""
    bench = Bench(tmp_path, tiny_vlm.pointer())
    graft_modules(bench.model, {"fine_channels": 4}, seed=0)
    bench.model.train()
    plan = TrainingConfig(pack=5)
    trainer = build_trainer(plan, bench.model, bench.inputs, bench.samples, build_sft_config(plan, bench.out))
    batch = trainer.data_collator([{"group": 0}])
    assert batch["masks"].shape[2:] == (32, 32)
    count = len(batch["masks"])
    batch["masks"] = torch.zeros(count, 2, 32, 32)
    batch["masks"][:, 0, 8:24, 11] = 1.0
    stripe, halves = batch["masks"][:, 0], torch.zeros(count, 16, 16)
    halves[:, 4:12, 5] = 20.0  # of which half is covered: a logit of 0
    nothing = torch.full((count, 16, 16), -20.0)

    def cost(coarse, fine):
        drawing = PointerMaps(coarse, nothing, None, None, fine)
        trainer._metrics["train"].clear()
        given = PointerOutput(pointer_state=PointerState(drawing, None, None))
        return trainer._auxiliary_loss(None, given, batch, None, None), list(trainer._metrics["train"]["mask_iou"])

    (exact, overlap), (missed, none) = (cost(halves - 20, fine) for fine in (stripe * 40 - 20, stripe * 0 - 20))
    assert (overlap, none) == ([1.0], [0.0])
    assert missed - exact > 1
    assert cost(nothing, stripe * 40 - 20)[0] - exact > 0.3  # the coarse map is still compared


# Pictures


@pytest.mark.slow
@pytest.mark.parametrize("pack", [0, 5])
def test_each_sample_s_own_picture_reaches_its_loss_and_no_other(pack, bench):
    trainer = bench.trainer(pack)
    groups = bench.samples.groups(max(pack, 1))
    batch = trainer.data_collator([{"group": number} for number in range(len(groups))])
    patches = len(batch["pixel_values"]) // len(groups)

    def losses(shown):
        only = []
        for row in range(len(groups)):
            labels = torch.full_like(batch["labels"], IGNORED)
            labels[row] = batch["labels"][row]
            with torch.no_grad():
                given = dict(batch) | {"labels": labels, "pixel_values": shown}
                only.append(trainer.compute_loss(bench.model, given).item())
        return np.array(only)

    before = losses(batch["pixel_values"])
    for row in range(len(groups)):
        changed = batch["pixel_values"].clone()
        changed[row * patches : (row + 1) * patches] *= -1
        assert (np.abs(losses(changed) - before) > 1e-4).tolist() == [other == row for other in range(len(groups))]


@pytest.mark.parametrize("pack", [0, 5])
def test_pictures_that_do_not_fit_the_tokens_raise(pack, bench):
    trainer = bench.trainer(pack)
    batch = trainer.data_collator([{"group": 0}, {"group": 1}])
    half = len(batch["pixel_values"]) // 2
    short = batch | {"pixel_values": batch["pixel_values"][:half], "image_grid_thw": batch["image_grid_thw"][:1]}
    with pytest.raises(ValueError, match="mage features and image tokens do not match"):
        trainer.compute_loss(bench.model, short)
