"""A fake segmenter: a disc for every click. It ignores the pixels, so that a test can predict its masks."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ibisagent.tools.clicks import Box, Prompt, box_to_pixel_box, click_to_pixel
from ibisagent.tools.segmenters.base import Mask, Pixels, Prediction, Query, predict_one_by_one
from ibisagent.tools.segmenters.prompt_kinds import require_taken, taken_by

__all__ = ["DiskSegmenter"]


@dataclass(frozen=True)
class DiskSegmenter:
    """Paints the prompts in order: a positive click adds a disc, a negative one removes it, a box fills itself.

    ``radius``: of the discs, as a share of the picture's longer side. The embedding is the picture's (H, W), the prior
    the mask so far; every call repaints all prompts on it.
    """

    radius: float = 0.05
    name = "disk"
    calibrated = False

    @property
    def fingerprint(self) -> str:
        """Name, version and radius."""
        return f"disk-1 radius={self.radius}"

    def embed(self, pixels: Pixels) -> tuple[int, int]:
        """Keep the size alone."""
        return (pixels.shape[0], pixels.shape[1])

    def predict(self, embedding: tuple[int, int], prompts: Sequence[Prompt], prior: Mask | None) -> Prediction:
        """Paint; see `Segmenter.predict`."""
        require_taken(prompts, taken_by(self), self.name)
        mask = np.zeros(embedding, np.bool_) if prior is None else prior.copy()
        for prompt in prompts:
            self._paint(mask, prompt)
        mask.setflags(write=False)
        return Prediction(mask, None, mask)

    def predict_many(self, queries: Sequence[Query]) -> list[Prediction]:
        """Answer one by one."""
        return predict_one_by_one(self, queries)

    def prior_from_mask(self, embedding: tuple[int, int], mask: Mask) -> Mask:
        """Take the mask itself."""
        if mask.shape != embedding:
            raise ValueError(f"mask of shape {mask.shape}: expected {embedding}, the picture's")
        prior = mask.copy()
        prior.setflags(write=False)
        return prior

    def _paint(self, mask: Mask, prompt: Prompt) -> None:
        if isinstance(prompt, Box):
            top, left, bottom, right = box_to_pixel_box(prompt, mask.shape)
            mask[top : bottom + 1, left : right + 1] = True
            return
        row, column = click_to_pixel(prompt, mask.shape)
        rows, columns = np.ogrid[: mask.shape[0], : mask.shape[1]]
        reach = self.radius * max(mask.shape)
        mask[(rows - row) ** 2 + (columns - column) ** 2 <= reach * reach] = prompt.positive
