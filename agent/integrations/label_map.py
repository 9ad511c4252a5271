"""One label map of several targets' masks, the same in whatever order they come."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import TypedDict

from ibisagent.tools.errors import InputError
from ibisagent.tools.masks.rle import Rle, area, decode, encode

__all__ = ["LabelMap", "merge_labels", "render_label_map"]


class LabelMap(TypedDict):
    """Masks that do not overlap, as plain values.

    ``size``: [H, W]; ``values``: a value from 1 up for each target, in the order of their names, also for one that was
    not found; ``rles``: the pixels assigned to each target; ``lost_pixels``: those of its mask assigned to others.
    """

    size: list[int]
    values: dict[str, int]
    rles: dict[str, Rle]
    lost_pixels: dict[str, int]


def merge_labels(segmentations: Mapping[str, Mapping[str, Any]]) -> LabelMap:
    """Merge masks by target, each with ``rle`` and ``confidence``, as `nested_run.to_plain_segmentation` returns them.

    A pixel of several masks is assigned to the smallest mask, as a lesion lies in its organ; of equally large ones to
    that of the higher confidence, None being the lowest; then to the first by name. `InputError`: no masks, or masks of
    several sizes.
    """
    sizes = {tuple(one["rle"]["size"]) for one in segmentations.values()}
    if len(sizes) != 1:
        raise InputError(f"label map: got masks of {len(sizes)} sizes, expected those of one picture; name its targets")
    names = sorted(segmentations)
    values = {name: value for value, name in enumerate(names, 1)}
    painted = _blank(sizes.pop(), len(names))
    for name in sorted(names, key=lambda name: _rank(name, segmentations[name]), reverse=True):
        painted[decode(segmentations[name]["rle"])] = values[name]
    rles = {name: encode(painted == value) for name, value in values.items()}
    return LabelMap(
        size=[int(length) for length in painted.shape],
        values=values,
        rles=rles,
        lost_pixels={name: area(segmentations[name]["rle"]) - area(rles[name]) for name in names},
    )


def _rank(name: str, one: Mapping[str, Any]) -> tuple[int, float, str]:
    """Sort key: the first in this order is painted last, over the others."""
    return area(one["rle"]), -(one.get("confidence") or 0.0), name


def render_label_map(labels: LabelMap) -> NDArray[np.unsignedinteger[Any]]:
    """Return the (H, W) array of a label map's values, 0 being the background."""
    painted = _blank(labels["size"], len(labels["values"]))
    for name, rle in labels["rles"].items():
        painted[decode(rle)] = labels["values"][name]
    return painted


def _blank(size: Sequence[int], values: int) -> NDArray[np.unsignedinteger[Any]]:
    return np.zeros(size, np.uint8) if values <= 255 else np.zeros(size, np.uint16)
