"""What the formats for whole volumes share."""

import numpy as np
from numpy.typing import NDArray

from ibisagent.tools.errors import InputError
from ibisagent.tools.imaging.grids import Mask, VolumeGrid
from ibisagent.tools.imaging.medical_image import MedicalImage

__all__ = ["get_volume_grid", "require", "to_voxels"]


def require(name: str, image: MedicalImage) -> None:
    """Refuse with `InputError` an image that has no place in space."""
    if not isinstance(image.grid, VolumeGrid):
        got = "got an image without a place in the patient"
        raise InputError(f"{name}: {got}, expected NIfTI, NRRD, MetaImage or placed DICOM; save .png or .json")


def get_volume_grid(image: MedicalImage) -> VolumeGrid:
    """Return the grid of an image that `require` accepts."""
    assert isinstance(image.grid, VolumeGrid)
    return image.grid


def to_voxels(mask: Mask, grid: VolumeGrid) -> NDArray[np.uint8]:
    """Return the source's voxels (i, j, k), 1 inside the mask, 0 elsewhere."""
    whole = grid.to_source(mask)
    return whole.reshape((*whole.shape, 1)[:3]).view(np.uint8)
