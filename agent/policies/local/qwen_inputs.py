"""A conversation as a local vision-language model of the Qwen-VL family takes it: token ids and patches."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from ibisagent.agent.model_resize import SmartResize
from ibisagent.agent.prompting import Message

__all__ = ["EncodedConversation", "QwenInputs", "escape_control_tokens"]

_PAD = "<|image_pad|>"


@dataclass(frozen=True, slots=True, eq=False)
class EncodedConversation:
    """One conversation: ``ids`` end where the model is to reply.

    ``patches``: (n, channels x 2 x patch x patch) float32 of all pictures in order; ``grid``: (pictures, 3) int64.
    """

    ids: list[int]
    patches: NDArray[np.float32]
    grid: NDArray[np.int64]


class QwenInputs:
    """The tokenizer and the picture processor of a model folder, as the model was trained with.

    transformers' own processor class needs torchvision for videos, which the project does without.
    """

    def __init__(self, tokenizer: Any, pictures: Any, *, square_side: int | None = None) -> None:
        """Take both; with ``square_side`` every picture is first stretched to this side in pixels."""
        self.tokenizer, self.pictures, self.square_side = tokenizer, pictures, square_side
        self.image_token_id: int = tokenizer.convert_tokens_to_ids(_PAD)
        self._last: tuple[Any, tuple[NDArray[np.float32], NDArray[np.int64]]] | None = None

    @classmethod
    def from_folder(cls, folder: str | os.PathLike[str], *, square_side: int | None = None) -> "QwenInputs":
        """Open them from a model folder, or an id that is in the local cache."""
        from transformers import AutoTokenizer
        from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

        tokenizer = AutoTokenizer.from_pretrained(folder)
        tokenizer.padding_side = "left"
        return cls(tokenizer, Qwen2VLImageProcessorPil.from_pretrained(folder), square_side=square_side)

    @property
    def smart_resize(self) -> SmartResize:
        """The sizes at which pictures are seen."""
        held, size = self.pictures, self.pictures.size
        return SmartResize(
            held.patch_size * held.merge_size, size["shortest_edge"], size["longest_edge"], square_side=self.square_side
        )

    def limit_pixels(self, max_pixels: int) -> None:
        """Limit pictures to ``max_pixels``; larger ones are shrunk."""
        least = self.pictures.size["shortest_edge"]
        self.pictures.size = {"shortest_edge": min(least, max_pixels), "longest_edge": max_pixels}

    def encode(self, conversation: Sequence[Message]) -> EncodedConversation:
        """Encode a conversation, up to where the assistant replies."""
        shown = [self.patchify(message.picture) for message in conversation if message.picture is not None]
        text = self.tokenizer.apply_chat_template(
            [_to_template_message(message) for message in conversation], tokenize=False, add_generation_prompt=True
        )
        grid = np.concatenate([grid for _, grid in shown]) if shown else np.zeros((0, 3), np.int64)
        ids = self.tokenizer(self._expand_placeholders(text, grid), add_special_tokens=False)["input_ids"]
        patches = np.concatenate([patches for patches, _ in shown]) if shown else np.zeros((0, 0), np.float32)
        return EncodedConversation(ids, patches, grid)

    def reply_ids(self, reply: str) -> list[int]:
        """Return the tokens of a whole reply, the end of the turn included."""
        ids: list[int] = self.tokenizer(escape_control_tokens(reply), add_special_tokens=False)["input_ids"]
        return [*ids, self.tokenizer.eos_token_id]

    def patchify(self, picture: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Cut a picture, (h, w, 3) uint8, into patches; return them and their grid, (1, 3)."""
        held = self._last  # training shows one picture with several requests in a row
        if held is not None and held[0] is picture:
            return held[1]
        patches = self._compute_patches(picture)
        self._last = (picture, patches)
        return patches

    def resize(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return a picture, (h, w, 3) uint8, at the size at which it is seen; one that has it already as it is."""
        rows, columns = self.smart_resize.resized_size(*picture.shape[:2])
        if picture.shape[:2] == (rows, columns):
            return picture
        way = Image.Resampling.BICUBIC if self.square_side is None else Image.Resampling.BILINEAR
        return np.asarray(Image.fromarray(picture).resize((columns, rows), way))

    def _compute_patches(self, picture: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        out = self.pictures(
            images=[self.resize(picture).transpose(2, 0, 1)],
            do_resize=False,
            input_data_format="channels_first",
            return_tensors="np",
        )
        return np.asarray(out["pixel_values"], np.float32), np.asarray(out["image_grid_thw"], np.int64)

    def _expand_placeholders(self, text: str, grid: NDArray[np.int64]) -> str:
        """Repeat each picture's placeholder as often as the picture has tokens."""
        head, *rest = text.split(_PAD)
        counts = (grid.prod(axis=1) // self.pictures.merge_size**2).tolist()
        return head + "".join(_PAD * count + part for count, part in zip(counts, rest, strict=True))

    def batch(self, several: Sequence[EncodedConversation]) -> dict[str, torch.Tensor]:
        """Return the arguments of `generate` for conversations of any length, padded on the left."""
        longest = max(len(each.ids) for each in several)
        pad = self.tokenizer.pad_token_id
        ids = torch.tensor([[pad] * (longest - len(each.ids)) + each.ids for each in several])
        real = torch.tensor([[0] * (longest - len(each.ids)) + [1] * len(each.ids) for each in several])
        return {
            "input_ids": ids,
            "attention_mask": real,
            "mm_token_type_ids": (ids == self.image_token_id).int(),
            "pixel_values": torch.from_numpy(np.concatenate([each.patches for each in several])),
            "image_grid_thw": torch.from_numpy(np.concatenate([each.grid for each in several])),
        }


def escape_control_tokens(text: str) -> str:
    """Return the text with the model's control tokens broken up, so that it cannot contain any."""
    return text.replace("<|", "< |")


def _to_template_message(message: Message) -> dict[str, Any]:
    picture = [{"type": "image"}] if message.picture is not None else []
    words = [{"type": "text", "text": escape_control_tokens(message.text)}] if message.text else []
    return {"role": message.role, "content": [*picture, *words]}
