"""NIfTI (.nii, .nii.gz): the whole source volume, as the source's own header has it."""

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from ibisagent.tools.export.provenance import Provenance
from ibisagent.tools.export.volume_grid import get_volume_grid, require, to_voxels
from ibisagent.tools.imaging.grids import Mask, VolumeGrid
from ibisagent.tools.imaging.medical_image import MedicalImage

__all__ = ["require", "save_voxels", "write"]


def write(path: Path, mask: Mask, image: MedicalImage, _provenance: Provenance) -> None:
    """Write uint8 with the source's qform, sform, codes and units; what was no NIfTI gets both, as scanner mm.

    A qform cannot hold a shear, and most readers but nibabel would believe it: for such a volume only the sform counts.
    """
    grid = get_volume_grid(image)
    save_voxels(path, to_voxels(mask, grid), grid)


def save_voxels(path: Path, voxels: NDArray[Any], grid: VolumeGrid) -> None:
    """Write unsigned labels (i, j, k) of the whole volume; see `write`."""
    kind: Any = nib.Nifti2Image if isinstance(grid.header, nib.Nifti2Header) else nib.Nifti1Image
    if grid.header is None:
        made = kind(voxels, grid.affine)
        made.set_sform(grid.affine, 1)
        made.set_qform(grid.affine, 0 if grid.is_sheared else 1)
        made.header.set_xyzt_units("mm")
    else:
        # No affine here: nibabel would rebuild qform and sform from it and lose one of the two and its code.
        made = kind(voxels.reshape(grid.shape), None, _mask_header(grid.header, voxels.dtype))
    made.to_filename(path)


def _mask_header(source: Any, dtype: np.dtype[Any]) -> Any:
    """Copy the source's header for a mask: what it says of its voxels' values does not hold here."""
    header = source.copy()
    header.set_data_dtype(dtype)
    header.set_slope_inter(1, 0)
    header.set_intent("none")
    header["cal_min"], header["cal_max"] = 0, 0
    return header
