"""COCO: ``annotations/*.json``, or a JSON file beside the pictures or their folder."""

from collections.abc import Iterator
from pathlib import Path

from ibisagent.tools.datasets.case import Case, resolve_in_folder
from ibisagent.tools.datasets.names import parse_split, strip_extension
from ibisagent.tools.masks import coco_annotations

__all__ = ["LAYOUT", "is_match", "read"]

LAYOUT = "annotations/*.json, or *.json beside images/"
_PLACES = ("annotations/*.json", "*.json", "*/_annotations.coco.json")


def is_match(folder: Path) -> bool:
    """Whether a folder is of this kind, as far as names can say."""
    return bool(_find_annotation_files(folder))


def _find_annotation_files(folder: Path) -> list[Path]:
    """Choose the annotation files; captions and key points of the same pictures are no further targets."""
    found = next((files for files in (sorted(folder.glob(pattern)) for pattern in _PLACES) if files), [])
    return [path for path in found if path.name.startswith("instances")] or found


def read(folder: Path) -> Iterator[Case]:
    """Yield a case for every picture and category in it; instances of one category, crowds too, are one target.

    An annotation file that is none is an `InputError`; a segmentation that is wrong shows when the mask is read.
    """
    source = folder.resolve().name
    for path in _find_annotation_files(folder):
        found = coco_annotations.load_annotations(path)
        base = _find_base(folder, path, next(iter(found.images.values()), ""))
        split = parse_split(path.relative_to(folder).as_posix())
        for image, category in found.parts:
            if image not in found.images:
                continue
            name, target = found.images[image], found.categories.get(category, f"category {category}")
            picture, fault = resolve_in_folder(base, name)
            yield Case(
                id=f"{strip_extension(name)}_{target}",
                image=picture,
                mask=path,
                label=category,
                target=target.replace("_", " "),
                source=source,
                split=split,
                fault=fault,
            )


def _find_base(folder: Path, path: Path, name: str) -> Path:
    """Find the folder that the file names start from: the first in which a picture lies."""
    year = strip_extension(path.name).removeprefix("instances_")
    bases = [folder / "images", folder / "images" / year, folder / year, path.parent, folder]
    return next((base for base in bases if name and (base / name).is_file()), bases[0])
