"""Initial masks for a run: a perturbed one of the target to be refined, and a foreign one to be dropped."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ibisagent.tools.errors import InputError
from ibisagent.tools.imaging.grids import Mask
from ibisagent.tools.masks.measure import bounding_box, iou

__all__ = ["INITIAL_MASKS", "make_initial_mask"]

_PERTURBED_IOU = (0.3, 0.8)  # IoU with the truth
_MAX_FOREIGN_IOU = 0.1
_MIN_PIXELS = 16  # pixels: of less, no perturbed mask can be made
_TRIES = 20
_OTHER_TARGET_SHARE = 0.7  # how often a foreign mask is another target's, where there is one

_Score = NDArray[np.float64]
_Perturbation = Callable[[Mask, float, np.random.Generator], Mask]


def make_initial_mask(kind: str, truth: Mask, others: Sequence[Mask], rng: np.random.Generator) -> Mask | None:
    """Make an initial mask, (H, W) bool, for ``truth``; None for "none" and where there can be none of the kind.

    "perturbed_mask": the truth eroded, dilated, cut or shifted, of an IoU from .3 to .8 with it; "shifted_mask": only
    shifted. "other_target_mask": one of ``others``, masks of the same picture, of an IoU below .1; "disc_mask": a disc
    of such an IoU; "foreign_mask": either.
    """
    if kind == "none":
        return None
    if kind in _PERTURBED:
        return _perturb(truth, _PERTURBED[kind], rng) if np.count_nonzero(truth) >= _MIN_PIXELS else None
    if kind not in _FOREIGN:
        raise InputError(f"got start {kind!r}, expected one of {', '.join(INITIAL_MASKS)}; choose one")
    unlike = [mask for mask in others if mask.any() and iou(mask, truth) < _MAX_FOREIGN_IOU]
    if kind == "other_target_mask" and not unlike:
        return None
    if kind != "disc_mask" and unlike and (kind == "other_target_mask" or rng.random() < _OTHER_TARGET_SHARE):
        return unlike[int(rng.integers(len(unlike)))]
    return _draw_disc(truth, rng)


def _perturb(truth: Mask, ways: Sequence[_Perturbation], rng: np.random.Generator) -> Mask | None:
    for way in rng.permutation(len(ways)):
        made: Mask = ways[int(way)](truth, rng.uniform(_PERTURBED_IOU[0] + 0.05, _PERTURBED_IOU[1] - 0.05), rng)
        if _PERTURBED_IOU[0] <= iou(made, truth) <= _PERTURBED_IOU[1]:
            return made
    return None


def _erode(truth: Mask, share: float, rng: np.random.Generator) -> Mask:
    depth = np.asarray(ndimage.distance_transform_edt(np.pad(truth, 1)))[1:-1, 1:-1]
    return _select_highest(depth + _draw_smooth_noise(truth, rng), truth, share * np.count_nonzero(truth))


def _dilate(truth: Mask, share: float, rng: np.random.Generator) -> Mask:
    distance = np.asarray(ndimage.distance_transform_edt(~truth)) + _draw_smooth_noise(truth, rng)
    return truth | _select_highest(-distance, ~truth, (1 / share - 1) * np.count_nonzero(truth))


def _cut_by_line(truth: Mask, share: float, rng: np.random.Generator) -> Mask:
    """Keep what lies on one side of a line."""
    rows, columns = np.indices(truth.shape)
    angle = rng.uniform(0, 2 * np.pi)
    return _select_highest(np.cos(angle) * rows + np.sin(angle) * columns, truth, share * np.count_nonzero(truth))


def _shift_to_iou(truth: Mask, share: float, rng: np.random.Generator) -> Mask:
    """Move the mask so far that about ``share`` of the union is common."""
    angle, length = rng.uniform(0, 2 * np.pi), 1.0
    while True:
        moved = _translate(truth, round(length * np.sin(angle)), round(length * np.cos(angle)))
        if iou(moved, truth) <= share:
            return moved
        length += 1.0


def _translate(mask: Mask, down: int, across: int) -> Mask:
    height, width = mask.shape
    moved = np.zeros_like(mask)
    into = np.s_[max(0, down) : height + min(0, down), max(0, across) : width + min(0, across)]
    out_of = np.s_[max(0, -down) : height + min(0, -down), max(0, -across) : width + min(0, -across)]
    moved[into] = mask[out_of]
    return moved


def _select_highest(score: _Score, region: Mask, count: float) -> Mask:
    """Take about ``count`` pixels of ``region`` with the highest score."""
    places = np.flatnonzero(region)
    order = np.argsort(-score.ravel()[places], kind="stable")
    made = np.zeros(region.shape, np.bool_)
    made.ravel()[places[order[: max(1, round(count))]]] = True
    return made


def _draw_smooth_noise(truth: Mask, rng: np.random.Generator) -> _Score:
    """Return a smooth random field, (H, W), of a size that suits the mask's."""
    height, width = truth.shape
    coarse = rng.normal(0, 1, (5, 5))
    amount = 0.12 * np.sqrt(np.count_nonzero(truth))
    field = ndimage.zoom(coarse, (height / 5, width / 5), order=1, grid_mode=True, mode="nearest")
    return np.asarray(amount * field[:height, :width])


def _draw_disc(truth: Mask, rng: np.random.Generator) -> Mask | None:
    """Put a disc where the truth is not."""
    height, width = truth.shape
    area = np.count_nonzero(truth) or 0.02 * truth.size
    radius = float(np.clip(np.sqrt(area / np.pi) * rng.uniform(0.6, 1.3), 2.0, 0.25 * max(height, width)))
    rows, columns = np.ogrid[:height, :width]
    for _ in range(_TRIES):
        row, column = rng.uniform(0, height), rng.uniform(0, width)
        disc = (rows - row) ** 2 + (columns - column) ** 2 <= radius**2
        if bounding_box(disc) and iou(disc, truth) < _MAX_FOREIGN_IOU:
            return np.asarray(disc)
    return None


_PERTURBED: dict[str, Sequence[_Perturbation]] = {
    "perturbed_mask": (_erode, _dilate, _cut_by_line, _shift_to_iou),
    "shifted_mask": (_shift_to_iou,),
}
_FOREIGN = ("foreign_mask", "other_target_mask", "disc_mask")
INITIAL_MASKS = ("none", *_PERTURBED, *_FOREIGN)
"""The kinds of `make_initial_mask`."""
