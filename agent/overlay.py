"""What the policy sees: the mask in green over the picture. One function for the loop, training and the interface."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["GREEN", "OPACITY", "fit", "overlay"]

GREEN = (34, 139, 34)
OPACITY = 0.4

# A row a channel: floor(0.6 v + 0.4 c + 0.5) of every grey value v, in whole tenths so that nothing rounds twice.
_BLEND = np.array([[(6 * value + 4 * colour + 5) // 10 for value in range(256)] for colour in GREEN], dtype=np.uint8)
_TABLE = _BLEND.ravel().tolist()


def overlay(pixels: NDArray[np.uint8], mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Blend ``mask`` (H, W) bool into ``pixels``, (H, W) or (H, W, 3) uint8; gives a new (H, W, 3) uint8.

    Inside the mask floor(0.6 image + 0.4 (34, 139, 34) + 0.5), as in METHOD section 1; outside the picture itself;
    no outline and no markers. Only the bounding box of the mask is touched: the blend must not cost a millisecond.
    """
    picture = Image.fromarray(pixels).convert("RGB")
    box = bounding_box(mask)
    if box is not None:
        top, left, bottom, right = box
        inside = Image.fromarray(mask[top:bottom, left:right].view(np.uint8) * np.uint8(255))
        picture.paste(picture.crop((left, top, right, bottom)).point(_TABLE), (left, top), inside)
    return np.asarray(picture)


def bounding_box(mask: NDArray[np.bool_]) -> tuple[int, int, int, int] | None:
    """Give (top, left, bottom, right), the last two exclusive, or None for an empty mask."""
    rows = np.flatnonzero(mask.any(axis=1))
    if rows.size == 0:
        return None
    columns = np.flatnonzero(mask[rows[0] : rows[-1] + 1].any(axis=0))
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def fit(picture: NDArray[np.uint8], side: int | None) -> NDArray[np.uint8]:
    """Shrink a picture (H, W, 3) so that neither side exceeds ``side`` pixels; smaller ones come back as they are."""
    height, width = picture.shape[:2]
    if side is None or max(height, width) <= side:
        return picture
    scale = side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BOX, reducing_gap=2.0))
