"""BiomedParse naming: ``<image>_<modality>_<site>.png``, and a mask per target with ``_<target>`` added.

Spaces are written as ``+``. Source: BiomedParseData; it holds such folders one level down, one for each data set.
"""

from collections.abc import Iterator
from pathlib import Path

from ibisagent.tools.datasets.case import Case
from ibisagent.tools.datasets.names import list_files, parse_split, strip_extension
from ibisagent.tools.files import printable_text

__all__ = ["LAYOUT", "is_match", "read"]

LAYOUT = "train/ and train_mask/, test/ and test_mask/, or images/ and masks/"
_PAIRS = (("images", "masks"), *((name, f"{name}_mask") for name in ("test", "train", "val")))


def is_match(folder: Path) -> bool:
    """Whether a folder, or one in it, is of this kind."""
    return any(True for _ in _find_pairs(folder))


def read(folder: Path) -> Iterator[Case]:
    """Yield a case for every mask; a picture without a mask gives none."""
    for root, pictures, masks in _find_pairs(folder):
        source = root.resolve().name
        images = {strip_extension(name): name for name in reversed(list_files(root / pictures))}
        for mask in list_files(root / masks):
            yield _case(root, pictures, masks, mask, images, source)


def _find_pairs(folder: Path) -> Iterator[tuple[Path, str, str]]:
    for root in [folder, *sorted(path for path in folder.iterdir() if not path.name.startswith("."))]:
        for images, masks in _PAIRS:
            if (root / images).is_dir() and (root / masks).is_dir():
                yield root, images, masks


def _case(root: Path, pictures: str, masks: str, mask: str, images: dict[str, str], source: str) -> Case:
    """Take the longest picture's name that begins the mask's; the rest is the target."""
    words = strip_extension(mask).split("_")
    heads = ["_".join(words[:count]) for count in range(len(words) - 1, 0, -1)]
    head = next((head for head in heads if head in images), None)
    fault = (
        None
        if head
        else f"got mask {printable_text(mask)!r} of no picture, expected <picture>_<target>; rename it or its picture"
    )
    head = head or next(iter(heads), strip_extension(mask))
    named = head.split("_")
    target = strip_extension(mask)[len(head) + 1 :].replace("+", " ").strip()
    return Case(
        id=strip_extension(mask),
        image=root / pictures / images.get(head, f"{head}.png"),
        mask=root / masks / mask,
        label=None,
        target=target or "target",
        modality=named[-2].replace("+", " ") if len(named) > 2 else "",
        source=source,
        split=parse_split(pictures),
        fault=fault,
    )
