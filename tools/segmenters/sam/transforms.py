"""Pictures into a SAM's input, and its logits back onto the picture, each exactly as the official pipeline does."""

from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn.functional import interpolate, pad

from ibisagent.tools.segmenters.base import Mask, Pixels
from ibisagent.tools.segmenters.sam.frame import InputFrame

__all__ = ["InputTransform", "MedSamTransform", "PadTransform", "StretchTransform"]

_MEAN, _SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, of channels in [0, 1]


class InputTransform(Protocol):
    """The preparation of pictures for one model, and the way of its masks back to them."""

    def frame(self, shape: tuple[int, ...], side: int) -> InputFrame:
        """Return where a picture of ``shape`` lies on an input of ``side`` pixels."""

    def prepare(self, pixels: Pixels, frame: InputFrame) -> torch.Tensor:
        """Return the input, (1, 3, side, side) float32."""

    def mask(self, logits: torch.Tensor, frame: InputFrame) -> Mask:
        """Return the picture's mask, (H, W), from float32 logits (1, 1, h, w): enlarged bilinearly, then cut at 0."""


class StretchTransform:
    """SAM 2's: stretched to the square (`SAM2Transforms` of facebookresearch/sam2, which MedSAM2 uses as well)."""

    def frame(self, shape: tuple[int, ...], side: int) -> InputFrame:
        """Fill the square."""
        return InputFrame.stretched(shape, side)

    def prepare(self, pixels: Pixels, frame: InputFrame) -> torch.Tensor:
        """Scale to [0, 1], resize with anti-aliasing, normalise."""
        values = _to_channels_first(pixels) / 255
        small = interpolate(values, frame.content, mode="bilinear", align_corners=False, antialias=True)
        return _normalize(small)

    def mask(self, logits: torch.Tensor, frame: InputFrame) -> Mask:
        """Enlarge straight to the picture."""
        return _to_array(interpolate(logits, frame.picture, mode="bilinear", align_corners=False) > 0)


class PadTransform:
    """SAM's: longer side to the square's, rest zero (`SamPredictor` and `Sam.postprocess_masks`, segment-anything)."""

    def frame(self, shape: tuple[int, ...], side: int) -> InputFrame:
        """Keep the proportions."""
        return InputFrame.padded(shape, side)

    def prepare(self, pixels: Pixels, frame: InputFrame) -> torch.Tensor:
        """Resize the 8-bit picture, normalise, pad to the right and below."""
        rows, columns = frame.content
        small = np.asarray(Image.fromarray(pixels).resize((columns, rows), Image.Resampling.BILINEAR))
        values = _normalize(_to_channels_first(small) / 255)
        return pad(values, (0, frame.side - columns, 0, frame.side - rows))

    def mask(self, logits: torch.Tensor, frame: InputFrame) -> Mask:
        """Enlarge to the square, cut the padding off, then resize to the picture."""
        rows, columns = frame.content
        square = interpolate(logits, (frame.side, frame.side), mode="bilinear", align_corners=False)
        part = square[..., :rows, :columns]
        return _to_array(interpolate(part, frame.picture, mode="bilinear", align_corners=False) > 0)


class MedSamTransform:
    """MedSAM's: stretched to the square, scaled from its least to its greatest value (`MedSAM_Inference.py`)."""

    def frame(self, shape: tuple[int, ...], side: int) -> InputFrame:
        """Fill the square."""
        return InputFrame.stretched(shape, side)

    def prepare(self, pixels: Pixels, frame: InputFrame) -> torch.Tensor:
        """Resize bicubically back to 8 bits, then to [0, 1]; no ImageNet statistics."""
        from skimage import transform

        resize: Any = transform.resize
        small = resize(pixels, frame.content, order=3, preserve_range=True, anti_aliasing=True).astype(np.uint8)
        low, high = float(small.min()), float(small.max())
        return _to_three_channels((_to_channels_first(small) - low) / max(high - low, 1e-8))

    def mask(self, logits: torch.Tensor, frame: InputFrame) -> Mask:
        """Enlarge the probabilities, not the logits, and cut at one half."""
        chances = interpolate(logits.sigmoid(), frame.picture, mode="bilinear", align_corners=False)
        return _to_array(chances > 0.5)


def _to_channels_first(pixels: NDArray[Any]) -> torch.Tensor:
    """Return (1, c, H, W) float32 of an (H, W) or (H, W, 3) picture, c = 1 or 3."""
    values = torch.tensor(pixels, dtype=torch.float32)
    return values[None, None] if values.ndim == 2 else values.permute(2, 0, 1)[None]


def _to_three_channels(values: torch.Tensor) -> torch.Tensor:
    return values.expand(-1, 3, -1, -1)


def _normalize(values: torch.Tensor) -> torch.Tensor:
    mean, spread = (torch.tensor(row).view(1, 3, 1, 1) for row in (_MEAN, _SPREAD))
    return (_to_three_channels(values) - mean) / spread


def _to_array(mask: torch.Tensor) -> Mask:
    array: Mask = mask[0, 0].cpu().numpy()
    return array
