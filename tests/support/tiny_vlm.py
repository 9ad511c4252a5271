"""Tiny random vision-language models, Qwen-VL and ours, in folders laid out as the published ones."""

import atexit
import json
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoTokenizer,
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    Gemma3ImageProcessorPil,
    Gemma3Processor,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
)
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.utils.logging import disable_progress_bar

from ibisagent.training.from_scratch import CHAT_TEMPLATE, PointerSizes, QwenSizes, write_untrained_model

torch.set_num_threads(1)
disable_progress_bar()  # type: ignore[no-untyped-call]

PROFILE = """
square_side = 64
max_tokens = 12
system = ""
first = "Look: $request"
refine = "$request $count made, last $last."
question = "$request"
undone = "Undone: $undone."
feedback = ""
[actions]
point = "point"
box = "box"
backtrack = "backtrack"
terminate = "terminate"
[coordinates]
unit = "unit"
thousand = "thousand"
thousand_yx = "thousand_yx"
pixels = "pixels"
"""


PUBLISHED = {"shortest_edge": 56 * 56, "longest_edge": 16384 * 28 * 28}
"""The pixels that Qwen2.5-VL's processor lets a picture have."""

TEXTS = ["Look: Segment the liver lesion, please. Nothing is marked yet."] * 2


@cache
def _folder() -> Path:
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder)
    return folder


@cache
def pointer() -> Path:
    """Write a pointer model with a profile, which stretches pictures to 64 x 64: 4 tokens each."""
    profile, folder = _folder() / "profile.toml", _folder() / "pointer"
    profile.write_text(PROFILE.replace("last $last", "clicks $clicks"))
    sizes: dict[str, Any] = {"hidden_size": 48, "num_hidden_layers": 2, "num_reader_layers": 1, "intermediate_size": 64}
    sizes |= {"num_attention_heads": 2, "num_key_value_heads": 1}
    vision: dict[str, Any] = {"widths": (8, 16, 16, 32), "depths": (1, 1, 1), "feature_channels": 16, "num_maps": 4}
    write_untrained_model(
        PointerSizes(image_size=64, initializer_range=0.2, **sizes, **vision), TEXTS, profile, folder, seed=1
    )
    return folder


@cache
def qwen25_published() -> Path:
    """Write a Qwen2.5-VL without a profile, with the patches and the processor that the family is published with."""
    profile, folder = _folder() / "profile.toml", _folder() / "Qwen2.5-VL"
    profile.write_text(PROFILE)
    sizes: dict[str, Any] = {"hidden_size": 48, "num_hidden_layers": 2, "intermediate_size": 64}
    sizes |= {"num_attention_heads": 2, "num_key_value_heads": 1}
    vision = {"vision_hidden_size": 32, "vision_depth": 1, "vision_num_heads": 2, "vision_intermediate_size": 48}
    write_untrained_model(
        QwenSizes(image_size=112, patch_size=14, initializer_range=0.3, **sizes, **vision),
        TEXTS,
        profile,
        folder,
        seed=1,
    )
    Qwen2VLImageProcessorPil(size=PUBLISHED).save_pretrained(folder)
    (folder / "ibisagent.toml").unlink()
    return folder


@cache
def qwen25() -> Path:
    """Write a Qwen2.5-VL with a profile, which stretches pictures to 64 x 64: 16 tokens each."""
    profile, folder = _folder() / "profile.toml", _folder() / "qwen25"
    profile.write_text(PROFILE)
    sizes: dict[str, Any] = {"hidden_size": 48, "num_hidden_layers": 2, "intermediate_size": 64}
    sizes |= {"num_attention_heads": 2, "num_key_value_heads": 1}
    vision = {"vision_hidden_size": 32, "vision_depth": 2, "vision_num_heads": 2, "vision_intermediate_size": 48}
    write_untrained_model(
        QwenSizes(image_size=64, initializer_range=0.3, **sizes, **vision), TEXTS, profile, folder, seed=1
    )
    return folder


@cache
def qwen3() -> Path:
    """Write a Qwen3-VL without a profile: patches of 16 pixels, pictures of 4,096 to 16,384 pixels as they are."""
    folder = _folder() / "qwen3"
    tokenizer = AutoTokenizer.from_pretrained(qwen25())
    tokenizer.chat_template = CHAT_TEMPLATE
    ids = dict(zip(("image", "video", "start", "end"), _control_token_ids(tokenizer), strict=True))
    torch.manual_seed(2)
    config = Qwen3VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": 48,
            "intermediate_size": 64,
            "num_hidden_layers": 3,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "head_dim": 24,
            "initializer_range": 0.3,
            "rope_parameters": {"rope_type": "default", "rope_theta": 100.0, "mrope_section": [4, 4, 4]},
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
        },
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_heads": 2,
            "out_hidden_size": 48,
            "patch_size": 16,
            "num_position_embeddings": 64,
            "deepstack_visual_indexes": [0, 1],
            "initializer_range": 0.3,
        },
        image_token_id=ids["image"],
        video_token_id=ids["video"],
        vision_start_token_id=ids["start"],
        vision_end_token_id=ids["end"],
        tie_word_embeddings=True,
    )
    model: Any = Qwen3VLForConditionalGeneration(config)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    size = {"shortest_edge": 4096, "longest_edge": 16384}
    pictures = Qwen2VLImageProcessorPil(
        patch_size=16, merge_size=2, size=size, image_mean=[0.5] * 3, image_std=[0.5] * 3
    )
    for part in (model, tokenizer, pictures):
        part.save_pretrained(folder)
    return folder


_MESSAGES = (
    "{{ bos_token }}{% for each in messages %}<turn>{{ each['role'] }}\n{% for part in each['content'] %}"
    "{% if part['type'] == 'image' %}MARK{% else %}{{ part['text'] }}{% endif %}{% endfor %}<end>\n{% endfor %}"
    "{% if add_generation_prompt %}<turn>model\n{% endif %}"
)


def _make_tokenizer(*marks: str) -> Any:
    """Return a byte tokenizer with the special tokens ``marks``, and its own begin and end tokens."""
    tokenizer = AutoTokenizer.from_pretrained(qwen25())
    tokenizer.add_special_tokens({"bos_token": "<s>", "additional_special_tokens": [*marks, "<end>"]})
    return tokenizer


@cache
def gemma3() -> Path:
    """Write a Gemma 3, as MedGemma is one: pictures of 56 x 56 make 4 tokens each; a reply ends with <end>."""
    folder, names = _folder() / "gemma3", {"image": "<image_soft_token>", "boi": "<boi>", "eoi": "<eoi>"}
    tokenizer = _make_tokenizer(*names.values())
    ids = {name: tokenizer.convert_tokens_to_ids(mark) for name, mark in names.items()}
    for name, mark in names.items():
        tokenizer.init_kwargs[f"{name}_token"] = mark
    tokenizer.save_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    pictures = Gemma3ImageProcessorPil(size={"height": 56, "width": 56})
    template = _MESSAGES.replace("MARK", names["boi"])
    Gemma3Processor(pictures, tokenizer, chat_template=template, image_seq_length=4).save_pretrained(folder)
    text = {"vocab_size": len(tokenizer), "hidden_size": 48, "intermediate_size": 64, "num_hidden_layers": 2}
    text |= {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 24, "query_pre_attn_scalar": 24}
    vision = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    torch.manual_seed(3)
    model: Any = Gemma3ForConditionalGeneration(
        Gemma3Config(
            text_config=text | {"initializer_range": 0.3, "sliding_window": 64},
            vision_config=vision | {"image_size": 56, "patch_size": 14},
            mm_tokens_per_image=4,
            tie_word_embeddings=False,
            image_token_index=ids["image"],
            boi_token_index=ids["boi"],
            eoi_token_index=ids["eoi"],
        )
    )
    torch.nn.init.normal_(model.model.multi_modal_projector.mm_input_projection_weight)  # zeros in a new one
    ends = [tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids("<end>")]
    model.generation_config.update(eos_token_id=ends, pad_token_id=tokenizer.pad_token_id)
    model.save_pretrained(folder)
    return folder


@cache
def llava() -> Path:
    """Write a LLaVA: a CLIP that sees 28 x 28 pixels as 4 tokens, before a Llama."""
    folder, mark = _folder() / "llava", "<image>"
    tokenizer = _make_tokenizer(mark)
    pictures = CLIPImageProcessorPil(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28})
    template = _MESSAGES.replace("MARK", mark)
    LlavaProcessor(  # type: ignore[no-untyped-call]
        pictures,
        tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
        chat_template=template,
        image_token=mark,
        num_additional_image_tokens=1,
    ).save_pretrained(folder)
    sizes: dict[str, Any] = {"intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    torch.manual_seed(4)
    model: Any = LlavaForConditionalGeneration(
        LlavaConfig(
            text_config=LlamaConfig(vocab_size=len(tokenizer), hidden_size=48, initializer_range=0.3, **sizes),
            vision_config=CLIPVisionConfig(hidden_size=32, image_size=28, patch_size=14, **sizes),
            image_token_index=tokenizer.convert_tokens_to_ids(mark),
        )
    )
    model.generation_config.update(eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id)
    model.save_pretrained(folder)
    return folder


def _control_token_ids(tokenizer: Any) -> list[int]:
    names = ["<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>"]
    ids: list[int] = tokenizer.convert_tokens_to_ids(names)
    return ids


def copy_with_changes(folder: Path, target: Path, file: str = "config.json", **changes: Any) -> Path:
    """Copy a model's folder with keys of one of its JSON files changed; return the copy."""
    shutil.copytree(folder, target)
    held = json.loads((target / file).read_text())
    (target / file).write_text(json.dumps(held | changes))
    return target
