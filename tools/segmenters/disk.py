"""The fake that ships: it paints a disc for every click. No image analysis; for tests, benchmarks and first steps."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ibisagent.tools.clicks import Box, Prompt, pixel_box, pixel_of
from ibisagent.tools.segmenters.base import Mask, Pixels, Prediction, Query, one_by_one

__all__ = ["DiskSegmenter"]


class DiskSegmenter:
    """Paints the newest prompt over the prior: a positive click adds a disc, a negative one removes it, a box fills."""

    calibrated = False

    def __init__(self, radius: float = 0.05) -> None:
        """Take the radius as a share of the longer side of the picture."""
        self._radius = radius

    @property
    def fingerprint(self) -> str:
        """Name, version and radius."""
        return f"disk-1 radius={self._radius:g}"

    def embed(self, pixels: Pixels) -> tuple[int, int]:
        """Keep the picture's height and width."""
        return int(pixels.shape[0]), int(pixels.shape[1])

    def predict(self, embedding: tuple[int, int], prompts: Sequence[Prompt], prior: Mask | None) -> Prediction:
        """Paint the newest prompt; it has no score worth telling."""
        mask = np.zeros(embedding, dtype=np.bool_) if prior is None else prior.copy()
        self._paint(mask, prompts[-1])
        mask.setflags(write=False)
        return Prediction(mask, None, mask)

    def _paint(self, mask: Mask, prompt: Prompt) -> None:
        if isinstance(prompt, Box):
            top, left, bottom, right = pixel_box(prompt, mask.shape)
            mask[top : bottom + 1, left : right + 1] = True
            return
        row, column = pixel_of(prompt, mask.shape)
        reach = int(self._radius * max(mask.shape))
        top, left = max(0, row - reach), max(0, column - reach)
        window = mask[top : row + reach + 1, left : column + reach + 1]
        y, x = np.ogrid[: window.shape[0], : window.shape[1]]
        window[(y + top - row) ** 2 + (x + left - column) ** 2 <= reach * reach] = prompt.positive

    def predict_many(self, queries: Sequence[Query]) -> list[Prediction]:
        """Answer one by one."""
        return one_by_one(self, queries)

    def prior_from_mask(self, embedding: tuple[int, int], mask: Mask) -> Any:
        """Take a mask as what was painted so far."""
        return mask
