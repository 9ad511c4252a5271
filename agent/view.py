"""What is shown of a run's picture: the mask drawn over it, cropped to the view, resized for the policy."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ibisagent.agent.config import LoopConfig
from ibisagent.agent.coordinates import CoordinateFrame, Rectangle
from ibisagent.agent.model_resize import SmartResize
from ibisagent.agent.overlay import OverlayBlend, draw_mask, fit_to_side, prepare_blend
from ibisagent.tools.cache import OnceCache
from ibisagent.tools.errors import InputError
from ibisagent.tools.imaging.grids import Mask, make_read_only
from ibisagent.tools.imaging.medical_image import MedicalImage
from ibisagent.tools.masks.rle import Rle, decode, rle_key

__all__ = ["View", "crop_slices", "read_view"]

_BLEND_CACHE_BYTES = 96 * 2**20  # bytes
_FRAME_CACHE_BYTES = 16 * 2**20  # bytes; small, so that memory is reused instead of allocated again
_ROUNDING = 1e-6  # pixels

_Slices = tuple[slice, slice]


class View:
    """Draws pictures for a policy as the settings of a loop say; its caches do not alter results."""

    def __init__(self, config: LoopConfig) -> None:
        """Take the settings; a model that writes pixels refers to the resized picture of its processor."""
        self._config = config
        # By default that of Qwen2.5-VL.
        self._smart_resize = (config.smart_resize or SmartResize()) if config.coordinates == "pixels" else None
        self._blends: OnceCache[OverlayBlend] = OnceCache(_BLEND_CACHE_BYTES, lambda ready: 2 * ready[0].nbytes)
        self._pictures: OnceCache[NDArray[np.uint8]] = OnceCache(_FRAME_CACHE_BYTES, lambda array: array.nbytes)
        self._masks: OnceCache[Mask] = OnceCache(_FRAME_CACHE_BYTES, lambda array: array.nbytes)

    def mask(self, rle: Rle) -> Mask:
        """Decode a mask, (H, W) bool, read-only."""
        return self._masks.get(rle_key(rle), lambda: make_read_only(decode(rle)))

    def keep_mask(self, key: str, mask: Mask) -> None:
        """Keep a mask, (H, W) bool, that need not be decoded then; ``key``: of its RLE."""
        self._masks.get(key, lambda: mask)

    def picture(self, image: MedicalImage, rle: Rle, view: Rectangle | None = None) -> NDArray[np.uint8]:
        """Draw a mask over its image and return the part in ``view``, (h, w, 3) uint8, as the policy is shown it."""
        return self._pictures.get((image.sha, rle_key(rle), view), lambda: self._draw(image, rle, view))

    def _draw(self, image: MedicalImage, rle: Rle, view: Rectangle | None) -> NDArray[np.uint8]:
        canvas = draw_mask(self._blends.get(image.sha, lambda: prepare_blend(image.pixels)), self.mask(rle))
        if view is not None:
            canvas = np.ascontiguousarray(canvas[crop_slices(view, image.shape)])
            canvas.setflags(write=False)
        config = self._config
        return fit_to_side(canvas, config.picture_side, self._smart_resize, enlarge=config.enlarge)

    def frame(self, image: MedicalImage, rle: Rle, view: Rectangle | None = None) -> CoordinateFrame:
        """Return the frame in which the policy writes its coordinates: that of the picture it is shown."""
        height, width = self.picture(image, rle, view).shape[:2]
        shown = None if view is None else _edges(crop_slices(view, image.shape), image.shape)
        return CoordinateFrame(self._config.coordinates or "unit", width, height, shown)


def read_view(value: Any) -> Rectangle | None:
    """Convert the plain form of a view, four numbers [x0, y0, x1, y1] or None; `InputError` for anything else."""
    if value is None:
        return None
    try:
        view = Rectangle(*map(float, value))
    except (TypeError, ValueError):
        view = Rectangle(0.0, 0.0, 0.0, 0.0)
    if not (0 <= view.x0 < view.x1 <= 1 and 0 <= view.y0 < view.y1 <= 1):
        raise InputError(f"view: got {value!r}, expected [x0, y0, x1, y1] in [0, 1] with x0 < x1 and y0 < y1")
    return view


def crop_slices(view: Rectangle, shape: tuple[int, int]) -> _Slices:
    """Return the rows and columns of a picture of ``shape`` (height, width) that have a share in a view."""
    height, width = shape
    return _covered(view.y0 * height, view.y1 * height), _covered(view.x0 * width, view.x1 * width)


def _covered(low: float, high: float) -> slice:
    """Return the whole steps that an interval has a share in, more than by rounding.

    >>> _covered(100 * 0.07, 100 * 0.29), _covered(2.5, 2.6)
    (slice(7, 29, None), slice(2, 3, None))
    """
    return slice(math.floor(low + _ROUNDING), math.ceil(high - _ROUNDING))


def _edges(part: _Slices, shape: tuple[int, int]) -> Rectangle:
    (rows, columns), (height, width) = part, shape
    return Rectangle(columns.start / width, rows.start / height, columns.stop / width, rows.stop / height)
