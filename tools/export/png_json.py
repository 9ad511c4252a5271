"""The displayed picture as PNG, 0 and 255, or as COCO run lengths in JSON."""

import json
from pathlib import Path

import numpy as np

from ibisagent.tools.export.provenance import Provenance
from ibisagent.tools.imaging.grids import Mask
from ibisagent.tools.imaging.medical_image import MedicalImage
from ibisagent.tools.masks.rle import encode

__all__ = ["require", "write"]


def require(name: str, image: MedicalImage) -> None:
    """Accept every image."""


def write(path: Path, mask: Mask, _image: MedicalImage, _provenance: Provenance) -> None:
    """Write ``.png`` or ``.json`` by the path's own extension."""
    if path.suffix.lower() == ".json":
        path.write_text(json.dumps(encode(mask)), "utf-8")
        return
    from PIL import Image

    Image.fromarray(mask.astype(np.uint8) * 255).save(path, format="PNG")
