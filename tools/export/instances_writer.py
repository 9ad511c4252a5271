"""Files of instances: a label picture, a label volume, a table, COCO annotations."""

import csv
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ibisagent.tools.errors import InputError
from ibisagent.tools.export import volume_grid
from ibisagent.tools.export.provenance import Provenance
from ibisagent.tools.export.writer import get_extension
from ibisagent.tools.files import atomic_write, local_path, printable_text, require_writable_folder
from ibisagent.tools.imaging.medical_image import MedicalImage
from ibisagent.tools.masks.instances import Instances

__all__ = ["INSTANCE_EXTENSIONS", "require_instances_savable", "save_instances"]

_COLUMNS = ("label", "area_px", "area_mm2", "x", "y", "column", "row", "left", "top", "right", "bottom")


def save_instances(
    path: str | os.PathLike[str], found: Instances, image: MedicalImage, provenance: Provenance | None = None
) -> None:
    """Write the instances of ``image`` by the file's extension, whole or not at all.

    ``.png``: the displayed picture, 16 bits, 0 the background and 1 to n the instances. ``.nii``, ``.nii.gz``: the same
    labels, uint16 or uint32, on the whole source volume in its own place. ``.csv``: a line each with its label, area,
    centroid (``x``, ``y`` in [0, 1] as clicks are; ``column``, ``row`` in pixels) and box, both ends included.
    ``.json``: COCO with one annotation each, run lengths, of one category named by ``provenance.target``.
    Anything else, an unwritable folder or another shape is an `InputError` before anything is written.
    """
    target = require_instances_savable(path, image)
    name = printable_text(target)
    if found.labels.shape != image.shape:
        raise InputError(
            f"{name}: got instances of {found.labels.shape}, expected the displayed picture's {image.shape}"
        )
    if found.labels.dtype != np.uint16 and get_extension(target) == ".png":
        raise InputError(
            f"{name}: got {found.count} instances, expected at most 65,535 in a PNG; save .nii, .csv or .json"
        )
    with atomic_write(target) as temporary:
        _WRITERS[get_extension(target)](temporary, found, image, provenance or Provenance())


def require_instances_savable(path: str | os.PathLike[str], image: MedicalImage) -> Path:
    """Refuse with `InputError` a path that `save_instances` would refuse, before there is a mask; return it."""
    target = local_path(path)
    ending, name = get_extension(target), printable_text(target)
    if ending not in _WRITERS:
        *most, last = _WRITERS
        raise InputError(f"{name}: got ending {ending!r}, expected {', '.join(most)} or {last}; change it")
    if ending.startswith(".nii"):
        volume_grid.require(name, image)
    require_writable_folder(target.parent)
    return target


def _write_png(path: Path, found: Instances, _image: MedicalImage, _provenance: Provenance) -> None:
    from PIL import Image

    Image.fromarray(found.labels).save(path, format="PNG")


def _write_nifti(path: Path, found: Instances, image: MedicalImage, _provenance: Provenance) -> None:
    from ibisagent.tools.export.nifti_writer import save_voxels

    grid = volume_grid.get_volume_grid(image)
    source = np.zeros(grid.shape, found.labels.dtype)
    grid.to_display(source)[...] = found.labels
    save_voxels(path, source.reshape((*source.shape, 1)[:3]), grid)


def _write_csv(path: Path, found: Instances, image: MedicalImage, _provenance: Provenance) -> None:
    height, width = image.shape
    pixel = image.spacing.row * image.spacing.column if image.spacing else None
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(_COLUMNS)
        for index, (area, (x, y), box) in enumerate(zip(found.areas, found.centroids, found.boxes, strict=True)):
            size = area * pixel if pixel is not None else None
            edges = (box.left, box.top, box.right, box.bottom)
            writer.writerow((index + 1, area, size, x, y, x * width - 0.5, y * height - 0.5, *edges))


def _write_coco(path: Path, found: Instances, image: MedicalImage, provenance: Provenance) -> None:
    height, width = image.shape
    name = Path(image.uri).name if image.uri else ""
    content = {
        "images": [{"id": 1, "file_name": name, "height": height, "width": width}],
        "categories": [{"id": 1, "name": provenance.target or "object"}],
        "annotations": [
            {
                "id": index + 1,
                "image_id": 1,
                "category_id": 1,
                "iscrowd": 0,
                "area": found.areas[index],
                "bbox": [box.left, box.top, box.right - box.left + 1, box.bottom - box.top + 1],
                "segmentation": found.encode_one(index),
            }
            for index, box in enumerate(found.boxes)
        ],
    }
    path.write_text(json.dumps(content), "utf-8")


_WRITERS: dict[str, Callable[[Path, Instances, MedicalImage, Provenance], None]] = {
    ".png": _write_png,
    ".nii": _write_nifti,
    ".nii.gz": _write_nifti,
    ".csv": _write_csv,
    ".json": _write_coco,
}
INSTANCE_EXTENSIONS = tuple(_WRITERS)
"""What a file of instances may end with, which says its format."""
