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

__all__ = ["Encoded", "Inputs", "plain"]

_PAD = "<|image_pad|>"


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """One conversation: ``ids`` end where the model is to reply.

    ``patches``: (n, channels x 2 x patch x patch) float32 of all pictures in order; ``grid``: (pictures, 3) int64.
    """

    ids: list[int]
    patches: NDArray[np.float32]
    grid: NDArray[np.int64]


class Inputs:
    """The tokenizer and the picture processor of a model folder, as the model was trained with.

    transformers' own processor class needs torchvision for videos, which the project does without.
    """

    def __init__(self, tokenizer: Any, pictures: Any, *, square: int | None = None) -> None:
        """Take both; with ``square`` every picture is stretched to so many pixels a side first."""
        self.tokenizer, self.pictures, self.square = tokenizer, pictures, square
        self.image_id: int = tokenizer.convert_tokens_to_ids(_PAD)
        self._last: tuple[Any, tuple[NDArray[np.float32], NDArray[np.int64]]] | None = None

    @classmethod
    def of(cls, folder: str | os.PathLike[str], *, square: int | None = None) -> "Inputs":
        """Open them from a model folder, or an id that is in the local cache."""
        from transformers import AutoTokenizer
        from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

        tokenizer = AutoTokenizer.from_pretrained(folder)
        tokenizer.padding_side = "left"
        return cls(tokenizer, Qwen2VLImageProcessorPil.from_pretrained(folder), square=square)

    @property
    def resizing(self) -> SmartResize:
        """Tell the sizes at which pictures are seen."""
        held, size = self.pictures, self.pictures.size
        return SmartResize(
            held.patch_size * held.merge_size, size["shortest_edge"], size["longest_edge"], square_side=self.square
        )

    def limit(self, most: int) -> None:
        """Let no picture have more than ``most`` pixels; larger ones are shrunk."""
        least = self.pictures.size["shortest_edge"]
        self.pictures.size = {"shortest_edge": min(least, most), "longest_edge": most}

    def encode(self, conversation: Sequence[Message]) -> Encoded:
        """Encode what was said and shown, up to where the assistant replies."""
        shown = [self.patchified(said.picture) for said in conversation if said.picture is not None]
        text = self.tokenizer.apply_chat_template(
            [_message(said) for said in conversation], tokenize=False, add_generation_prompt=True
        )
        grid = np.concatenate([grid for _, grid in shown]) if shown else np.zeros((0, 3), np.int64)
        ids = self.tokenizer(self._expanded(text, grid), add_special_tokens=False)["input_ids"]
        patches = np.concatenate([patches for patches, _ in shown]) if shown else np.zeros((0, 0), np.float32)
        return Encoded(ids, patches, grid)

    def reply_ids(self, reply: str) -> list[int]:
        """Give the tokens of a whole reply, the end of the turn included."""
        ids: list[int] = self.tokenizer(plain(reply), add_special_tokens=False)["input_ids"]
        return [*ids, self.tokenizer.eos_token_id]

    def patchified(self, picture: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Cut a picture, (h, w, 3) uint8, into patches; give them and their grid, (1, 3)."""
        held = self._last  # training shows one picture with several requests in a row
        if held is not None and held[0] is picture:
            return held[1]
        patches = self._patchified(picture)
        self._last = (picture, patches)
        return patches

    def _patchified(self, picture: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        rows, columns = self.resizing.resized_size(*picture.shape[:2])
        if picture.shape[:2] != (rows, columns):
            way = Image.Resampling.BICUBIC if self.square is None else Image.Resampling.BILINEAR
            picture = np.asarray(Image.fromarray(picture).resize((columns, rows), way))
        out = self.pictures(
            images=[picture.transpose(2, 0, 1)],
            do_resize=False,
            input_data_format="channels_first",
            return_tensors="np",
        )
        return np.asarray(out["pixel_values"], np.float32), np.asarray(out["image_grid_thw"], np.int64)

    def _expanded(self, text: str, grid: NDArray[np.int64]) -> str:
        """Write each picture's placeholder as often as it has tokens."""
        head, *rest = text.split(_PAD)
        counts = (grid.prod(axis=1) // self.pictures.merge_size**2).tolist()
        return head + "".join(_PAD * count + part for count, part in zip(counts, rest, strict=True))

    def batch(self, several: Sequence[Encoded]) -> dict[str, torch.Tensor]:
        """Give the arguments of `generate` for conversations of any length, padded on the left."""
        longest = max(len(each.ids) for each in several)
        pad = self.tokenizer.pad_token_id
        ids = torch.tensor([[pad] * (longest - len(each.ids)) + each.ids for each in several])
        real = torch.tensor([[0] * (longest - len(each.ids)) + [1] * len(each.ids) for each in several])
        return {
            "input_ids": ids,
            "attention_mask": real,
            "mm_token_type_ids": (ids == self.image_id).int(),
            "pixel_values": torch.from_numpy(np.concatenate([each.patches for each in several])),
            "image_grid_thw": torch.from_numpy(np.concatenate([each.grid for each in several])),
        }


def plain(text: str) -> str:
    """Write a text such that it cannot speak in the model's control tokens."""
    return text.replace("<|", "< |")


def _message(said: Message) -> dict[str, Any]:
    picture = [{"type": "image"}] if said.picture is not None else []
    words = [{"type": "text", "text": plain(said.text)}] if said.text else []
    return {"role": said.role, "content": [*picture, *words]}
