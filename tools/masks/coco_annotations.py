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
from ibisagent.tools.errors import InputError
from ibisagent.tools.files import local_path, printable_text, require_file
from ibisagent.tools.imaging.decoding import decode_guard
from ibisagent.tools.imaging.exif import SIDEWAYS, UPRIGHT, apply_orientation, read_orientation
from ibisagent.tools.imaging.grids import Mask
from ibisagent.tools.imaging.medical_image import MedicalImage
from ibisagent.tools.masks.label_values import Label
from ibisagent.tools.masks.rle import as_rle, decode

__all__ = ["Annotations", "load_annotations", "read_mask"]

_BOX = "a box"  # stands for the segmentation of an annotation that has nothing else
_EXPECTED = "COCO images, annotations and categories"
_Size = tuple[int | None, int | None]
_LONGEST = 2**22  # of a polygon's outline in pixels; its rasteriser's memory grows with it


@dataclass(frozen=True, slots=True, eq=False)
class Annotations:
    """The content of an annotation file, by its own ids.

    ``images``: file name with forward slashes; ``sizes``: (height, width) that an image's entry gives, None for what it
    does not give; ``categories``: name; ``parts``: the segmentations, still unread, of each (image, category), those of
    crowds among them.
    """

    images: dict[int, str]
    sizes: dict[int, _Size | None]
    categories: dict[int, str]
    parts: dict[tuple[int, int], list[Any]]
    by_name: dict[str, list[int]]

    def find_image(self, path: str) -> int | None:
        """Return the id of the picture whose file name ends ``path``, the longest such name where there are several."""
        place = "/" + Path(path).as_posix()
        fitting = [id for id in self.by_name.get(Path(path).name, []) if place.endswith("/" + self.images[id])]
        return max(fitting, key=lambda id: len(self.images[id]), default=None)


_files: OnceCache[Annotations] = OnceCache(2)


def load_annotations(path: Path) -> Annotations:
    """Read an annotation file, once while it stays as it is; `InputError` for what is not one."""
    require_file(path)
    status = path.stat()
    return _files.get((str(path.absolute()), status.st_mtime_ns, status.st_size), lambda: _parse(path))


def _parse(path: Path) -> Annotations:
    with decode_guard(printable_text(path.name), _EXPECTED):
        content = json.loads(path.read_bytes())  # of bytes, also with any Unicode's mark
        images = {int(entry["id"]): _file_name(entry) for entry in content["images"]}
        sizes = {int(entry["id"]): _entry_size(entry) for entry in content["images"]}
        categories = {int(entry["id"]): str(entry["name"]) for entry in content["categories"]}
        parts: dict[tuple[int, int], list[Any]] = {}
        for entry in content["annotations"]:
            place = int(entry["image_id"]), int(entry["category_id"])
            parts.setdefault(place, []).append(_entry_segmentation(entry))
    by_name: dict[str, list[int]] = {}
    for id, file_name in images.items():
        by_name.setdefault(file_name.rpartition("/")[2], []).append(id)
    return Annotations(images, sizes, categories, parts, by_name)


def _file_name(entry: dict[str, Any]) -> str:
    return str(entry["file_name"]).replace("\\", "/").removeprefix("./")


def _entry_segmentation(entry: dict[str, Any]) -> Any:
    box = entry.get("bbox")
    return entry.get("segmentation") or (_BOX if isinstance(box, list) and any(box) else None)


def _entry_size(entry: dict[str, Any]) -> _Size | None:
    height, width = (None if entry.get(name) is None else int(entry[name]) for name in ("height", "width"))
    return None if height is width is None else (height, width)


def read_mask(path: Path, image: MedicalImage, values: Label) -> Mask:
    """Join every polygon and run length of the categories ``values`` in a picture, which its own path names.

    Annotations of a picture as it is stored are turned with it where EXIF turns it. A polygon without three corners has
    no area and is left out. Anything that does not fit the picture is an `InputError`, as is a box alone; the mask of a
    category without annotations is empty.
    """
    found, name = load_annotations(path), printable_text(path.name)
    id = found.find_image(image.uri) if image.uri else None
    if id is None or image.uri is None:
        raise InputError(f"{name}: got no entry for this picture, expected its file_name; add it")
    wanted = (values,) if isinstance(values, int) else values
    parts = [part for value in wanted for part in found.parts.get((id, value), []) if part]
    orientation = read_orientation(local_path(image.uri))
    stored, turned = _annotated_size(found.sizes[id], image.shape, orientation, name)
    if _BOX in parts:
        got = "got an annotation with a box alone"
        raise InputError(f"{name}: {got}, expected polygons or run lengths; annotate its outline")
    with decode_guard(name, "COCO polygons or run lengths"):
        _require_pixels(parts, image.shape, name)
        rles = [rle for part in parts for rle in _to_rles(part, *stored, name)]
        if not rles:
            return np.zeros(image.shape, dtype=np.bool_)
        joined = coco.merge(rles)
        mask = decode({"size": list(stored), "counts": joined["counts"].decode("ascii")})
        return apply_orientation(mask, orientation) if turned else mask


def _annotated_size(
    entry_size: _Size | None, shown: tuple[int, int], orientation: int, name: str
) -> tuple[tuple[int, int], bool]:
    """Return the (height, width) that annotations count in, and whether that picture has to be turned to be ``shown``.

    ``entry_size``: what the picture's entry gives. A size distinguishes the stored picture from the upright one only
    where they differ in it: where they do not, either may have been annotated.
    """
    height, width = shown
    stored = (width, height) if orientation in SIDEWAYS else shown
    if entry_size is not None and None in entry_size:  # one length alone is as good, where it fits
        entry_size = next((size for size in (shown, stored) if _size_fits(entry_size, size)), entry_size)
    if orientation != UPRIGHT and (entry_size is None or stored == shown):
        got = f"got a picture that EXIF turns (orientation {orientation}), and no size that tells which way it lay"
        raise InputError(f"{name}: {got}, expected an upright one; save it upright and annotate that")
    if entry_size not in (None, shown, stored):
        got = f"got annotations of a picture of {entry_size} (height, width)"
        raise InputError(f"{name}: {got}, expected the opened picture's {shown}; give the picture they were made on")
    return (stored, True) if entry_size == stored != shown else (shown, False)


def _size_fits(entry_size: _Size, size: tuple[int, int]) -> bool:
    return all(length in (None, own) for length, own in zip(entry_size, size, strict=True))


def _to_rles(part: Any, height: int, width: int, name: str) -> list[Any]:
    """Turn a segmentation into pycocotools' run lengths; its C code trusts them, so they are validated before."""
    if isinstance(part, list):
        polygons = [_check_polygon(points, height, width, name) for points in part if not isinstance(points, dict)]
        areas = [points for points in polygons if len(points) >= 6]
        rles: list[Any] = coco.frPyObjects(areas, height, width) if areas else []
        return rles + [rle for runs in part if isinstance(runs, dict) for rle in _to_rles(runs, height, width, name)]
    if list(part["size"]) != [height, width]:
        got = printable_text(part["size"])
        raise InputError(f"{name}: got run lengths of {got}, expected the image's {height, width}; encode them anew")
    rle = as_rle(part)
    decode(rle)
    return [{"size": [height, width], "counts": rle["counts"].encode("ascii")}]


def _require_pixels(parts: list[Any], shape: tuple[int, int], name: str) -> None:
    """Raise `InputError` where all polygons lie in the first pixel, as fractions of the picture's size do."""
    polygons = [points for part in parts if isinstance(part, list) for points in part if isinstance(points, list)]
    numbers = [number for points in polygons for number in points if isinstance(number, int | float)]
    fractions = any(number % 1 for number in numbers) and min(numbers) >= 0 and max(numbers) <= 1
    if fractions and min(shape) > 1:
        got = "got polygons in fractions of the picture's size"
        raise InputError(f"{name}: {got}, expected pixels; multiply x by its width and y by its height")


def _check_polygon(points: Any, height: int, width: int, name: str) -> list[float]:
    corners: NDArray[np.float64] = np.asarray(points, dtype=np.float64)
    if corners.ndim != 1:
        got = "got a polygon that is not one list of numbers in the list of polygons"
        raise InputError(f"{name}: {got}, expected [[x, y, x, y...], ...]; fix it")
    if corners.size % 2:
        raise InputError(f"{name}: got a polygon of an odd count of numbers, expected x, y, x, y...; fix it")
    pairs = corners.reshape(-1, 2)
    near = (pairs >= [-width, -height]) & (pairs <= [2 * width, 2 * height])
    within = pairs.size == 0 or bool((pairs.max(axis=0) > 0).all() and (pairs.min(axis=0) < [width, height]).all())
    if not near.all() or not within or _outline_length(pairs) > _LONGEST:
        raise InputError(f"{name}: got a polygon far outside {height, width}, expected one in the picture; fix it")
    return [float(value) for value in corners]


def _outline_length(pairs: NDArray[np.float64]) -> float:
    return math.fsum(np.abs(np.diff(pairs, axis=0, append=pairs[:1])).max(axis=1))
