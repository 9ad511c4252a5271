"""COCO annotation files: the mask of one category in one picture, all its instances joined."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

from ibisagent.tools.cache import OnceCache
from ibisagent.tools.decoding import decoding
from ibisagent.tools.errors import InputError
from ibisagent.tools.files import label, require_file
from ibisagent.tools.grids import Mask
from ibisagent.tools.images import MedicalImage
from ibisagent.tools.labels import Label
from ibisagent.tools.masks import Rle, decode

__all__ = ["Annotations", "load", "read_mask"]

_EXPECTED = "COCO images, annotations and categories"
_LONGEST = 2**22  # of a polygon's outline in pixels; its rasteriser's memory grows with it


@dataclass(frozen=True, slots=True, eq=False)
class Annotations:
    """What an annotation file says, by its own ids.

    ``images``: file name with forward slashes; ``categories``: name; ``parts``: the segmentations, still unread, of
    each (image, category), those of crowds among them.
    """

    images: dict[int, str]
    categories: dict[int, str]
    parts: dict[tuple[int, int], list[Any]]
    by_name: dict[str, list[int]]

    def find(self, path: str) -> int | None:
        """Give the id of the picture whose file name ends ``path``, the longest such name where there are several."""
        place = "/" + Path(path).as_posix()
        fitting = [id for id in self.by_name.get(Path(path).name, []) if place.endswith("/" + self.images[id])]
        return max(fitting, key=lambda id: len(self.images[id]), default=None)


_files: OnceCache[Annotations] = OnceCache(2)


def load(path: Path) -> Annotations:
    """Read an annotation file, once while it stays as it is; `InputError` for what is not one."""
    require_file(path)
    status = path.stat()
    return _files.get((str(path.absolute()), status.st_mtime_ns, status.st_size), lambda: _read(path))


def _read(path: Path) -> Annotations:
    with decoding(label(path.name), _EXPECTED):
        content = json.loads(path.read_text("utf-8-sig"))
        images = {int(entry["id"]): _file_name(entry) for entry in content["images"]}
        categories = {int(entry["id"]): str(entry["name"]) for entry in content["categories"]}
        parts: dict[tuple[int, int], list[Any]] = {}
        for entry in content["annotations"]:
            place = int(entry["image_id"]), int(entry["category_id"])
            parts.setdefault(place, []).append(entry.get("segmentation"))
    by_name: dict[str, list[int]] = {}
    for id, file_name in images.items():
        by_name.setdefault(file_name.rpartition("/")[2], []).append(id)
    return Annotations(images, categories, parts, by_name)


def _file_name(entry: dict[str, Any]) -> str:
    return str(entry["file_name"]).replace("\\", "/").removeprefix("./")


def read_mask(path: Path, image: MedicalImage, values: Label) -> Mask:
    """Join every polygon and run length of the categories ``values`` in a picture, which its own path names.

    A polygon without three corners has no area and is left out. Anything that does not fit the picture is an
    `InputError`; a category without a segmentation gives an empty mask.
    """
    found = load(path)
    id = found.find(image.uri) if image.uri else None
    if id is None:
        raise InputError(f"{label(path.name)}: got no entry for this picture, expected its file_name; add it")
    wanted = (values,) if isinstance(values, int) else values
    parts = [part for value in wanted for part in found.parts.get((id, value), []) if part]
    with decoding(label(path.name), "COCO polygons or run lengths"):
        rles = [rle for part in parts for rle in _rles(part, *image.shape, label(path.name))]
        if not rles:
            return np.zeros(image.shape, dtype=np.bool_)
        joined = coco.merge(rles)
        return decode({"size": list(image.shape), "counts": joined["counts"].decode("ascii")})


def _rles(part: Any, height: int, width: int, name: str) -> list[Any]:
    """Turn a segmentation into pycocotools' run lengths; its C code trusts them, so they are proved sound before."""
    if isinstance(part, list):
        polygons = [_polygon(points, height, width, name) for points in part]
        areas = [points for points in polygons if len(points) >= 6]
        rles: list[Any] = coco.frPyObjects(areas, height, width) if areas else []
        return rles
    if list(part["size"]) != [height, width]:
        got = label(part["size"])
        raise InputError(f"{name}: got run lengths of {got}, expected the image's {height, width}; encode them anew")
    counts = part["counts"]
    if isinstance(counts, str):
        decode(Rle(size=[height, width], counts=counts))
        return [{"size": [height, width], "counts": counts.encode("ascii")}]
    if not all(type(run) is int and run >= 0 for run in counts) or sum(counts) != height * width:
        raise InputError(f"{name}: got run lengths that do not fill {height, width}, expected those that do; mend them")
    return [coco.frPyObjects({"size": [height, width], "counts": counts}, height, width)]


def _polygon(points: Any, height: int, width: int, name: str) -> list[float]:
    corners: NDArray[np.float64] = np.asarray(points, dtype=np.float64)
    if corners.ndim != 1 or corners.size % 2:
        raise InputError(f"{name}: got a polygon of an odd count of numbers, expected x, y, x, y...; mend it")
    pairs = corners.reshape(-1, 2)
    near = (pairs >= [-width, -height]) & (pairs <= [2 * width, 2 * height])
    if not near.all() or _outline(pairs) > _LONGEST:
        raise InputError(f"{name}: got a polygon far outside {height, width}, expected one in the picture; mend it")
    return [float(value) for value in corners]


def _outline(pairs: NDArray[np.float64]) -> float:
    return math.fsum(np.abs(np.diff(pairs, axis=0, append=pairs[:1])).max(axis=1))
