"""PNG files in memory."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["encode_png"]


def encode_png(pixels: NDArray[np.uint8] | NDArray[np.bool_], level: int = 4) -> bytes:
    """Return the PNG file of a picture, (H, W) or (H, W, 3) uint8, or of a mask, (H, W) bool, in 0 and 255.

    Equal arrays give equal bytes. ``level``: of compression, 1 where speed counts, 6 where the file is kept.
    """
    file = io.BytesIO()
    shown = pixels * np.uint8(255) if pixels.dtype == np.bool_ else pixels
    Image.fromarray(shown).save(file, format="PNG", compress_level=level)
    return file.getvalue()
