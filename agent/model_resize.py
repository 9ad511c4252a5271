"""How a model's processor resizes its pictures: a model that writes pixels refers to those of the resized picture.

The loop shows such a model pictures of exactly that size, so that the processor does not resize them again.
"""

import math
from dataclasses import dataclass

__all__ = ["SmartResize"]


@dataclass(frozen=True, slots=True)
class SmartResize:
    """Qwen-VL's ``smart_resize``; the defaults lie within what every server of Qwen2.5-VL allows by default.

    ``factor``: both sides are multiples of it, in pixels: patch size x merge size. ``min_pixels``, ``max_pixels``: area
    that a picture is enlarged or shrunk to, roughly with its aspect ratio. ``square_side``: side in pixels that every
    picture is stretched to first.
    """

    factor: int = 28
    min_pixels: int = 4 * 28 * 28
    max_pixels: int = 1280 * 28 * 28
    square_side: int | None = None

    def resized_size(self, height: int, width: int) -> tuple[int, int]:
        """Return the (height, width) that a picture is resized to; a picture of that very size keeps it.

        >>> resize, small = SmartResize(), SmartResize(max_pixels=262144)
        >>> resize.resized_size(480, 640), small.resized_size(480, 640), resize.resized_size(20, 30)
        ((476, 644), (420, 588), (56, 84))
        """
        size = (height, width) if self.square_side is None else (self.square_side, self.square_side)
        sizes = list[tuple[int, int]]()
        while size not in sizes:
            sizes.append(size)
            size = self._once(*size)
        # Where ``min_pixels`` and ``max_pixels`` are too close for any size, the sizes repeat in a cycle.
        return min(sizes[sizes.index(size) :])

    def _once(self, height: int, width: int) -> tuple[int, int]:
        """Apply the rule once, exactly as the published code does."""
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
