"""Where a picture lies on a SAM's square input, and prompts and masks in the coordinates of that square."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ibisagent.tools.clicks import Box, Click, Prompt
from ibisagent.tools.imaging.grids import Mask
from ibisagent.tools.masks.measure import bounding_box

Field = NDArray[np.float32]

__all__ = [
    "STRIDE",
    "DecoderPrompt",
    "Field",
    "InputFrame",
    "LogitsPrior",
    "build_decoder_prompt",
    "compute_signed_distance_prior",
]

STRIDE = 4  # input pixels to a pixel of the low-resolution logits
# An initial mask's logits: steep per low-resolution pixel, then level. SAM 2 itself puts -10 and 10 for a given mask.
_SLOPE, _LIMIT = 4.0, 10.0


@dataclass(frozen=True, slots=True)
class InputFrame:
    """A picture of (H, W) that fills ``content`` (rows, columns), from the top left, of a ``side`` x ``side`` input."""

    picture: tuple[int, int]
    content: tuple[int, int]
    side: int

    @classmethod
    def stretched(cls, shape: tuple[int, ...], side: int) -> "InputFrame":
        """Stretch the picture over the whole square, whatever its proportions."""
        return cls((shape[0], shape[1]), (side, side), side)

    @classmethod
    def padded(cls, shape: tuple[int, ...], side: int) -> "InputFrame":
        """Scale the picture's longer side to the square's, and leave the rest of the square empty."""
        scale = side / max(shape[:2])
        rows, columns = (max(1, int(length * scale + 0.5)) for length in shape[:2])
        return cls((shape[0], shape[1]), (rows, columns), side)

    def point(self, x: float, y: float) -> tuple[float, float]:
        """Return (x, y) of the input for a place in [0, 1]; the prompt encoders add the half pixel again."""
        return x * self.content[1] - 0.5, y * self.content[0] - 0.5


class LogitsPrior(NamedTuple):
    """Low-resolution logits (side / 4, side / 4) float32, read-only; ``box``: that of the initial mask, if any."""

    logits: Field
    box: Box | None


@dataclass(frozen=True, slots=True, eq=False)
class DecoderPrompt:
    """One query of a mask decoder, in input pixels.

    ``points``: (k, 2) as (x, y), ``labels``: (k,) 1 or 0, ``box``: (4,) as (x0, y0, x1, y1), ``logits``: the prior's.
    ``multimask``: ask for three masks and take the one of the highest predicted IoU.
    """

    points: Field
    labels: NDArray[np.int32]
    box: Field | None
    logits: Field | None
    multimask: bool

    @property
    def batch_key(self) -> tuple[int, bool, bool, bool]:
        """Equal for queries that fit into one batch: padding tokens would change a SAM's answer."""
        return len(self.labels), self.box is None, self.logits is None, self.multimask


def build_decoder_prompt(
    frame: InputFrame, prompts: Sequence[Prompt], prior: LogitsPrior | None
) -> DecoderPrompt | None:
    """Convert prompts and prior to a decoder's query; None where nothing yet says what the target is.

    All clicks count, and the latest box. An initial mask's box stands in until a positive click falls outside of it.
    Three masks are requested after one single click alone, which is ambiguous; later ones refine.
    """
    clicks = [prompt for prompt in prompts if isinstance(prompt, Click)]
    boxes = [prompt for prompt in prompts if isinstance(prompt, Box)]
    if prior is None and not boxes and not any(click.positive for click in clicks):
        return None
    box = boxes[-1] if boxes else _find_initial_box(prior, clicks)
    return DecoderPrompt(
        points=np.array([frame.point(click.x, click.y) for click in clicks], np.float32).reshape(-1, 2),
        labels=np.array([click.positive for click in clicks], np.int32),
        box=None if box is None else _to_input_box(frame, box),
        logits=None if prior is None else prior.logits,
        multimask=len(clicks) == 1 and box is None and prior is None,
    )


def _to_input_box(frame: InputFrame, box: Box) -> Field:
    return np.array([*frame.point(box.x0, box.y0), *frame.point(box.x1, box.y1)], np.float32)


def _find_initial_box(prior: LogitsPrior | None, clicks: Sequence[Click]) -> Box | None:
    if prior is None or prior.box is None:
        return None
    box = prior.box
    inside = [box.x0 <= click.x <= box.x1 and box.y0 <= click.y <= box.y1 for click in clicks if click.positive]
    return box if all(inside) else None


def compute_signed_distance_prior(frame: InputFrame, mask: Mask) -> LogitsPrior | None:
    """Turn a mask (H, W) of the picture into logits, the distance to its contour, positive inside, and its box.

    An empty mask says nothing of the target: None. The contour runs where a low-resolution pixel is half covered; where
    none is, at half of what the most covered one is, so that no mask vanishes for being small.
    """
    if mask.shape != frame.picture:
        raise ValueError(f"mask of shape {mask.shape}: expected {frame.picture}, the picture's")
    found = bounding_box(mask)
    if found is None:
        return None
    logits = np.clip(_SLOPE * _compute_signed_distance(_compute_coverage(frame, mask)), -_LIMIT, _LIMIT).astype(
        np.float32
    )
    logits.setflags(write=False)
    height, width = mask.shape
    box = Box(found.left / width, found.top / height, (found.right + 1) / width, (found.bottom + 1) / height)
    return LogitsPrior(logits, box)


def _compute_coverage(frame: InputFrame, mask: Mask) -> Field:
    rows, columns = frame.content
    square = np.zeros((frame.side, frame.side), np.float32)
    shrunk = Image.fromarray(mask.astype(np.float32)).resize((columns, rows), Image.Resampling.BOX)
    square[:rows, :columns] = np.asarray(shrunk)
    low = frame.side // STRIDE
    return np.asarray(square.reshape(low, STRIDE, low, STRIDE).mean(axis=(1, 3)), np.float32)


def _compute_signed_distance(covered: Field) -> NDArray[np.float64]:
    """Signed distance to the contour in pixels; next to the contour, what the coverage says."""
    from scipy import ndimage

    most = float(covered.max())
    level = 0.5 if most > 0.5 else most / 2
    inside = covered > level
    if inside.all():
        return np.full(covered.shape, np.inf)
    distance = np.asarray(ndimage.distance_transform_edt(inside) - ndimage.distance_transform_edt(~inside))
    distance -= np.sign(distance) / 2
    along = (covered > 0) & (covered < 1) & (np.abs(distance) < 1)
    return np.where(along, covered - level, distance)
