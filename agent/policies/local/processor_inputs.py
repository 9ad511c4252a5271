"""A conversation as any other vision-language model of transformers takes it: through the processor in its folder."""

import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ibisagent.agent.model_resize import SmartResize
from ibisagent.agent.prompting import Message
from ibisagent.tools.errors import InputError

__all__ = ["ProcessorInputs", "RenderedConversation"]


class RenderedConversation(NamedTuple):
    """One conversation: its text, with a mark for each picture, up to where the model replies, and its pictures."""

    text: str
    pictures: tuple[NDArray[np.uint8], ...]


class ProcessorInputs:
    """The processor of a model folder (`AutoProcessor`), of a family that shows pictures by marks in its template."""

    def __init__(self, processor: Any) -> None:
        """Take a processor with a chat template; conversations are padded on the left.

        One that would cut the margins of a picture off, as CLIP's does, is made to stretch the whole of it instead.
        """
        self.processor, self.tokenizer = processor, processor.tokenizer
        self._pictures = processor.image_processor
        if getattr(self._pictures, "do_center_crop", False):
            self._pictures.do_center_crop, self._pictures.size = False, self._pictures.crop_size
        self.tokenizer.padding_side = "left"
        if self.tokenizer.pad_token is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        self._control_tokens = [mark for mark in self.tokenizer.all_special_tokens if len(mark) > 1]
        self._max_pixels: int | None = None

    @classmethod
    def from_folder(cls, folder: str | os.PathLike[str]) -> "ProcessorInputs":
        """Open the processor of a model folder."""
        from transformers import AutoProcessor

        opener: Any = AutoProcessor
        return cls(opener.from_pretrained(folder, local_files_only=True, trust_remote_code=False))

    @property
    def smart_resize(self) -> SmartResize:
        """The sizes at which pictures are seen; `InputError` if the processor does not state them."""
        held, size = self._pictures, dict(self._pictures.size)
        if type(held).__name__.startswith("Qwen2VL"):
            most = min(size["longest_edge"], self._max_pixels or size["longest_edge"])
            return SmartResize(held.patch_size * held.merge_size, min(size["shortest_edge"], most), most)
        if size.get("height") and size["height"] == size.get("width"):
            return SmartResize(factor=1, min_pixels=1, max_pixels=size["height"] ** 2, square_side=size["height"])
        raise InputError(
            f"coordinates 'pixels': got {type(held).__name__}, which does not state the size that its model sees; "
            "choose coordinates=unit or thousand"
        )

    def limit_pixels(self, max_pixels: int) -> None:
        """Limit pictures to ``max_pixels``; larger ones are shrunk."""
        self._max_pixels = max_pixels

    def encode(self, conversation: Sequence[Message]) -> RenderedConversation:
        """Render a conversation, up to where the assistant replies."""
        pictures = tuple(self._shrink(message.picture) for message in conversation if message.picture is not None)
        messages = [self._to_template_message(message) for message in conversation]
        text = self.processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        return RenderedConversation(text, pictures)

    def batch(self, several: Sequence[RenderedConversation]) -> dict[str, Any]:
        """Return the arguments of `generate` for conversations of any length."""
        shown = [list(each.pictures) for each in several]
        given: dict[str, Any] = {"images": shown} if any(shown) else {}
        texts = [each.text for each in several]
        bos = self.tokenizer.bos_token
        begun = bos is None or texts[0].startswith(bos)  # by the template
        return dict(
            self.processor(text=texts, padding=True, add_special_tokens=not begun, return_tensors="pt", **given)
        )

    def _shrink(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        height, width = picture.shape[:2]
        if self._max_pixels is None or height * width <= self._max_pixels:
            return picture
        scale = (self._max_pixels / (height * width)) ** 0.5
        size = (max(1, int(width * scale)), max(1, int(height * scale)))
        return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC))

    def _to_template_message(self, message: Message) -> dict[str, Any]:
        picture = [{"type": "image"}] if message.picture is not None else []
        words = [{"type": "text", "text": self._escape_control_tokens(message.text)}] if message.text else []
        return {"role": message.role, "content": [*picture, *words]}

    def _escape_control_tokens(self, text: str) -> str:
        """Return the text with the model's control tokens broken up, so that it cannot contain any."""
        for mark in self._control_tokens:
            text = text.replace(mark, f"{mark[0]} {mark[1:]}")
        return text
