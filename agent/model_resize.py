"""How a model's processor resizes the pictures that it is shown: a model that writes pixels counts those of the result.

The loop shows such a model pictures of exactly that size, so that nothing after it resizes them again.
"""

import math
from dataclasses import dataclass

__all__ = ["SmartResize"]


@dataclass(frozen=True, slots=True)
class SmartResize:
    """Qwen-VL's rule (``smart_resize``); the defaults lie within what every server of Qwen2.5-VL allows by itself.

    ``multiple``: of which both sides are, in pixels: patch size x merge size. ``least``, ``most``: pixels that a
    picture is enlarged or shrunk to, roughly with its aspect ratio. ``square``: side in pixels that every picture is
    stretched to first.
    """

    factor: int = 28
    min_pixels: int = 4 * 28 * 28
    max_pixels: int = 1280 * 28 * 28
    square_side: int | None = None

    def resized_size(self, height: int, width: int) -> tuple[int, int]:
        """Give the (height, width) that a picture is seen at; a picture of that very size keeps it.

        >>> Resizing().size(480, 640), Resizing(most=262144).size(480, 640), Resizing().size(20, 30)
        ((476, 644), (420, 588), (56, 84))
        """
        size, met = (height, width) if self.square_side is None else (self.square_side, self.square_side), list[tuple[int, int]]()
        while size not in met:
            met.append(size)
            size = self._once(*size)
        # Where ``least`` and ``most`` are too near to each other for any size, sizes follow each other in a circle.
        return min(met[met.index(size) :])

    def _once(self, height: int, width: int) -> tuple[int, int]:
        """Do as the published code does, to the last rounding."""
        step, pixels = self.factor, height * width
        near = (round(height / step) * step, round(width / step) * step)
        if near[0] * near[1] > self.max_pixels:
            scale = math.sqrt(pixels / self.max_pixels)
            near = (math.floor(height / scale / step) * step, math.floor(width / scale / step) * step)
            return max(step, near[0]), max(step, near[1])
        if near[0] * near[1] < max(self.min_pixels, 1):
            scale = math.sqrt(self.min_pixels / pixels)
            return math.ceil(height * scale / step) * step, math.ceil(width * scale / step) * step
        return near
