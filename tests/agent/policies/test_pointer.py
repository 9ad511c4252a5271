"""The pointer model: its picture, its clicks, its cache, its rows, and what it is as a transformers model."""

import copy
import logging
from dataclasses import fields

import numpy as np
import pytest
import torch
from support import tiny_vlm
from support.fakes import positive
from torch.nn import functional
from transformers import AutoModelForImageTextToText
from transformers.modeling_outputs import CausalLMOutputWithPast

from ibisagent.agent.policies.local import open_model
from ibisagent.agent.policies.pointer.vision_encoder import coord_channels
from ibisagent.agent.prompting import Message
from ibisagent.tools.errors import InputError
from ibisagent.training.config_files import build_settings
from ibisagent.training.from_scratch import COORDINATES, PointerSizes

CACHE = next(field.name for field in fields(CausalLMOutputWithPast) if field.name in ("cache", "past_key_values"))
SIDE = 16  # places of the drawing across, a quarter of the picture's
CLICKED = "Segment it. Made: Positive Point (0.2550, 0.7550); Negative Point (0.8050, 0.1050)."


@pytest.fixture(scope="module")
def opened():
    """The tiny model, whose heat is as random as the rest."""
    model, inputs = open_model(tiny_vlm.pointer(), square_side=64, dtype=torch.float32)
    torch.nn.init.normal_(model.pointer_head.heatmap.weight, std=3.0)
    return model.eval(), inputs


def picture(seed):
    return np.random.default_rng(seed).integers(0, 256, (64, 64, 3), np.uint8)


def encoded(inputs, *texts):
    return [inputs.encode([Message("user", text, picture(seed))]) for seed, text in enumerate(texts)]


def id_of(inputs, token):
    return inputs.tokenizer.convert_tokens_to_ids(token)


def held_to_a_click(inputs, begun):
    """Allow the words of a positive click alone, after ``begun`` tokens of prompt; its coordinates are free."""
    words = inputs.reply_ids("<action>Positive Point (0.0050, 0.0050)</action>")
    free = range(id_of(inputs, "0.00"), id_of(inputs, "0.99") + 1)

    def allowed(_row, ids):
        word = words[min(len(ids) - begun, len(words) - 1)]
        return list(free) if word in free else [word]

    return allowed


def test_it_puts_the_processors_patches_together_again(opened):
    model, inputs = opened
    shown = torch.from_numpy(np.concatenate([inputs.patchify(picture(seed))[0] for seed in (0, 1)]))
    whole = model.visual._unpatchify(shown) * 0.25 + 0.5
    for seed in (0, 1):
        np.testing.assert_allclose(whole[seed].permute(1, 2, 0) * 255, picture(seed), atol=0.01)


def test_ramps_rise_to_the_right_and_downwards():
    down, right = coord_channels(torch.zeros(1, 3, 2, 3))[0]
    assert down.tolist() == [[-1.0] * 3, [1.0] * 3]
    assert right.tolist() == [[-1.0, 0.0, 1.0]] * 2


def test_clicks_of_the_prompt_are_seen_where_they_are(opened):
    model, inputs = opened
    ids = torch.tensor([encoded(inputs, CLICKED)[0].ids])
    named = model._find_clicks(ids, torch.nonzero(ids == model.config.turn_token_id), None)
    assert named.tolist() == [[0, 0, 75, 25], [0, 1, 10, 80]]
    spots = model._draw_clicks(named, 1, SIDE, 0.05)[0]
    assert [divmod(int(spot.argmax()), SIDE) for spot in spots] == [(12, 4), (1, 12)]
    nothing = torch.tensor([encoded(inputs, "Segment 0.25 of it.")[0].ids])
    assert not len(model._find_clicks(nothing, torch.nonzero(nothing == model.config.turn_token_id), None))


def test_a_click_that_was_made_is_not_made_again(opened, monkeypatch):
    model, inputs = opened
    heat = torch.zeros(1, 2, 100, 100)
    heat[0, :, 75, 25] = 5.0
    drawer = model.pointer_head.forward
    monkeypatch.setattr(model.pointer_head, "forward", lambda *given: drawer(*given)._replace(click_logprobs=heat))
    with torch.inference_mode():
        drawn = [
            model(**inputs.batch(encoded(inputs, text))).pointer_state.maps.click_logprobs[0]
            for text in ("Segment it.", CLICKED)
        ]
    best = [[divmod(int(each.argmax()), 100) == (75, 25) for each in signs] for signs in drawn]
    assert best == [[True, True], [False, True]]


def test_a_click_is_read_off_the_drawing(opened, monkeypatch):
    """With all probability in one place, x is that place's, and y the one at the x that was written."""
    model, inputs = opened
    heat = torch.full((1, 2, 100, 100), -1e3)
    heat[0, 0, 30, 80], heat[0, 0, 60, 20], heat[0, 1, 10, 50] = 0.0, -1.0, 0.0
    drawer = model.pointer_head.forward
    monkeypatch.setattr(model.pointer_head, "forward", lambda *given: drawer(*given)._replace(click_logprobs=heat))
    batch = inputs.batch(encoded(inputs, "Segment it."))
    first = id_of(inputs, COORDINATES[0])

    def read(written):
        ids = torch.cat([batch["input_ids"], torch.tensor([inputs.tokenizer(written)["input_ids"]])], dim=1)
        logits = model(ids, pixel_values=batch["pixel_values"]).logits[0, -1]
        return int(logits[first : first + 100].argmax())

    assert read("<think>Here.</think>\n<action>Positive Point (") == 80
    assert read("<action>Negative Point (") == 50
    assert read("<action>Positive Point (0.8050, ") == 30
    assert read("<action>Positive Point (0.2050, ") == 60


def test_written_with_a_cache_it_says_the_same(opened):
    model, inputs = opened
    batch = inputs.batch(encoded(inputs, "Segment it.", CLICKED))
    with torch.inference_mode():
        out = model.generate(**batch, max_new_tokens=24, do_sample=False)
        ids, real = batch["input_ids"], batch["attention_mask"]
        for _ in range(out.shape[1] - ids.shape[1]):
            positions = (real.cumsum(dim=1) - 1).clamp(min=0)
            logits = model(ids, real, positions, pixel_values=batch["pixel_values"]).logits[:, -1]
            ids = torch.cat([ids, logits.argmax(dim=1, keepdim=True)], dim=1)
            real = torch.cat([real, torch.ones_like(real[:, :1])], dim=1)
    ended = (out == inputs.tokenizer.eos_token_id).cumsum(dim=1) > 0
    assert torch.equal(out[~ended], ids[~ended])


def test_a_forced_click_written_with_a_cache_is_the_drawings(opened, monkeypatch):
    """The language model is held to the words of a click; its coordinates come from the drawing through the cache."""
    model, inputs = opened
    heat = torch.full((2, 2, 100, 100), -1e4)
    heat[0, 0, 30, 80], heat[1, 0, 60, 20] = 0.0, 0.0
    drawer = model.pointer_head.forward
    monkeypatch.setattr(model.pointer_head, "forward", lambda *given: drawer(*given)._replace(click_logprobs=heat))
    batch = inputs.batch(encoded(inputs, "A.", CLICKED))
    begun = batch["input_ids"].shape[1]
    held = held_to_a_click(inputs, begun)
    out = model.generate(**batch, max_new_tokens=20, do_sample=False, prefix_allowed_tokens_fn=held)
    said = [inputs.tokenizer.decode(row[begun:], skip_special_tokens=True) for row in out]
    assert said == [
        "<action>Positive Point (0.8050, 0.3050)</action>",
        "<action>Positive Point (0.2050, 0.6050)</action>",
    ]


def test_prompts_of_several_lengths_are_answered_as_each_alone(opened):
    model, inputs = opened
    several = encoded(inputs, "Segment it.", CLICKED, "Segment the very small liver lesion, please.")
    with torch.inference_mode():
        together = model(**{**inputs.batch(several), "logits_to_keep": 1}).logits[:, 0]
        alone = [model(**inputs.batch([each]), logits_to_keep=1).logits[0, 0] for each in several]
    torch.testing.assert_close(together, torch.stack(alone), atol=1e-4, rtol=0)


def test_a_reply_is_drawn_on_the_last_picture_before_it(opened):
    model, inputs = opened
    first, last = (Message("user", "Segment it.", picture(seed)) for seed in (0, 1))
    with torch.inference_mode():
        both = inputs.batch([inputs.encode([first, Message("assistant", positive(0.2, 0.3)), last])])
        drawing = model(**both).pointer_state.maps
        expected = model.visual(inputs.batch([inputs.encode([last])])["pixel_values"])[0]
        seen = model._image_of_turn(
            both["input_ids"] == inputs.image_token_id, torch.nonzero(both["input_ids"] == id_of(inputs, "assistant\n"))
        )
    assert seen.tolist() == [0, 1]
    assert drawing.target_logits.shape == (2, SIDE, SIDE)
    torch.testing.assert_close(model.visual(both["pixel_values"])[0][1], expected[0], atol=1e-5, rtol=0)


def test_a_row_without_a_picture_is_refused(opened):
    model, inputs = opened
    ids = torch.tensor([inputs.encode([Message("user", "Segment it.")]).ids])
    with pytest.raises(ValueError, match="got no picture, expected one before each reply"):
        model(ids)
    shown = torch.from_numpy(inputs.patchify(picture(0))[0])
    with pytest.raises(ValueError, match="got 0 picture tokens and 1 pictures, expected 4 tokens for each"):
        model(ids, pixel_values=shown)
    behind = torch.cat([ids, torch.full((1, 4), inputs.image_token_id)], dim=1)
    with pytest.raises(ValueError, match="without a picture before its reply"):
        model(behind, pixel_values=shown)


# The fine drawing


@pytest.fixture(scope="module")
def grafted(opened):
    """The tiny model with an untrained branch, and with one whose last layer is random, too."""
    torch.manual_seed(0)
    models = copy.deepcopy(opened[0]), copy.deepcopy(opened[0])
    for model in models:
        model.add_fine_drawing(8)
    torch.nn.init.normal_(models[1].fine_drawing.last.weight, std=3.0)
    return models


def test_untrained_it_is_the_coarse_drawing_at_twice_its_side(opened, grafted):
    model, inputs = opened
    batch = inputs.batch(encoded(inputs, "Segment it.", CLICKED))
    with torch.inference_mode():
        coarse, fine = (each.predict_target(**batch) for each in (model, grafted[0]))
    assert coarse.shape == (2, SIDE, SIDE)
    doubled = functional.interpolate(coarse[:, None], scale_factor=2.0, mode="bilinear", align_corners=False)[:, 0]
    torch.testing.assert_close(fine, doubled, atol=1e-5, rtol=0)


def test_it_changes_the_drawing_by_picture_and_request_and_nothing_else(opened, grafted):
    model, inputs = opened
    texts = ["Segment it.", "Look: Segment the liver lesion, please.", CLICKED]
    batch = inputs.batch([inputs.encode([Message("user", text, picture(0))]) for text in texts])
    with torch.inference_mode():
        before, after = (each(**batch, draw_fine=True) for each in (model, grafted[1]))
        replies = [each.generate(**batch, max_new_tokens=16, num_beams=2) for each in (model, grafted[1])]
    assert torch.equal(before.logits, after.logits)
    assert torch.equal(*replies)
    assert before.pointer_state.maps.fine_logits is None
    for name in ("target_logits", "mask_logits", "click_logprobs", "summary"):
        assert torch.equal(*(getattr(each.pointer_state.maps, name) for each in (before, after)))
    maps = after.pointer_state.maps
    doubled = functional.interpolate(maps.target_logits[:, None], scale_factor=2.0, mode="bilinear")[:, 0]
    added = maps.fine_logits - doubled
    assert added.std() > 0.1
    assert (added[0] - added[1]).abs().max() > 0.1


def test_rows_of_several_lengths_are_drawn_as_each_alone(opened, grafted):
    inputs, model = opened[1], grafted[1]
    several = encoded(inputs, "Segment it.", CLICKED)
    with torch.inference_mode():
        together = model.predict_target(**inputs.batch(several))
        alone = [model.predict_target(**inputs.batch([each]))[0] for each in several]
    torch.testing.assert_close(together, torch.stack(alone), atol=1e-4, rtol=0)


def test_saved_the_fine_drawing_is_opened_again(opened, grafted, tmp_path):
    inputs, model = opened[1], grafted[1]
    model.save_pretrained(tmp_path)
    again = AutoModelForImageTextToText.from_pretrained(tmp_path)
    batch = inputs.batch(encoded(inputs, "Segment it."))
    with torch.inference_mode():
        torch.testing.assert_close(again.predict_target(**batch), model.predict_target(**batch), atol=1e-4, rtol=1e-5)


# As a transformers model


def test_saved_it_is_opened_by_transformers_own_classes(opened, tmp_path):
    model, inputs = opened
    model.save_pretrained(tmp_path)
    again = AutoModelForImageTextToText.from_pretrained(tmp_path)
    batch = inputs.batch(encoded(inputs, "Segment it."))
    with torch.inference_mode():
        assert torch.equal(again(**batch).logits, model(**batch).logits)


def test_labels_give_the_loss_of_a_language_model(opened):
    model, inputs = opened
    batch = inputs.batch(encoded(inputs, "Segment it."))
    labels = batch["input_ids"].masked_fill(batch["input_ids"] == inputs.image_token_id, -100)
    with torch.inference_mode():
        out = model(**batch, labels=labels)
    expected = torch.nn.functional.cross_entropy(out.logits[0, :-1], labels[0, 1:])
    torch.testing.assert_close(out.loss, expected)


def test_a_side_that_does_not_divide_is_refused():
    with pytest.raises(InputError, match=r"image_size=72, expected a multiple of 16"):
        build_settings(PointerSizes, {"image_size": 72}, "from_scratch")


def test_beams_and_samples_keep_their_own_pictures_and_words():
    """Rows are repeated, and the cache is reordered at every token: the same as without a cache, and as alone."""
    model, inputs = open_model(tiny_vlm.pointer(), square_side=64, dtype=torch.float32)
    torch.manual_seed(0)
    for weight, spread in (
        (model.pointer_head.heatmap.weight, 0.1),
        (model.pointer_head.query.weight, 1.0),
        (model.embed_tokens.weight, 0.8),
    ):
        torch.nn.init.normal_(weight, std=spread)
    several = encoded(inputs, "Segment it.", CLICKED, "Segment the liver.")

    def replies(some, **changes):
        batch = inputs.batch(some)
        begun = batch["input_ids"].shape[1]
        asked = {"num_beams": 12, "num_return_sequences": 12, "do_sample": False, "max_new_tokens": 20} | changes
        out = model.generate(**batch, prefix_allowed_tokens_fn=held_to_a_click(inputs, begun), **asked)
        return [inputs.tokenizer.decode(row[begun:], skip_special_tokens=True) for row in out]

    with torch.inference_mode():
        together = replies(several)
        assert together == replies(several, use_cache=False)
        assert together == [reply for each in several for reply in replies([each])]
    assert len(set(together)) > 24


def test_a_cache_is_repeated_selected_and_cut_without_losing_what_was_drawn(opened):
    """A prompt is read once; two replies go on from it, the second after what was written is cut off again."""
    model, inputs = opened
    batch = inputs.batch(encoded(inputs, CLICKED))
    words = [inputs.reply_ids(f"<action>{text} Point (0.8050, 0.3050)</action>") for text in ("Positive", "Negative")]
    with torch.inference_mode():
        first = model(**batch, use_cache=True)
        cache = first[CACHE]
        begun = cache.get_seq_length()
        cache.batch_repeat_interleave(2)
        both = first.pointer_state._replace(
            reply_of=first.pointer_state.reply_of.repeat(2), last_tokens=first.pointer_state.last_tokens.repeat(2, 1)
        )
        together = model(torch.tensor(words), pointer_state=both, use_cache=True, **{CACHE: cache}).logits
        cache.batch_select_indices(torch.tensor([1]))
        cache.crop(begun - cache.get_seq_length())
        again = model(
            torch.tensor(words[:1]), pointer_state=first.pointer_state, use_cache=True, **{CACHE: cache}
        ).logits
        for reply, logits in zip([*words, words[0]], [*together, *again], strict=True):
            ids = torch.cat([batch["input_ids"], torch.tensor([reply])], dim=1)
            whole = model(ids, pixel_values=batch["pixel_values"]).logits[0, -len(reply) :]
            torch.testing.assert_close(logits, whole, atol=1e-4, rtol=0)
        with pytest.raises(ValueError, match="or beside a cache `pointer_state` of the output that it came with"):
            model(torch.tensor(words[:1]), **{CACHE: cache})


@pytest.mark.parametrize("name", ["cache", "past_key_values"])
def test_the_cache_is_taken_under_either_name_without_a_warning(opened, name, caplog, monkeypatch):
    model, inputs = opened
    batch = inputs.batch(encoded(inputs, "Segment it."))
    monkeypatch.setattr(logging.getLogger("transformers"), "propagate", True)
    with torch.inference_mode():
        first = model(**batch, use_cache=True)
        ids = torch.tensor([inputs.reply_ids("<think>Here.</think>")])
        out = model(ids, pointer_state=first.pointer_state, **{name: first[CACHE]})
        whole = model(torch.cat([batch["input_ids"], ids], dim=1), pixel_values=batch["pixel_values"])
        model.generate(**batch, max_new_tokens=3, do_sample=False)
    torch.testing.assert_close(out.logits, whole.logits[:, -ids.shape[1] :], atol=1e-4, rtol=0)
    assert out[CACHE] is first[CACHE]
    assert not [record.message for record in caplog.records if "deprecated" in record.message]
