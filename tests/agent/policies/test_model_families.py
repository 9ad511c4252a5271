"""Vision-language models of other families than Qwen's: through the processor in their folder, as it was published."""

import numpy as np
import pytest
import torch
from PIL import Image
from support import tiny_vlm
from support.fakes import positive
from support.observations import make_observation, make_observations, make_picture
from transformers import AutoModelForImageTextToText, AutoProcessor

from ibisagent.agent import build_graph, get_policy
from ibisagent.agent.policies.local import open_local, open_model
from ibisagent.agent.prompting import Message, load_prompts
from ibisagent.tools.errors import InputError

FOLDERS = pytest.mark.parametrize("folder", [tiny_vlm.gemma3, tiny_vlm.llava], ids=["gemma3", "llava"])
LONGEST = 12


def published(folder, conversation):
    """Reply by transformers' own parts and none of ours: the tokens, and how many there were before them."""
    processor = AutoProcessor.from_pretrained(folder)
    model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval()
    messages = []
    for said in conversation:
        # LLaVA's would cut the margins off: what it is shown is the whole, stretched.
        whole = (28, 28) if "llava" in folder.name and said.picture is not None else None
        pictures = [Image.fromarray(said.picture)] if said.picture is not None else []
        shown = [{"type": "image", "image": each.resize(whole, 3) if whole else each} for each in pictures]
        messages.append({"role": said.role, "content": [*shown, {"type": "text", "text": said.text}]})
    asked = processor.apply_chat_template(
        messages, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
    )
    out = model.generate(**asked, max_new_tokens=LONGEST, do_sample=False)
    before = asked["input_ids"].shape[1]
    return processor.tokenizer.decode(out[0, before:], skip_special_tokens=True), before


@FOLDERS
def test_replies_are_those_of_the_published_parts(folder):
    policy = open_local(folder(), max_tokens=LONGEST)
    for observation in make_observations():
        expected, before = published(folder(), load_prompts().conversation(observation))
        completion = policy.act(observation)
        assert completion.text == expected
        assert completion.usage["input_tokens"] == before


@FOLDERS
def test_several_are_answered_as_each_alone(folder):
    policy = open_local(folder(), max_tokens=LONGEST, logprobs=True)
    together, alone = policy.act_many(make_observations()), [policy.act(each) for each in make_observations()]
    assert [each.token_ids for each in together] == [each.token_ids for each in alone]
    assert len({each.text for each in alone}) > 1
    for one, other in zip(together, alone, strict=True):
        assert one.usage == other.usage
        assert np.allclose(one.logprobs, other.logprobs, atol=1e-4)


@FOLDERS
def test_the_reply_depends_on_the_picture(folder):
    policy = open_local(folder(), max_tokens=LONGEST, logprobs=True)
    one, other = (
        policy.act(make_observation("Segment it.", make_picture(60, 60, seed))).logprobs[0] for seed in (1, 2)
    )
    assert one != other


def test_any_of_a_model_s_ends_ends_a_reply():
    policy = open_local(tiny_vlm.gemma3(), max_tokens=LONGEST)
    end = policy.inputs.tokenizer.convert_tokens_to_ids("<end>")
    with torch.no_grad():  # tied to the embedding: every state now says that the turn is over
        policy.model.lm_head.weight = torch.nn.Parameter(torch.zeros_like(policy.model.lm_head.weight))
        policy.model.lm_head.bias = torch.nn.Parameter(torch.zeros(len(policy.model.lm_head.weight)))
        policy.model.lm_head.bias[end] = 9.0
    completion = policy.act(make_observation("Segment it.", make_picture(60, 60)))
    assert (completion.text, completion.finish_reason, completion.usage["output_tokens"]) == ("", "stop", 0)


@FOLDERS
def test_a_request_cannot_speak_in_control_tokens(folder):
    inputs = open_local(folder()).inputs
    words = "<image> <boi> <image_soft_token> <end> <s> <|im_end|>"
    texts = [inputs.encode([Message("user", text, make_picture(40, 40))]) for text in ("", words)]
    marks = [inputs.tokenizer.all_special_ids] * 2
    ids = [inputs.batch([text])["input_ids"][0].tolist() for text in texts]
    bare, spoken = (sum(each in known for each in found) for found, known in zip(ids, marks, strict=True))
    assert bare == spoken > 0


def test_pictures_are_shrunk_to_what_is_allowed():
    inputs = open_local(tiny_vlm.llava(), max_pixels=1000).inputs
    (shown,) = inputs.encode([Message("user", "", make_picture(100, 200))]).pictures
    assert shown.shape == (22, 44, 3)
    assert inputs.encode([Message("user", "", make_picture(20, 30))]).pictures[0].shape == (20, 30, 3)


@FOLDERS
def test_the_loop_runs_on_it(folder, pixels):
    policy = get_policy(f"hf:{folder()}?max_tokens=8")
    state = build_graph(policy, "disk").invoke({"image": pixels, "request": "Segment it."})
    assert state["stop"] == "parse_failures"  # random weights talk no sense
    assert policy.coordinates == "unit"


def test_it_cannot_be_trained_and_says_so():
    with pytest.raises(InputError, match=r"got a model of type 'gemma3', expected .* a Qwen-VL model"):
        open_model(tiny_vlm.gemma3())


def test_a_reply_of_an_earlier_turn_stays_as_it_was():
    inputs = open_local(tiny_vlm.gemma3()).inputs
    said = [
        Message("user", "", make_picture(40, 40)),
        Message("assistant", positive(0.2, 0.3)),
        Message("user", "", make_picture(40, 40)),
    ]
    assert positive(0.2, 0.3) in inputs.encode(said).text
