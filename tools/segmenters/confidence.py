"""An estimate of a mask's IoU: a fitted logistic rule over numbers, and their products, that need no truth.

``confidence.json`` holds the rule, fitted on states that policies reach: ``python -m
ibisagent.training.segmenter.score_fit``. Edge strength and contrast say whether the mask is an object; the last
correction's size and sign say how wrong the mask before was.
"""

import json
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ibisagent.tools.masks.measure import iou
from ibisagent.tools.segmenters.base import Mask
from ibisagent.tools.segmenters.features import Features

Floats = NDArray[np.float64]

__all__ = ["NAMES", "ScoreContext", "ScoreRule", "estimate_iou", "measure_mask"]

NAMES = (
    *("edge", "weakest", "faintest", "contrast", "spread", "area", "border", "ragged", "parts"),
    *("gap", "change", "growth", "clicks", "positive", "odds", "stable"),
)
MIN_CONTRAST = 0.3  # contrast in spreads under which a mask is not distinguished from its surroundings


class ScoreContext(NamedTuple):
    """What led to a mask: how many clicks, the last one's correction (working pixels), the mask before, its odds.

    ``positive``: the last click's sign. ``odds``: (h, w) evidence for the object before any smoothing, in log units.
    """

    clicks: int
    gap: float
    positive: bool
    before: Mask | None
    odds: NDArray[np.float32]


class ScoreRule(NamedTuple):
    """Logistic regression on numbers brought to mean 0 and spread 1, one for each name, and on products of two.

    ``weights``: of the numbers, then of the products, each number by itself and all that follow.
    """

    means: Floats
    spreads: Floats
    weights: Floats
    bias: float

    def expand(self, numbers: Floats) -> Floats:
        """Return the regression's terms, (..., n + n (n + 1) / 2), of numbers (..., n)."""
        normal = np.clip((numbers - self.means) / self.spreads, -3, 3)
        one, other = np.triu_indices(normal.shape[-1])
        return np.concatenate([normal, normal[..., one] * normal[..., other]], axis=-1)

    def estimate(self, numbers: Floats) -> Floats:
        """Return the expected IoU, (...), of numbers (..., n)."""
        merit = self.expand(numbers) @ self.weights + self.bias
        visible = np.minimum(1.0, numbers[..., NAMES.index("contrast")] / MIN_CONTRAST)
        return np.asarray(visible / (1 + np.exp(-merit)))

    def to_json(self) -> str:
        """Return the rule as text, rounded to what it is worth."""
        values = {name: np.round(value, 4).tolist() for name, value in self._asdict().items()}
        return json.dumps({"names": NAMES, **values}, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "ScoreRule":
        """Read a rule; `ValueError` when it was fitted to other numbers than `NAMES`."""
        values = json.loads(text)
        if tuple(names := values.pop("names")) != NAMES:
            raise ValueError(f"a rule for {names}: expected {NAMES}; fit it again")
        arrays: dict[str, Any] = {name: np.asarray(value, np.float64) for name, value in values.items()}
        return cls(**arrays)


@cache
def _load_rule() -> ScoreRule:
    return ScoreRule.from_json((files(__package__) / "confidence.json").read_text("utf-8"))


def _find_contour_steps(features: Features, label: Mask) -> Floats:
    """Colour steps across the contour, one for each pair of neighbours that it parts."""
    steps = []
    for axis in (0, 1):
        parted = np.diff(label, axis=axis)
        difference = np.diff(features.colours, axis=axis)[parted]
        steps.append(np.sqrt((difference**2).sum(axis=1)))
    return np.concatenate(steps).astype(np.float64)


def measure_mask(features: Features, label: Mask, context: ScoreContext) -> Floats:
    """Measure a mask (h, w) that is neither empty nor everything; one number for each of `NAMES`."""
    steps = _find_contour_steps(features, label)
    typical = features.steepness + 1e-3
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
    contrast = float(np.sqrt(((inner.mean(axis=0) - outer.mean(axis=0)) ** 2).sum())) if len(outer) else 0.0
    border = float(label[[0, -1]].sum() + label[:, [0, -1]].sum())
    before = context.before if context.before is not None and context.before.any() else None
    near = context.odds[box][shell]
    return np.array(
        [
            np.log(steps.mean() / typical + 0.05),
            np.log(np.quantile(steps, 0.25) / typical + 0.05),
            np.log(np.quantile(steps, 0.1) / typical + 0.05),
            min(contrast / (spread + 0.03), 8.0),
            spread / (float(features.spread) + 0.02),
            float(np.log(area / label.size)),
            min(border / (4 * np.sqrt(area)), 1.5),
            np.log(len(steps) / np.sqrt(area)),
            np.log(ndimage.label(label)[1]),
            min(context.gap / radius, 2.0) if context.clicks > 1 else 0.6,
            0.0 if before is None else iou(before, label),
            0.0 if before is None else float(np.clip(np.log(area / before.sum()), -2, 2)),
            np.log(context.clicks),
            float(context.positive),
            float(np.clip(context.odds[label], -4, 4).mean() - (np.clip(near, -4, 4).mean() if near.size else 0.0)),
            float((context.odds > 1).sum() / max(1, (context.odds > -1).sum())),
        ]
    )


def estimate_iou(features: Features, label: Mask, context: ScoreContext) -> float:
    """Estimate the IoU of a mask (h, w), in [0, 1]; 0 for an empty mask or one that is everything."""
    if not label.any() or label.all():
        return 0.0
    return float(np.round(_load_rule().estimate(measure_mask(features, label, context)), 4))
