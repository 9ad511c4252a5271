"""Clicks that land beside where they were meant, as a hand's or a rounded coordinate's do."""

from dataclasses import dataclass, replace

import numpy as np

from ibisagent.tools.clicks import Box, Pixel, Prompt, click_to_pixel, pixel_to_click

__all__ = ["ClickJitter", "jitter_prompt"]


@dataclass(frozen=True, slots=True)
class ClickJitter:
    """How far a click is moved: ``pixels``, and ``share`` of the picture's longer side."""

    pixels: float = 0.0
    share: float = 0.0

    def __str__(self) -> str:
        """Return both distances."""
        return f"{self.pixels:g} px + {self.share:g}"

    def distance(self, shape: tuple[int, int]) -> float:
        """Return the distance in pixels on a picture of ``shape`` (H, W)."""
        return self.pixels + self.share * max(shape)


def jitter_prompt(prompt: Prompt, shape: tuple[int, int], jitter: ClickJitter, rng: np.random.Generator) -> Prompt:
    """Move a click by the distance of ``jitter`` in a direction drawn at random, a box as a whole; never off (H, W).

    At the picture's edge the way is shorter.
    """
    angle, length = rng.uniform(0, 2 * np.pi), jitter.distance(shape)
    down, across = length * np.sin(angle), length * np.cos(angle)
    height, width = shape
    if isinstance(prompt, Box):
        dx = float(np.clip(across / width, -prompt.x0, 1 - prompt.x1))
        dy = float(np.clip(down / height, -prompt.y0, 1 - prompt.y1))
        x0, y0, x1, y1 = np.clip((prompt.x0 + dx, prompt.y0 + dy, prompt.x1 + dx, prompt.y1 + dy), 0.0, 1.0).tolist()
        return Box(x0, y0, x1, y1, prompt.target)
    at = click_to_pixel(prompt, shape)
    row, column = round(at.row + down), round(at.column + across)
    moved = pixel_to_click(Pixel(min(max(row, 0), height - 1), min(max(column, 0), width - 1)), shape)
    return replace(prompt, x=moved.x, y=moved.y)
