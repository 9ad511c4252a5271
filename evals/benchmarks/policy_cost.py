"""Time of whole episodes with a vision-language model: the loop against the steps of the released one.

A tiny Qwen2.5-VL and SAM 2.1 tiny, both with random weights, run in full; a fixed click then replaces the generated
reply. Both sides get the same pictures and texts, generate as many tokens, and run in one process. The released loop's
steps: the overlay is written to a PNG on disk and read back, the processor runs on every turn, one reply at a time, and
SAM 2 is called as by its image predictor, which encodes each image once.
"""

import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from transformers import AutoTokenizer, Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from ibisagent.agent import Click, Completion, LoopConfig, Observation, Terminate, build_graph
from ibisagent.agent.actions import write_reply
from ibisagent.agent.overlay import overlay
from ibisagent.agent.policies import SyncPolicy
from ibisagent.agent.policies.local import NANO, LocalPolicy, QwenInputs
from ibisagent.agent.prompting import Message, load_prompts
from ibisagent.agent.state import Input
from ibisagent.evals.benchmarks.sam_cost import circle_clicks, draw_image, official_features, official_prediction
from ibisagent.tools.imaging.open_image import open_image
from ibisagent.tools.segmenters.base import Pixels
from ibisagent.tools.segmenters.sam.sam2_package import Sam2Package
from ibisagent.tools.segmenters.sam.segmenter import SamSegmenter
from ibisagent.tools.segmenters.sam.transforms import StretchTransform

__all__ = ["LoopCosts", "VisionLanguageModel", "build_random_qwen", "measure_loop_costs"]

_REQUEST = "Segment the bright oval target."
_REPLY_TOKENS = 40  # about the length of a thought and a click


class VisionLanguageModel(NamedTuple):
    """A vision-language model with its tokenizer and its image processor."""

    network: Any
    tokenizer: Any
    image_processor: Any


class LoopCosts(NamedTuple):
    """Seconds of a single episode, of all ``episodes`` concurrently and sequentially; official: by the released steps.

    ``reply_single``, ``reply_concurrent``: seconds of the policy for a reply, episodes in sequence and all at once,
    with a segmenter that costs nothing; ``differing_replies``: (episode, turn) of those of the ``replies`` whose text
    differs from the sequential one.
    """

    episodes: int
    single: float
    official: float
    concurrent: float
    sequential: float
    official_sequential: float
    reply_single: float
    reply_concurrent: float
    replies: int
    differing_replies: tuple[tuple[int, int], ...]


def build_random_qwen(hidden: int = 64, layers: int = 4) -> VisionLanguageModel:
    """Build a random Qwen2.5-VL with the published ones' image patches that never ends a reply by itself."""
    tokenizer: Any = AutoTokenizer.from_pretrained(NANO)
    ids = tokenizer.convert_tokens_to_ids(["<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>"])
    heads = hidden // 64
    text: dict[str, Any] = {"vocab_size": len(tokenizer), "hidden_size": hidden, "intermediate_size": 4 * hidden}
    text |= {"bos_token_id": None, "eos_token_id": None}
    text |= {"num_hidden_layers": layers, "num_attention_heads": heads, "num_key_value_heads": heads}
    text |= {"initializer_range": 0.1, "rope_parameters": {"rope_type": "default", "mrope_section": [8, 12, 12]}}
    vision: dict[str, Any] = {
        "depth": 4,
        "hidden_size": hidden // 2,
        "intermediate_size": 2 * hidden,
        "num_heads": heads,
    }
    vision |= {"out_hidden_size": hidden, "fullatt_block_indexes": [3]}
    torch.manual_seed(0)
    config = Qwen2_5_VLConfig(
        text_config=text,
        vision_config=vision,
        image_token_id=ids[0],
        video_token_id=ids[1],
        vision_start_token_id=ids[2],
        vision_end_token_id=ids[3],
    )
    network: Any = Qwen2_5_VLForConditionalGeneration(config)
    network.eval()
    network.generation_config.update(eos_token_id=None, pad_token_id=tokenizer.pad_token_id)
    size = {"shortest_edge": 56 * 56, "longest_edge": 512 * 512}
    return VisionLanguageModel(network, tokenizer, Qwen2VLImageProcessorPil(patch_size=14, merge_size=2, size=size))


class _FixedClickPolicy(SyncPolicy):
    """Generates and records the model's reply, then returns a fixed click in its place."""

    name = "clicking"

    def __init__(self, model: VisionLanguageModel, clicks: Sequence[Click]) -> None:
        tokenizer, pictures = model.tokenizer, model.image_processor
        tokenizer.padding_side = "left"
        self._model_policy = LocalPolicy(model.network, QwenInputs(tokenizer, pictures), max_tokens=_REPLY_TOKENS)
        self._clicks, self._guard, self._prompts = clicks, threading.Lock(), load_prompts()
        self.messages: dict[int, list[Message]] = {}
        self.replies: dict[tuple[str, int], str] = {}
        self.reply_seconds: list[float] = []

    def act(self, observation: Observation) -> Completion:
        completion = self._model_policy.act(observation)
        with self._guard:
            self.messages[observation.step] = self._prompts.conversation(observation)
            self.replies[observation.image_sha, observation.step] = completion.text
            self.reply_seconds.append(completion.seconds or 0.0)
        return Completion(_reply(self._clicks, observation.step))


def _reply(clicks: Sequence[Click], step: int) -> str:
    if step < len(clicks):
        return write_reply("The mask misses a part of the target.", clicks[step])
    return write_reply("The mask fits.", Terminate(), "The target.")


def measure_loop_costs(
    model: VisionLanguageModel, sam: Any, *, side: int = 256, clicks: int = 4, episodes: int = 16, repeats: int = 3
) -> LoopCosts:
    """Measure on one thread; the minimum of ``repeats`` single episodes, after a warm-up, counts."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _measure(
            model, sam, [_noisy_image(side, number) for number in range(episodes)], circle_clicks(clicks), repeats
        )
    finally:
        torch.set_num_threads(threads)


def _measure(
    model: VisionLanguageModel, sam: Any, images: Sequence[Pixels], clicks: Sequence[Click], repeats: int
) -> LoopCosts:
    shown = [open_image(each) for each in images]
    serial, joint = _FixedClickPolicy(model, clicks), _FixedClickPolicy(model, clicks)

    def run(policy: _FixedClickPolicy, several: Sequence[Any], at_once: int, *, plain: bool = False) -> None:
        wrapped = SamSegmenter("sam2", Sam2Package(sam), StretchTransform(), (), torch.device("cpu"), torch.float32)
        segmenter = "disk" if plain else wrapped
        config = LoopConfig(max_steps=len(clicks) + 1, patience=len(clicks))  # with random weights a mask may stay
        graph = build_graph(policy, segmenter, config)
        starts = [Input(image=each, request=_REQUEST) for each in several]
        if at_once == 1:
            for start in starts:
                graph.invoke(start)
            return
        with ThreadPoolExecutor(at_once) as pool:
            list(pool.map(graph.invoke, starts))

    with tempfile.TemporaryDirectory() as folder:
        singles: list[Callable[[], object]] = [
            lambda: run(serial, shown[:1], 1),
            lambda: _official(model, sam, images[:1], clicks, serial.messages, Path(folder)),
        ]
        rounds = [[_seconds(each) for each in singles] for _ in range(repeats + 1)][1:]
        alone, official = (min(column) for column in zip(*rounds, strict=True))
        together, one_by_one, official_many = (
            _seconds(lambda: run(joint, shown, len(shown))),
            _seconds(lambda: run(serial, shown, 1)),
            _seconds(lambda: _official(model, sam, images, clicks, serial.messages, Path(folder))),
        )
    for policy in (serial, joint):
        policy.reply_seconds.clear()
        run(policy, shown, len(shown) if policy is joint else 1, plain=True)
    differing = [
        (index, turn)
        for index, image in enumerate(shown)
        for turn in range(len(clicks) + 1)
        if serial.replies[image.sha, turn] != joint.replies[image.sha, turn]
    ]
    return LoopCosts(
        episodes=len(shown),
        single=alone,
        official=official,
        concurrent=together,
        sequential=one_by_one,
        official_sequential=official_many,
        reply_single=statistics.mean(serial.reply_seconds),
        reply_concurrent=statistics.mean(joint.reply_seconds),
        replies=len(joint.replies),
        differing_replies=tuple(differing),
    )


def _official(
    model: VisionLanguageModel,
    sam: Any,
    images: Sequence[Pixels],
    clicks: Sequence[Click],
    messages: Mapping[int, Sequence[Message]],
    folder: Path,
) -> None:
    """Run the released loop's steps, one episode after another; ``messages``: those of each turn."""
    for pixels in images:
        Image.fromarray(pixels).save(folder / "image.png")
        with torch.inference_mode():
            features = official_features(sam, np.asarray(Image.open(folder / "image.png").convert("RGB")))
        mask, logits = np.zeros(pixels.shape[:2], np.bool_), None
        for turn in range(len(clicks) + 1):
            image = np.asarray(Image.open(folder / "image.png").convert("RGB"))
            Image.fromarray(overlay(image, mask)).save(folder / "turn.png")
            _official_reply(model, messages[turn], Image.open(folder / "turn.png").convert("RGB"))
            if turn < len(clicks):
                with torch.inference_mode():
                    mask, logits = official_prediction(sam, features, clicks[: turn + 1], logits, pixels.shape[:2])


def _official_reply(model: VisionLanguageModel, conversation: Sequence[Message], shown: Image.Image) -> str:
    messages = [
        {
            "role": message.role,
            "content": [
                *([{"type": "image"}] if message.picture is not None else []),
                {"type": "text", "text": message.text},
            ],
        }
        for message in conversation
    ]
    prompt = model.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    seen = model.image_processor(images=[shown], return_tensors="pt")
    count = int(seen["image_grid_thw"].prod()) // model.image_processor.merge_size**2
    prompt = prompt.replace("<|image_pad|>", "<|image_pad|>" * count)
    ids = model.tokenizer(prompt, return_tensors="pt", add_special_tokens=False)["input_ids"]
    kinds = (ids == model.network.config.image_token_id).int()
    with torch.inference_mode():
        out = model.network.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            mm_token_type_ids=kinds,
            **seen,
            max_new_tokens=_REPLY_TOKENS,
            do_sample=False,
        )
    return str(model.tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True))


def _noisy_image(side: int, number: int) -> Pixels:
    """Return a different image for every episode, so that nothing is cached across them."""
    pixels = draw_image(side).astype(np.int16)
    noise = np.random.default_rng(number).integers(-20, 21, pixels.shape[:2])
    grey: Pixels = np.clip(pixels + noise[:, :, None], 0, 255).astype(np.uint8)
    return grey


def _seconds(run: Callable[[], object]) -> float:
    begun = time.perf_counter()
    run()
    return time.perf_counter() - begun
