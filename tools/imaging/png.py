"""PNG files in memory."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["encode_png"]


def encode_png(pixels: NDArray[np.uint8], level: int = 4) -> bytes:
    """Return the PNG file of a picture, (H, W) or (H, W, 3) uint8; equal pictures give equal bytes.

    ``level``: of compression, 1 where speed counts, 6 where the file is kept.
    """
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG", compress_level=level)
    return file.getvalue()
