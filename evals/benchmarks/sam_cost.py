"""Time of an episode of clicks with SAM 2: bare passes of the network, our segmenter, and the official predictor.

Weights are random: time does not depend on them. Everything is measured in one run, in turns, on one thread, and the
minimum of several rounds counts, since other load on a machine only adds.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.nn.functional import interpolate

from ibisagent.agent import Click, LoopConfig, Terminate, build_graph
from ibisagent.agent.actions import write_reply
from ibisagent.agent.policies.simple import ScriptedPolicy
from ibisagent.agent.state import Input
from ibisagent.tools.imaging.open_image import open_image
from ibisagent.tools.segmenters.base import Mask, Pixels
from ibisagent.tools.segmenters.sam.frame import InputFrame, LogitsPrior, build_decoder_prompt
from ibisagent.tools.segmenters.sam.models import DecoderBatch, collate_prompts
from ibisagent.tools.segmenters.sam.sam2_package import Sam2Package, build_model, get_published_config
from ibisagent.tools.segmenters.sam.segmenter import SamSegmenter
from ibisagent.tools.segmenters.sam.transforms import StretchTransform

__all__ = [
    "EpisodeCosts",
    "build_tiny_sam",
    "circle_clicks",
    "draw_image",
    "measure_episode_costs",
    "official_episode",
    "official_features",
    "official_prediction",
    "our_episode",
]

_CPU = torch.device("cpu")


class EpisodeCosts(NamedTuple):
    """Seconds of one encoder pass, of one decoder pass (a mean over the episode), and of whole episodes.

    ``ours``: our segmenter alone, ``graph``: the whole loop around it, ``official``: the official predictor's calls.
    """

    encoder: float
    decoder: float
    ours: float
    graph: float
    official: float


def build_tiny_sam(side: int) -> Any:
    """Build the published SAM 2.1 tiny for inputs of ``side`` pixels, with random weights."""
    torch.manual_seed(0)
    return build_model(get_published_config("sam2.1", "t"), side)


def circle_clicks(clicks: int) -> list[Click]:
    """Return clicks along a circle, every third one negative."""
    angles = 2 * np.pi * np.arange(clicks) / clicks
    places = zip(0.5 + 0.2 * np.cos(angles), 0.5 + 0.2 * np.sin(angles), strict=True)
    return [Click(round(float(x), 4), round(float(y), 4), index % 3 != 2) for index, (x, y) in enumerate(places)]


def official_episode(model: Any, pixels: Pixels, clicks: Sequence[Click]) -> list[Mask]:
    """Run an episode with the calls of `SAM2ImagePredictor`: the image once, then each time all clicks so far."""
    masks, logits = [], None
    with torch.inference_mode():
        features = official_features(model, pixels)
        for count in range(1, len(clicks) + 1):
            mask, logits = official_prediction(model, features, clicks[:count], logits, pixels.shape[:2])
            masks.append(mask)
    return masks


def official_prediction(
    model: Any,
    features: list[torch.Tensor],
    clicks: Sequence[Click],
    logits: torch.Tensor | None,
    shape: tuple[int, ...],
) -> tuple[Mask, torch.Tensor]:
    """Predict from all clicks so far: the mask, of ``shape`` (H, W), and its logits, (1, 1, h, w), for the next call.

    Three masks are predicted after a single click only.
    """
    low, scores = _official_click(model, features, clicks, logits)
    best = low[:, int(scores[0].argmax())][:, None]
    large = interpolate(best.float(), shape, mode="bilinear", align_corners=False)
    return (large[0, 0] > 0).numpy(), best.clamp(-32.0, 32.0)


def official_features(model: Any, pixels: Pixels) -> list[torch.Tensor]:
    """Encode an image, (H, W, 3) uint8, as the predictor's `set_image` does."""
    image = torch.tensor(pixels).permute(2, 0, 1)[None] / 255
    side = model.image_size
    image = interpolate(image, (side, side), mode="bilinear", align_corners=False, antialias=True)
    mean, spread = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]).view(2, 1, 3, 1, 1)
    _, flat, _, sizes = model._prepare_backbone_features(model.forward_image((image - mean) / spread))
    flat[-1] = flat[-1] + model.no_mem_embed
    return [level.permute(1, 2, 0).view(1, -1, *size) for level, size in zip(flat, sizes, strict=True)]


def _official_click(
    model: Any, features: list[torch.Tensor], clicks: Sequence[Click], logits: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor]:
    points = torch.tensor([[(click.x, click.y) for click in clicks]]) * model.image_size - 0.5
    labels = torch.tensor([[int(click.positive) for click in clicks]], dtype=torch.int32)
    sparse, dense = model.sam_prompt_encoder(points=(points, labels), boxes=None, masks=logits)
    low, scores, _, _ = model.sam_mask_decoder(
        image_embeddings=features[-1],
        image_pe=model.sam_prompt_encoder.get_dense_pe(),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        multimask_output=len(clicks) == 1,
        repeat_image=False,
        high_res_features=features[:-1],
    )
    return low, scores


def _segmenter(model: Any) -> SamSegmenter:
    """Wrap a model anew, so that nothing is cached from the run before."""
    return SamSegmenter("sam2", Sam2Package(model), StretchTransform(), (), _CPU, torch.float32)


def our_episode(model: Any, pixels: Pixels, clicks: Sequence[Click]) -> list[Mask]:
    """Run the same clicks through our segmenter."""
    segmenter = _segmenter(model)
    embedding, prior, masks = segmenter.embed(pixels), None, []
    for count in range(1, len(clicks) + 1):
        prediction = segmenter.predict(embedding, clicks[:count], prior)
        prior = prediction.prior
        masks.append(prediction.mask)
    return masks


def _graph_episode(model: Any, pixels: Pixels, clicks: Sequence[Click]) -> None:
    replies = [write_reply("Here.", click) for click in clicks] + [write_reply("It fits.", Terminate(), "There.")]
    graph = build_graph(ScriptedPolicy(replies), _segmenter(model), LoopConfig(max_steps=len(replies)))
    graph.invoke(Input(image=open_image(pixels), request="Segment the target."))


def measure_episode_costs(side: int = 512, clicks: int = 10, repeats: int = 5) -> EpisodeCosts:
    """Measure episodes of SAM 2.1 tiny on the CPU, on a picture of ``side`` x ``side``."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _measure(build_tiny_sam(side), side, circle_clicks(clicks), repeats)
    finally:
        torch.set_num_threads(threads)


def _measure(model: Any, side: int, clicks: Sequence[Click], repeats: int) -> EpisodeCosts:
    pixels = draw_image(side)
    package, prepared = Sam2Package(model), StretchTransform().prepare(pixels, InputFrame.stretched(pixels.shape, side))
    with torch.inference_mode():
        features, questions = package.encode(prepared), _decoder_inputs(side, clicks)
    runs: list[Callable[[], object]] = [
        lambda: package.encode(prepared),
        lambda: [package.decode(features, each) for each in questions],
        lambda: our_episode(model, pixels, clicks),
        lambda: _graph_episode(model, pixels, clicks),
        lambda: official_episode(model, pixels, clicks),
    ]
    with torch.inference_mode():
        seconds = [[_seconds(run) for run in runs] for _ in range(repeats + 1)][1:]  # the first round warms up
    encoder, decoders, *episodes = (min(column) for column in zip(*seconds, strict=True))
    return EpisodeCosts(encoder, decoders / len(clicks), *episodes)


def draw_image(side: int) -> Pixels:
    """Draw a bright ellipse in a body, (side, side, 3): masks of noise would cost the loop more than real ones."""
    y, x = np.mgrid[:side, :side] / side
    body, target = (2 * x - 1) ** 2 + (2 * y - 1) ** 2 < 0.9, (x - 0.6) ** 2 + 2 * (y - 0.5) ** 2 < 0.03
    return np.repeat((20 + 70 * body + 90 * target).astype(np.uint8)[:, :, None], 3, axis=2)


def _decoder_inputs(side: int, clicks: Sequence[Click]) -> list[DecoderBatch]:
    """Return the decoder inputs of an episode: one click alone, then more of them with logits."""
    frame, prior = (
        InputFrame.stretched((side, side), side),
        LogitsPrior(np.zeros((side // 4, side // 4), np.float32), None),
    )
    asks = [
        build_decoder_prompt(frame, clicks[:count], prior if count > 1 else None) for count in range(1, len(clicks) + 1)
    ]
    return [collate_prompts([asked], _CPU) for asked in asks if asked is not None]


def _seconds(run: Callable[[], object]) -> float:
    begun = time.perf_counter()
    run()
    return time.perf_counter() - begun
