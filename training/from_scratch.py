"""Small untrained models with a tokenizer and a processor of their own: the pointer model of nano, or a Qwen2.5-VL."""

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

__all__ = ["CHAT_TEMPLATE", "COORDINATES", "MODEL_KINDS", "PointerSizes", "QwenSizes", "write_untrained_model"]

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
CHAT_TEMPLATE = """\
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
class PointerSizes:
    """The sizes of a pointer model (`ibisagent.agent.policies.pointer.PointerConfig`); ``vocab_size``: at most."""

    image_size: int = 160
    patch_size: int = 8
    spatial_merge_size: int = 4
    hidden_size: int = 192
    num_hidden_layers: int = 4
    num_reader_layers: int = 2
    num_attention_heads: int = 4
    num_key_value_heads: int = 2
    intermediate_size: int = 448
    widths: tuple[int, ...] = (24, 48, 96, 160)
    depths: tuple[int, ...] = (1, 2, 2)
    feature_channels: int = 64
    num_maps: int = 8
    fine_channels: int = 0
    vocab_size: int = 1200
    rope_theta: float = 1000.0
    initializer_range: float = 0.05

    def __post_init__(self) -> None:
        """Refuse a side that does not divide with `ValueError`."""
        if self.image_size % 16 or self.image_size % (self.patch_size * self.spatial_merge_size):
            step = f"16 and of patch_size x spatial_merge_size = {self.patch_size * self.spatial_merge_size}"
            raise ValueError(f"image_size={self.image_size!r}, expected a multiple of {step}")

    def build_model(self, tokenizer: PreTrainedTokenizerFast) -> PointerForConditionalGeneration:
        """Draw the weights of a model for a tokenizer's vocabulary."""
        of = partial(_token_id, tokenizer)
        config = PointerConfig(
            image_size=self.image_size,
            patch_size=self.patch_size,
            spatial_merge_size=self.spatial_merge_size,
            widths=self.widths,
            depths=self.depths,
            feature_channels=self.feature_channels,
            num_maps=self.num_maps,
            fine_channels=self.fine_channels,
            num_reader_layers=self.num_reader_layers,
            image_token_id=of("<|image_pad|>"),
            turn_token_id=of("assistant\n"),
            positive_token_id=of("Positive Point ("),
            negative_token_id=of("Negative Point ("),
            first_coordinate_token_id=of(COORDINATES[0]),
            num_coordinates=len(COORDINATES),
            vocab_size=len(tokenizer),
            hidden_size=self.hidden_size,
            intermediate_size=self.intermediate_size,
            num_hidden_layers=self.num_hidden_layers,
            num_attention_heads=self.num_attention_heads,
            num_key_value_heads=self.num_key_value_heads,
            max_position_embeddings=4096,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            initializer_range=self.initializer_range,
            rope_parameters={"rope_type": "default", "rope_theta": self.rope_theta},
            tie_word_embeddings=True,
        )
        return PointerForConditionalGeneration(config)


@dataclass(frozen=True, slots=True)
class QwenSizes:
    """The sizes of a Qwen2.5-VL; ``image_size``: side in pixels of every picture, whole merged patches."""

    image_size: int = 160
    patch_size: int = 8
    spatial_merge_size: int = 2
    hidden_size: int = 192
    num_hidden_layers: int = 4
    num_attention_heads: int = 6
    num_key_value_heads: int = 3
    intermediate_size: int = 448
    vision_hidden_size: int = 128
    vision_depth: int = 4
    vision_num_heads: int = 4
    vision_intermediate_size: int = 320
    vocab_size: int = 1200
    rope_theta: float = 30.0
    vision_rope_theta: float = 100.0
    initializer_range: float = 0.05

    def build_model(self, tokenizer: PreTrainedTokenizerFast) -> Qwen2_5_VLForConditionalGeneration:
        """Draw the weights of a model for a tokenizer's vocabulary."""
        return Qwen2_5_VLForConditionalGeneration(_build_qwen_config(self, tokenizer))


MODEL_KINDS: dict[str, type[QwenSizes] | type[PointerSizes]] = {"pointer": PointerSizes, "qwen2_5_vl": QwenSizes}
"""Sizes of the models that can be built, by name."""


def write_untrained_model(
    sizes: QwenSizes | PointerSizes, texts: Iterable[str], profile: Path, folder: Path, seed: int
) -> None:
    """Write an untrained model folder: weights drawn by ``seed``, a tokenizer for ``texts``, the ``profile``."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = _train_tokenizer(texts, sizes.vocab_size)
    torch.manual_seed(seed)
    model: Any = sizes.build_model(tokenizer)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    side = sizes.image_size**2
    pictures = Qwen2VLImageProcessorPil(
        patch_size=sizes.patch_size,
        merge_size=sizes.spatial_merge_size,
        size={"shortest_edge": side, "longest_edge": side},
        image_mean=[0.5] * 3,
        image_std=[0.25] * 3,
    )
    for part in (model, tokenizer, pictures):
        part.save_pretrained(folder)
    shutil.copyfile(profile, folder / PROFILE)


def _train_tokenizer(texts: Iterable[str], vocabulary: int) -> PreTrainedTokenizerFast:
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
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def _token_id(tokenizer: PreTrainedTokenizerFast, token: str) -> int:
    return int(tokenizer.convert_tokens_to_ids(token))  # type: ignore[arg-type]


def _build_qwen_config(sizes: QwenSizes, tokenizer: PreTrainedTokenizerFast) -> Qwen2_5_VLConfig:
    of = partial(_token_id, tokenizer)
    text: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": sizes.hidden_size,
        "intermediate_size": sizes.intermediate_size,
        "num_hidden_layers": sizes.num_hidden_layers,
        "num_attention_heads": sizes.num_attention_heads,
        "num_key_value_heads": sizes.num_key_value_heads,
        "max_position_embeddings": 4096,
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "initializer_range": sizes.initializer_range,
        # Sections of one frequency each interleave time, height and width: three long ones would leave the width
        # the slowest frequencies alone, and left would look like right.
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": sizes.rope_theta,
            "mrope_section": [1] * (sizes.hidden_size // sizes.num_attention_heads // 2),
        },
    }
    vision = {
        "depth": sizes.vision_depth,
        "hidden_size": sizes.vision_hidden_size,
        "intermediate_size": sizes.vision_intermediate_size,
        "num_heads": sizes.vision_num_heads,
        "out_hidden_size": sizes.hidden_size,
        "fullatt_block_indexes": list(range(sizes.vision_depth)),
        "patch_size": sizes.patch_size,
        "spatial_merge_size": sizes.spatial_merge_size,
        "window_size": sizes.image_size,
        "initializer_range": sizes.initializer_range,
        "rope_parameters": {"rope_type": "axial", "rope_theta": sizes.vision_rope_theta},
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
