"""What whole episodes cost with a vision-language model inside: the loop's against the steps of the released one.

A tiny Qwen2.5-VL and SAM 2.1 tiny, both with random weights, do all their work; a fixed click then takes the place of
what such weights say. Both sides see the same pictures and words, write as many tokens, and run in one process.
The released loop's steps: the overlay goes to a PNG on disk and back, the processor runs on every turn, one reply at a
time, and SAM 2 answers through its image predictor's calls, which see each image once.
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
from ibisagent.agent.policies.local import NANO, Inputs, LocalPolicy
from ibisagent.agent.prompting import Message, load_prompts
from ibisagent.agent.state import Input
from ibisagent.evals.benchmarks.sam_cost import circle_clicks, official_prediction, official_features, draw_image
from ibisagent.tools.imaging.open_image import open_image
from ibisagent.tools.segmenters.base import Pixels
from ibisagent.tools.segmenters.sam.sam2_package import Sam2Package
from ibisagent.tools.segmenters.sam.segmenter import SamSegmenter
from ibisagent.tools.segmenters.sam.transforms import StretchTransform

__all__ = ["LoopCosts", "VisionLanguageModel", "measure_loop_costs", "build_random_qwen"]

_REQUEST = "Segment the bright oval target."
_WRITTEN = 40  # tokens of a reply, about what a thought and a click take


class VisionLanguageModel(NamedTuple):
    """A vision-language model with its tokenizer and its picture processor."""

    network: Any
    tokenizer: Any
    image_processor: Any


class LoopCosts(NamedTuple):
    """Seconds of one episode, of all ``episodes`` at once and one after another; official: by the released steps.

    ``reply_alone``, ``reply_together``: seconds of the policy for a reply, one episode after another and all at once,
    with a segmenter that costs nothing; ``differing``: (episode, turn) of those of the ``replies`` whose text is
    another one than alone.
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
    """Draw a Qwen2.5-VL that cuts pictures as the published ones do and never ends a reply by itself."""
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


class _Clicking(SyncPolicy):
    """Lets the model write its reply, notes it, and says a click of its own in its place."""

    name = "clicking"

    def __init__(self, model: VisionLanguageModel, clicks: Sequence[Click]) -> None:
        tokenizer, pictures = model.tokenizer, model.image_processor
        tokenizer.padding_side = "left"
        self._asked = LocalPolicy(model.network, Inputs(tokenizer, pictures), longest=_WRITTEN)
        self._clicks, self._guard, self._prompts = clicks, threading.Lock(), load_prompts()
        self.words: dict[int, list[Message]] = {}
        self.said: dict[tuple[str, int], str] = {}
        self.spent: list[float] = []

    def act(self, observation: Observation) -> Completion:
        completion = self._asked.act(observation)
        with self._guard:
            self.words[observation.step] = self._prompts.conversation(observation)
            self.said[observation.image_sha, observation.step] = completion.text
            self.spent.append(completion.seconds or 0.0)
        return Completion(_reply(self._clicks, observation.step))


def _reply(clicks: Sequence[Click], step: int) -> str:
    if step < len(clicks):
        return write_reply("The mask misses a part of the target.", clicks[step])
    return write_reply("The mask fits.", Terminate(), "The target.")


def measure_loop_costs(
    model: VisionLanguageModel, sam: Any, *, side: int = 256, clicks: int = 4, episodes: int = 16, repeats: int = 3
) -> LoopCosts:
    """Measure on one thread; of ``repeats`` single episodes, after one that warms up, the least time counts."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _measured(model, sam, [_seen(side, number) for number in range(episodes)], circle_clicks(clicks), repeats)
    finally:
        torch.set_num_threads(threads)


def _measured(model: VisionLanguageModel, sam: Any, images: Sequence[Pixels], clicks: Sequence[Click], repeats: int) -> LoopCosts:
    shown = [open_image(each) for each in images]
    serial, joint = _Clicking(model, clicks), _Clicking(model, clicks)

    def run(policy: _Clicking, several: Sequence[Any], at_once: int, *, plain: bool = False) -> None:
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
            lambda: _official(model, sam, images[:1], clicks, serial.words, Path(folder)),
        ]
        rounds = [[_seconds(each) for each in singles] for _ in range(repeats + 1)][1:]
        alone, official = (min(column) for column in zip(*rounds, strict=True))
        together, one_by_one, official_many = (
            _seconds(lambda: run(joint, shown, len(shown))),
            _seconds(lambda: run(serial, shown, 1)),
            _seconds(lambda: _official(model, sam, images, clicks, serial.words, Path(folder))),
        )
    for policy in (serial, joint):
        policy.spent.clear()
        run(policy, shown, len(shown) if policy is joint else 1, plain=True)
    differing = [
        (index, turn)
        for index, image in enumerate(shown)
        for turn in range(len(clicks) + 1)
        if serial.said[image.sha, turn] != joint.said[image.sha, turn]
    ]
    return LoopCosts(
        episodes=len(shown),
        single=alone,
        official=official,
        concurrent=together,
        sequential=one_by_one,
        official_sequential=official_many,
        reply_single=statistics.mean(serial.spent),
        reply_concurrent=statistics.mean(joint.spent),
        replies=len(joint.said),
        differing_replies=tuple(differing),
    )


def _official(
    model: VisionLanguageModel,
    sam: Any,
    images: Sequence[Pixels],
    clicks: Sequence[Click],
    words: Mapping[int, Sequence[Message]],
    folder: Path,
) -> None:
    """Make the released loop's steps, one episode after another; ``words``: what is said at each turn."""
    for pixels in images:
        Image.fromarray(pixels).save(folder / "image.png")
        with torch.inference_mode():
            features = official_features(sam, np.asarray(Image.open(folder / "image.png").convert("RGB")))
        mask, logits = np.zeros(pixels.shape[:2], np.bool_), None
        for turn in range(len(clicks) + 1):
            image = np.asarray(Image.open(folder / "image.png").convert("RGB"))
            Image.fromarray(overlay(image, mask)).save(folder / "turn.png")
            _official_reply(model, words[turn], Image.open(folder / "turn.png").convert("RGB"))
            if turn < len(clicks):
                with torch.inference_mode():
                    mask, logits = official_prediction(sam, features, clicks[: turn + 1], logits, pixels.shape[:2])


def _official_reply(model: VisionLanguageModel, words: Sequence[Message], shown: Image.Image) -> str:
    messages = [
        {
            "role": said.role,
            "content": [
                *([{"type": "image"}] if said.picture is not None else []),
                {"type": "text", "text": said.text},
            ],
        }
        for said in words
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
            max_new_tokens=_WRITTEN,
            do_sample=False,
        )
    return str(model.tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True))


def _seen(side: int, number: int) -> Pixels:
    """Give an image of its own for every episode, so that nothing is remembered across them."""
    pixels = draw_image(side).astype(np.int16)
    noise = np.random.default_rng(number).integers(-20, 21, pixels.shape[:2])
    grey: Pixels = np.clip(pixels + noise[:, :, None], 0, 255).astype(np.uint8)
    return grey


def _seconds(run: Callable[[], object]) -> float:
    begun = time.perf_counter()
    run()
    return time.perf_counter() - begun
