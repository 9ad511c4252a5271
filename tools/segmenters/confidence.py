"""An estimate of a mask's IoU: a fixed linear rule over features that need no truth.

The rule's weights were fitted to the IoU of masks along simulated click runs, centred and rough, on synthetic pictures
and a few real slices. Edge strength and contrast say whether the mask is an object; the last correction's size says
how wrong the mask before was.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ibisagent.tools.masks.measure import iou
from ibisagent.tools.segmenters.base import Mask
from ibisagent.tools.segmenters.features import Features

__all__ = ["NAMES", "ScoreContext", "estimate_iou", "measure_mask"]

NAMES = (
    "edge",
    "weakest",
    "contrast",
    "spread",
    "area",
    "area2",
    "border",
    "ragged",
    "gap",
    "change",
    "clicks",
    "odds",
)
WEIGHTS = np.array([-0.157, 0.33, 0.134, -0.636, -0.317, -0.064, -1.708, -1.605, -0.316, 0.712, 0.245, 0.275])
BIAS = 1.651
MIN_CONTRAST = 0.3  # contrast in spreads under which a mask is not distinguished from its surroundings


class ScoreContext(NamedTuple):
    """What led to a mask: how many clicks, the last one's correction (working pixels), the mask before, its odds.

    ``odds``: (h, w) evidence for the object before any smoothing, in log units.
    """

    clicks: int
    gap: float
    before: Mask | None
    odds: NDArray[np.float32]


def _find_contour_steps(features: Features, label: Mask) -> NDArray[np.float64]:
    """Colour steps across the contour, one for each pair of neighbours that it parts."""
    steps = []
    for axis in (0, 1):
        parted = np.diff(label, axis=axis)
        difference = np.diff(features.colours, axis=axis)[parted]
        steps.append(np.sqrt((difference**2).sum(axis=1)))
    return np.concatenate(steps).astype(np.float64)


def measure_mask(features: Features, label: Mask, context: ScoreContext) -> NDArray[np.float64]:
    """Measure a mask (h, w) that is neither empty nor everything; one number for each of `NAMES`."""
    steps = _find_contour_steps(features, label)
    typical = float(features.gradient.mean()) + 1e-3
    area = float(label.sum())
    radius = np.sqrt(area / np.pi)
    width = max(2, round(0.2 * radius))
    box = tuple(
        slice(max(0, part.start - width), part.stop + width) for part in ndimage.find_objects(label.astype(np.int8))[0]
    )
    shell = ndimage.distance_transform_edt(~label[box]) <= width
    shell &= ~label[box]
    inner, outer = features.colours[label], features.colours[box][shell]
    spread = float(np.sqrt(inner.var(axis=0).sum()))
    total = float(np.sqrt(features.colours.reshape(-1, inner.shape[1]).var(axis=0).sum())) + 0.02
    contrast = float(np.sqrt(((inner.mean(axis=0) - outer.mean(axis=0)) ** 2).sum())) if len(outer) else 0.0
    border = float(label[[0, -1]].sum() + label[:, [0, -1]].sum())
    share = float(np.log(area / label.size))
    before = context.before
    change = 0.0 if before is None or not before.any() else iou(before, label)
    near = context.odds[box][shell]
    return np.array(
        [
            np.log(steps.mean() / typical + 0.05),
            np.log(np.quantile(steps, 0.25) / typical + 0.05),
            min(contrast / (spread + 0.03), 8.0),
            spread / total,
            share,
            share**2,
            min(border / (4 * np.sqrt(area)), 1.5),
            np.log(len(steps) / np.sqrt(area)),
            min(context.gap / radius, 2.0) if context.clicks > 1 else 0.6,
            change,
            np.log(context.clicks),
            float(np.clip(context.odds[label], -4, 4).mean() - (np.clip(near, -4, 4).mean() if near.size else 0.0)),
        ]
    )


def estimate_iou(features: Features, label: Mask, context: ScoreContext) -> float:
    """Estimate the IoU of a mask (h, w), in [0, 1]; 0 for an empty mask or one that is everything."""
    if not label.any() or label.all():
        return 0.0
    numbers = measure_mask(features, label, context)
    visible = min(1.0, float(numbers[NAMES.index("contrast")]) / MIN_CONTRAST)
    return float(np.round(visible / (1 + np.exp(-(numbers @ WEIGHTS + BIAS))), 4))
