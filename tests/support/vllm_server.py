"""What a vLLM server answers to a training, from a real model on loopback: drawn tokens with their log-probabilities.

Tokens are drawn by transformers' own sampling, with nothing of ours; the model's generation settings are such as to
spoil every draw whose request leaves a setting to them.
"""

import threading
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForImageTextToText, AutoTokenizer
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from support.openai_server import Body, completion_body, images_in

_PAD = "<|image_pad|>"
_HOSTILE = {"do_sample": True, "top_k": 1, "top_p": 0.5, "repetition_penalty": 1.7, "temperature": 0.2}


class ServedModel:
    """A Qwen-VL model that answers as vLLM does; ``resized``: sizes of the pictures that it had to change."""

    def __init__(self, folder: Path) -> None:
        self._tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        self._processor = Qwen2VLImageProcessorPil.from_pretrained(folder)
        opener: Any = AutoModelForImageTextToText
        self.model = opener.from_pretrained(folder, dtype=torch.float32).eval()
        self.model.generation_config.update(**_HOSTILE)
        self.resized: list[tuple[int, int]] = []
        self._lock = threading.Lock()

    def answer(self, body: Body) -> Body:
        """Return the body of a chat completion."""
        ids, seen = self._render(body)
        with self._lock, torch.random.fork_rng(), torch.inference_mode():
            torch.manual_seed(body["seed"])
            out = self.model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                mm_token_type_ids=(ids == self.model.config.image_token_id).int(),
                **seen,
                **_generation_options(body),
                return_dict_in_generate=True,
                output_scores=True,
            )
        drawn = out.sequences[0, ids.shape[1] :].tolist()
        scores = [torch.log_softmax(score[0].float(), 0) for score in out.scores]  # after temperature and filters
        ended = drawn[-1] in body["stop_token_ids"]
        text = self._tokenizer.decode(drawn, skip_special_tokens=body["skip_special_tokens"])
        answer = completion_body(text, "stop" if ended else "length", ids.shape[1], len(drawn))
        content = [{"token": "", "logprob": row[token].item()} for row, token in zip(scores, drawn, strict=True)]
        answer["choices"][0] |= {"token_ids": drawn, "logprobs": {"content": content} if body["logprobs"] else None}
        return answer | ({"prompt_token_ids": ids[0].tolist()} if body["return_token_ids"] else {})

    def load(self, weights: dict[str, torch.Tensor]) -> None:
        """Take the weights that a trainer sends."""
        with self._lock:
            self.model.load_state_dict(weights)

    def _render(self, body: Body) -> tuple[torch.Tensor, dict[str, Any]]:
        images = images_in(body["messages"])
        seen = self._processor(images=images, return_tensors="pt")
        patch, merge = self._processor.patch_size, self._processor.merge_size
        for image, grid in zip(images, seen["image_grid_thw"].tolist(), strict=True):
            if image.size != (grid[2] * patch, grid[1] * patch):
                self.resized.append(image.size)
        messages = [
            {
                "role": each["role"],
                "content": [{"type": "image"} if part["type"] == "image_url" else part for part in each["content"]],
            }
            for each in body["messages"]
        ]
        text = self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        for count in (seen["image_grid_thw"].prod(dim=1) // merge**2).tolist():
            text = text.replace(_PAD, "<|seen|>" * count, 1)
        ids = self._tokenizer(text.replace("<|seen|>", _PAD), return_tensors="pt", add_special_tokens=False)
        return ids["input_ids"], dict(seen)


def _generation_options(body: Body) -> dict[str, Any]:
    """Return the request's settings by their names in transformers; what it does not send stays the model's own."""
    names = {"temperature": "temperature", "top_p": "top_p", "top_k": "top_k", "min_p": "min_p"}
    names |= {"repetition_penalty": "repetition_penalty", "max_tokens": "max_new_tokens"}
    return {ours: body[name] for name, ours in names.items() if name in body} | {"eos_token_id": body["stop_token_ids"]}
