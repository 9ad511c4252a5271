"""Instances: the separate objects of a mask that holds many of a kind, numbered, sized and placed."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ibisagent.tools.clicks import PixelBox
from ibisagent.tools.imaging.grids import Mask
from ibisagent.tools.masks.rle import Rle, encode

__all__ = ["InstanceLabels", "Instances", "instances"]

InstanceLabels = NDArray[np.uint16] | NDArray[np.uint32]
"""(H, W): 0 is the background, 1 to n the instances; uint16 where n fits."""

_EIGHT_CONNECTED = np.ones((3, 3), dtype=np.bool_)


@dataclass(frozen=True, slots=True, eq=False)
class Instances:
    """The instances of a picture; index i of the tuples is the one labelled i + 1.

    ``labels`` (H, W), read-only. ``areas`` in pixels. ``centroids``: (x, y) in [0, 1] of the picture, as clicks are.
    ``boxes``: both ends included.
    """

    labels: InstanceLabels
    areas: tuple[int, ...]
    centroids: tuple[tuple[float, float], ...]
    boxes: tuple[PixelBox, ...]

    @property
    def count(self) -> int:
        """How many instances there are."""
        return len(self.areas)

    def encode_one(self, index: int) -> Rle:
        """Encode the mask of instance ``index``, counted from 0."""
        return encode(self.labels == index + 1)

    @classmethod
    def of_labels(cls, labels: NDArray[np.integer]) -> "Instances":
        """Measure a label picture, (H, W); labels without a pixel are closed up, in their order."""
        values, flat = np.unique(np.append(labels.ravel(), 0), return_inverse=True)
        few = values.size - 1 <= np.iinfo(np.uint16).max
        whole = flat[:-1].reshape(labels.shape)
        numbered: InstanceLabels = whole.astype(np.uint16) if few else whole.astype(np.uint32)
        numbered.setflags(write=False)
        pieces = [piece for piece in ndimage.find_objects(numbered.astype(np.int32)) if piece is not None]
        height, width = labels.shape
        areas, centroids, boxes = [], [], []
        for number, (rows, columns) in enumerate(pieces, 1):
            down, right = np.nonzero(numbered[rows, columns] == number)
            areas.append(down.size)
            x, y = (right.mean() + columns.start + 0.5) / width, (down.mean() + rows.start + 0.5) / height
            centroids.append((float(x), float(y)))
            boxes.append(PixelBox(rows.start, columns.start, rows.stop - 1, columns.stop - 1))
        return cls(numbered, tuple(areas), tuple(centroids), tuple(boxes))


def instances(mask: Mask) -> Instances:
    """Split an (H, W) mask into its components, joined by sides or corners, in the order of their first pixels.

    >>> found = instances(np.array([[1, 1, 0, 0], [0, 0, 0, 1]], bool))
    >>> found.count, found.areas, found.centroids
    (2, (2, 1), ((0.25, 0.25), (0.875, 0.75)))
    """
    labels, _ = ndimage.label(mask, _EIGHT_CONNECTED)
    return Instances.of_labels(labels)
