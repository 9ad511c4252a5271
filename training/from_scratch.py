"""Small untrained models with a tokenizer and a processor of their own: the pointer of nano, or a Qwen2.5-VL."""

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from ibisagent.agent.policies.local import PROFILE
from ibisagent.agent.policies.pointer import PointerConfig, PointerForConditionalGeneration

__all__ = ["COORDINATES", "KINDS", "TEMPLATE", "Fresh", "FreshPointer", "make_fresh"]

COORDINATES = tuple(f"0.{bin:02d}" for bin in range(100))
"""One token for each 0.01 of a coordinate; the two decimals after it are a token with what follows, or digits."""

_SPECIAL = (
    *("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>"),
    *("<|vision_pad|>", "<|image_pad|>", "<|video_pad|>"),
)
_GRAMMAR = (
    *("<think>", "</think>\n<action>", "</action>\n<answer>", "</action>", "</answer>"),
    *("Positive Point (", "Negative Point (", "Backtrack", "Terminate", "50, ", "50)"),
    *("user\n", "assistant\n"),
)
# The shape of Qwen's own: a picture where it is named, each turn closed, no system message unless there is one.
TEMPLATE = """\
{%- for message in messages %}
{{- '<|im_start|>' + message.role + '\\n' }}
{%- for part in message.content %}
{{- '<|vision_start|><|image_pad|><|vision_end|>' if part.type == 'image' else part.text }}
{%- endfor %}
{{- '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""


@dataclass(frozen=True, slots=True)
class FreshPointer:
    """The sizes of a pointer model (`ibisagent.agent.policies.pointer.PointerConfig`); ``vocabulary``: at most."""

    picture: int = 160
    patch: int = 8
    merge: int = 4
    hidden: int = 192
    layers: int = 4
    readers: int = 2
    heads: int = 4
    kv_heads: int = 2
    ff: int = 448
    widths: tuple[int, ...] = (24, 48, 96, 160)
    depths: tuple[int, ...] = (1, 2, 2)
    features: int = 64
    maps: int = 8
    vocabulary: int = 1200
    theta: float = 1000.0
    spread: float = 0.05

    def __post_init__(self) -> None:
        """Refuse a side that does not divide with `ValueError`."""
        if self.picture % 16 or self.picture % (self.patch * self.merge):
            step = f"16 and of patch x merge = {self.patch * self.merge}"
            raise ValueError(f"picture={self.picture!r}, expected a multiple of {step}")

    def model(self, tokenizer: PreTrainedTokenizerFast) -> PointerForConditionalGeneration:
        """Draw the weights of a model that speaks a tokenizer's words."""
        of = partial(_id_of, tokenizer)
        config = PointerConfig(
            picture=self.picture,
            patch=self.patch,
            merge=self.merge,
            widths=self.widths,
            depths=self.depths,
            features=self.features,
            maps=self.maps,
            readers=self.readers,
            image_token_id=of("<|image_pad|>"),
            turn_token_id=of("assistant\n"),
            positive_token_id=of("Positive Point ("),
            negative_token_id=of("Negative Point ("),
            first_coordinate_id=of(COORDINATES[0]),
            coordinates=len(COORDINATES),
            vocab_size=len(tokenizer),
            hidden_size=self.hidden,
            intermediate_size=self.ff,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            num_key_value_heads=self.kv_heads,
            max_position_embeddings=4096,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            initializer_range=self.spread,
            rope_parameters={"rope_type": "default", "rope_theta": self.theta},
            tie_word_embeddings=True,
        )
        return PointerForConditionalGeneration(config)


@dataclass(frozen=True, slots=True)
class Fresh:
    """The sizes of a Qwen2.5-VL; ``picture``: side in pixels of every picture, whole merged patches."""

    picture: int = 160
    patch: int = 8
    merge: int = 2
    hidden: int = 192
    layers: int = 4
    heads: int = 6
    kv_heads: int = 3
    ff: int = 448
    vision_hidden: int = 128
    vision_layers: int = 4
    vision_heads: int = 4
    vision_ff: int = 320
    vocabulary: int = 1200
    theta: float = 30.0
    vision_theta: float = 100.0
    spread: float = 0.05

    def model(self, tokenizer: PreTrainedTokenizerFast) -> Qwen2_5_VLForConditionalGeneration:
        """Draw the weights of a model that speaks a tokenizer's words."""
        return Qwen2_5_VLForConditionalGeneration(_config(self, tokenizer))


KINDS: dict[str, type[Fresh] | type[FreshPointer]] = {"pointer": FreshPointer, "qwen2_5_vl": Fresh}
"""Models that can be made, by name."""


def make_fresh(fresh: Fresh | FreshPointer, texts: Iterable[str], profile: Path, folder: Path, seed: int) -> None:
    """Write an untrained model folder: weights drawn by ``seed``, a tokenizer for ``texts``, the ``profile``."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = _tokenizer(texts, fresh.vocabulary)
    torch.manual_seed(seed)
    model: Any = fresh.model(tokenizer)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    side = fresh.picture**2
    pictures = Qwen2VLImageProcessorPil(
        patch_size=fresh.patch,
        merge_size=fresh.merge,
        size={"shortest_edge": side, "longest_edge": side},
        image_mean=[0.5] * 3,
        image_std=[0.25] * 3,
    )
    for part in (model, tokenizer, pictures):
        part.save_pretrained(folder)
    shutil.copyfile(profile, folder / PROFILE)


def _tokenizer(texts: Iterable[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """Train byte-level BPE on ``texts``: any text can be written, and the words of the task are a token each."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    core.train_from_iterator(
        texts,
        trainers.BpeTrainer(vocab_size=vocabulary, initial_alphabet=alphabet, show_progress=False, min_frequency=2),
    )
    tokenizer: PreTrainedTokenizerFast = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=core,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        extra_special_tokens=[each for each in _SPECIAL if each not in ("<|im_end|>", "<|endoftext|>")],
        padding_side="left",
        model_max_length=4096,
        clean_up_tokenization_spaces=False,
    )
    added = (*_GRAMMAR, *COORDINATES)
    tokenizer.add_tokens([AddedToken(text, special=False, normalized=False) for text in added])
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def _id_of(tokenizer: PreTrainedTokenizerFast, token: str) -> int:
    return int(tokenizer.convert_tokens_to_ids(token))  # type: ignore[arg-type]


def _config(fresh: Fresh, tokenizer: PreTrainedTokenizerFast) -> Qwen2_5_VLConfig:
    of = partial(_id_of, tokenizer)
    text: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": fresh.hidden,
        "intermediate_size": fresh.ff,
        "num_hidden_layers": fresh.layers,
        "num_attention_heads": fresh.heads,
        "num_key_value_heads": fresh.kv_heads,
        "max_position_embeddings": 4096,
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "initializer_range": fresh.spread,
        # Sections of one frequency each interleave time, height and width: three long ones would leave the width
        # the slowest frequencies alone, and left would look like right.
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": fresh.theta,
            "mrope_section": [1] * (fresh.hidden // fresh.heads // 2),
        },
    }
    vision = {
        "depth": fresh.vision_layers,
        "hidden_size": fresh.vision_hidden,
        "intermediate_size": fresh.vision_ff,
        "num_heads": fresh.vision_heads,
        "out_hidden_size": fresh.hidden,
        "fullatt_block_indexes": list(range(fresh.vision_layers)),
        "patch_size": fresh.patch,
        "spatial_merge_size": fresh.merge,
        "window_size": fresh.picture,
        "initializer_range": fresh.spread,
        "rope_parameters": {"rope_type": "axial", "rope_theta": fresh.vision_theta},
    }
    return Qwen2_5_VLConfig(
        text_config=text,
        vision_config=vision,
        tie_word_embeddings=True,
        image_token_id=of("<|image_pad|>"),
        video_token_id=of("<|video_pad|>"),
        vision_start_token_id=of("<|vision_start|>"),
        vision_end_token_id=of("<|vision_end|>"),
    )
