"""What the policy is shown: the mask in green over the picture. One function for the loop, training and the CLI."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ibisagent.agent.model_resize import SmartResize
from ibisagent.tools.masks.measure import bounding_box

__all__ = ["GREEN", "OPACITY", "OverlayBlend", "draw_mask", "fit_to_side", "overlay", "prepare_blend"]

GREEN = (34, 139, 34)
OPACITY = 0.4

# A row a channel: floor(0.6 v + 0.4 c + 0.5) of every grey value v, in whole tenths so that nothing rounds twice.
_BLEND = np.array([[(6 * value + 4 * colour + 5) // 10 for value in range(256)] for colour in GREEN], dtype=np.uint8)


class OverlayBlend(NamedTuple):
    """A picture prepared for drawing many masks: (H, W, 3) uint8, and what each byte is XORed with inside a mask."""

    picture: NDArray[np.uint8]
    difference: NDArray[np.uint8]


def prepare_blend(pixels: NDArray[np.uint8]) -> OverlayBlend:
    """Prepare a picture, (H, W) or (H, W, 3) uint8."""
    picture = np.repeat(pixels[..., None], 3, axis=2) if pixels.ndim == 2 else np.ascontiguousarray(pixels)
    blended = np.stack([table[picture[..., channel]] for channel, table in enumerate(_BLEND)], axis=2)
    return OverlayBlend(picture, picture ^ blended)


def draw_mask(blend: OverlayBlend, mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Draw a mask, (H, W) bool; returns a new (H, W, 3) uint8, read-only.

    The picture is XORed with the difference inside the mask, within the mask's bounding box: the blend of every pixel
    is precomputed, and a boolean choice for each of three channels would cost more than all the rest of a step.
    """
    drawn = blend.picture.copy()
    box = bounding_box(mask)
    if box is not None:
        inside = np.s_[box.top : box.bottom + 1, box.left : box.right + 1]
        bytes_inside = np.s_[inside[0], 3 * box.left : 3 * box.right + 3]
        chosen = np.repeat(mask[inside].view(np.uint8) * np.uint8(255), 3, axis=1)
        chosen &= _bytes(blend.difference)[bytes_inside]
        _bytes(drawn)[bytes_inside] ^= chosen
    drawn.setflags(write=False)
    return drawn


def _bytes(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """View (H, W, 3) as (H, 3 W)."""
    return picture.reshape(picture.shape[0], -1)


def overlay(pixels: NDArray[np.uint8], mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Blend ``mask`` (H, W) bool into ``pixels``, (H, W) or (H, W, 3) uint8; returns a new (H, W, 3) uint8.

    Inside the mask floor(0.6 image + 0.4 (34, 139, 34) + 0.5), as the released weights expect it (IBISAgent,
    arXiv 2601.03054); outside the picture itself; no outline and no markers.
    """
    return draw_mask(prepare_blend(pixels), mask)


def fit_to_side(
    picture: NDArray[np.uint8], side: int | None, smart_resize: SmartResize | None = None, *, enlarge: bool = False
) -> NDArray[np.uint8]:
    """Shrink a picture (H, W, 3) so that neither side exceeds ``side`` pixels; smaller ones are returned unchanged.

    With ``enlarge`` the longer side of a smaller picture becomes ``side`` as well. With ``smart_resize`` the picture
    gets a size that the model's processor does not change again: the nearest one that ``side`` allows.
    """
    height, width = picture.shape[:2]
    scale = (side or max(height, width)) / max(height, width)
    scale = scale if enlarge else min(1.0, scale)
    step = smart_resize.factor if smart_resize is not None else 1
    most = max(side or max(height, width, step), step) // step
    rows, columns = (step * min(max(1, round(length * scale / step)), most) for length in (height, width))
    rows, columns = smart_resize.resized_size(rows, columns) if smart_resize is not None else (rows, columns)
    if (rows, columns) == (height, width):
        return picture
    way = Image.Resampling.BOX if rows <= height and columns <= width else Image.Resampling.BICUBIC
    return np.asarray(Image.fromarray(picture).resize((columns, rows), way, reducing_gap=2.0))
