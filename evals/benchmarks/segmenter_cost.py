"""What a call of the embedded segmenter costs: CPU time on one thread, of drawn pictures with an organ in a body."""

import time
from typing import NamedTuple

import numpy as np
from rich.table import Table
from scipy import ndimage

from ibisagent.tools.clicks import Click, Prompt
from ibisagent.tools.segmenters import Segmenter, get_segmenter
from ibisagent.tools.segmenters.base import Pixels

__all__ = ["CallCosts", "measure_call_costs", "segmenter_table"]

_CLICKS = 8


class CallCosts(NamedTuple):
    """CPU seconds: of each picture's encoding, of each first click, and of each later one."""

    embed: list[float]
    first: list[float]
    later: list[float]


def _draw_scene(side: int, seed: int, *, colour: bool) -> Pixels:
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:side, :side] / side
    picture = np.full((side, side), 60.0)
    picture[((rows - 0.5) / 0.42) ** 2 + ((columns - 0.5) / 0.45) ** 2 < 1] = 110
    down, across = 0.1 + 0.12 * rng.random(2)
    picture[((rows - 0.5) / down) ** 2 + ((columns - 0.45) / across) ** 2 < 1] = 150
    picture = ndimage.gaussian_filter(picture, 3 * side / 1024) + rng.normal(0, 10, picture.shape)
    grey = np.clip(picture, 0, 255).astype(np.uint8)
    return np.stack([grey, 255 - grey, grey // 2], axis=2) if colour else grey


def measure_call_costs(segmenter: Segmenter, side: int, pictures: int = 4, *, colour: bool = False) -> CallCosts:
    """Measure ``_CLICKS`` clicks, in turns inside and outside of the organ, on each of some pictures."""
    costs = CallCosts([], [], [])
    segmenter.predict(segmenter.embed(_draw_scene(side, 0, colour=colour)), (Click(0.45, 0.5),), None)  # warm up
    for seed in range(pictures):
        pixels = _draw_scene(side, seed, colour=colour)
        begun = time.process_time()
        embedding = segmenter.embed(pixels)
        costs.embed.append(time.process_time() - begun)
        prompts: list[Prompt] = []
        prior = None
        for number in range(_CLICKS):
            angle, reach = 2 * np.pi * number / _CLICKS, (0.3 if number % 2 else 0.09) if number else 0.02
            x, y = 0.45 + reach * float(np.cos(angle)), 0.5 + reach * float(np.sin(angle))
            prompts.append(Click(x, y, positive=number % 2 == 0))
            begun = time.process_time()
            prior = segmenter.predict(embedding, tuple(prompts), prior).prior
            (costs.later if number else costs.first).append(time.process_time() - begun)
    return costs


def segmenter_table(name: str = "geocut") -> Table:
    """Tabulate the calls of a segmenter at both sizes, grey and in colour."""
    heads = ("picture", "embed, ms", "first click", "p95", "later clicks", "p95")
    table = Table(*heads, title=f"{name}, CPU time of a call, median and p95")
    segmenter = get_segmenter(name)
    for side in (512, 1024):
        for colour in (False, True):
            costs = measure_call_costs(segmenter, side, colour=colour)
            clicks = [f"{1e3 * np.quantile(part, share):.0f}" for part in costs[1:] for share in (0.5, 0.95)]
            kind = "colour" if colour else "grey"
            table.add_row(f"{side} px, {kind}", f"{1e3 * np.median(costs.embed):.0f}", *clicks)
    return table
