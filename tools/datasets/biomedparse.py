"""BiomedParse naming: ``<image>_<modality>_<site>.png``, and a mask per target with ``_<target>`` added.

Spaces are written as ``+``. Source: BiomedParseData; it holds such folders one level down, one for each data set.
"""

from collections.abc import Iterator
from pathlib import Path

from ibisagent.tools.datasets.case import Case
from ibisagent.tools.datasets.names import listed, split_of, stem
from ibisagent.tools.files import label

__all__ = ["LOOKED_FOR", "read", "recognises"]

LOOKED_FOR = "train/ and train_mask/, test/ and test_mask/, or images/ and masks/"
_PAIRS = (("images", "masks"), *((name, f"{name}_mask") for name in ("test", "train", "val")))


def recognises(folder: Path) -> bool:
    """Tell whether a folder, or one in it, is of this kind."""
    return any(True for _ in _pairs(folder))


def read(folder: Path) -> Iterator[Case]:
    """Give a case for every mask; a picture without a mask gives none."""
    for root, pictures, masks in _pairs(folder):
        source = root.resolve().name
        images = {stem(name): name for name in reversed(listed(root / pictures))}
        for mask in listed(root / masks):
            yield _case(root, pictures, masks, mask, images, source)


def _pairs(folder: Path) -> Iterator[tuple[Path, str, str]]:
    for root in [folder, *sorted(path for path in folder.iterdir() if not path.name.startswith("."))]:
        for images, masks in _PAIRS:
            if (root / images).is_dir() and (root / masks).is_dir():
                yield root, images, masks


def _case(root: Path, pictures: str, masks: str, mask: str, images: dict[str, str], source: str) -> Case:
    """Take the longest picture's name that begins the mask's; the rest is the target."""
    words = stem(mask).split("_")
    heads = ["_".join(words[:count]) for count in range(len(words) - 1, 0, -1)]
    head = next((head for head in heads if head in images), None)
    fault = (
        None
        if head
        else f"got mask {label(mask)!r} of no picture, expected <picture>_<target>; rename it or its picture"
    )
    head = head or next(iter(heads), stem(mask))
    named = head.split("_")
    target = stem(mask)[len(head) + 1 :].replace("+", " ").strip()
    return Case(
        id=stem(mask),
        image=root / pictures / images.get(head, f"{head}.png"),
        mask=root / masks / mask,
        label=None,
        target=target or "target",
        modality=named[-2].replace("+", " ") if len(named) > 2 else "",
        source=source,
        split=split_of(pictures),
        fault=fault,
    )
