"""A phantom, and the image that the generator of a modality returns."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ibisagent.tools.imaging.grids import Mask

__all__ = ["GeneratedImage", "Phantom"]


@dataclass(frozen=True, slots=True, eq=False)
class GeneratedImage:
    """A generator's result before acquisition: ``image`` (H, W) or (H, W, 3) float, 0 to 255, not yet clipped.

    ``masks``: (H, W) bool by target name, never empty ones; a target of several instances holds them all.
    ``absent``: targets that could be looked for in such a picture and are not in it: a lesion, an organ out of view.
    ``lesions``: the names among both that are something abnormal.
    """

    image: NDArray[np.floating]
    masks: dict[str, Mask]
    absent: tuple[str, ...] = ()
    lesions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Phantom:
    """A picture, (H, W) or (H, W, 3) uint8, with its exact masks; the same arguments give the same one.

    ``masks``, ``absent``, ``lesions``: as in `GeneratedImage`; a target too small to be seen is in neither.
    """

    modality: str
    seed: int
    difficulty: float
    image: NDArray[np.uint8]
    masks: dict[str, Mask] = field(default_factory=dict)
    absent: tuple[str, ...] = ()
    lesions: tuple[str, ...] = ()
