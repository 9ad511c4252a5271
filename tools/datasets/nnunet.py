"""nnU-Net's raw folders, version 2, and those of version 1 and the Medical Segmentation Decathlon.

``dataset.json``, ``imagesTr/CASE_0000.nii.gz`` for channel 0, ``labelsTr/CASE.nii.gz``; also ``imagesTs``.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ibisagent.tools.datasets.case import Case
from ibisagent.tools.datasets.names import list_files, zero_pad_numbers
from ibisagent.tools.errors import InputError
from ibisagent.tools.files import printable_text, require_file
from ibisagent.tools.imaging.decoding import decode_guard
from ibisagent.tools.masks.label_maps import SliceChoice, choose_label_slices, count_label_areas
from ibisagent.tools.masks.label_values import Label

__all__ = ["LAYOUT", "is_match", "read"]

LAYOUT = "dataset.json with imagesTr/"
_EXPECTED = "nnU-Net's labels, as a name and its number or numbers"
_CHANNEL = re.compile(r"_\d{4}$")


@dataclass(frozen=True, slots=True)
class _Description:
    targets: dict[str, Label]
    modality: str
    ending: str


def is_match(folder: Path) -> bool:
    """Whether a folder is of this kind."""
    return (folder / "dataset.json").is_file() and (folder / "imagesTr").is_dir()


def read(folder: Path, slices: SliceChoice = "largest", channel: int = 0) -> Iterator[Case]:
    """Yield a case for every label that occurs in a label file, in the slices that `choose_label_slices` chooses.

    Every label file is decoded once for that. Where one cannot be, each of its labels gives a case that says so when
    it is used; where there is none, as for most test pictures, each label gives a case without a mask.
    """
    described = _description(folder / "dataset.json", channel)
    for split, images, labels in (("train", "imagesTr", "labelsTr"), ("test", "imagesTs", "labelsTs")):
        names, masks = (_list_with_ending(folder / kind, described.ending) for kind in (images, labels))
        for case in sorted({_case_name(name, described.ending, masks) for name in names | masks}):
            picture = _picture(case, described.ending, channel, names)
            mask = folder / labels / f"{case}{described.ending}"
            known = mask if split == "train" or mask.name in masks else None
            for target, values, where in _targets(known, described.targets, slices):
                yield Case(
                    id=f"{case}_{target}" + (f"_{zero_pad_numbers(where)}" if where and slices == "all" else ""),
                    image=folder / images / picture,
                    mask=known,
                    label=values,
                    target=target.replace("_", " "),
                    modality=described.modality,
                    source=folder.resolve().name,
                    split=split,
                    slice=where,
                )


def _description(path: Path, channel: int) -> _Description:
    require_file(path)
    with decode_guard(printable_text(path.name), _EXPECTED, "see nnU-Net's documentation of dataset.json"):
        content = json.loads(path.read_text("utf-8-sig"))
        labels: dict[str, Any] = content["labels"]
        if all(isinstance(name, str) for name in labels.values()):  # version 1: number to name
            labels = {str(name): int(value) for value, name in labels.items()}
        targets = {name: _values(value) for name, value in labels.items() if name not in ("background", "ignore")}
        channels = content.get("channel_names", content.get("modality", {}))
        return _Description(targets, str(channels.get(str(channel), "")), str(content.get("file_ending", ".nii.gz")))


def _values(value: Any) -> Label:
    values = tuple(int(one) for one in value) if isinstance(value, list) else (int(value),)
    return values[0] if len(values) == 1 else values


def _list_with_ending(folder: Path, ending: str) -> set[str]:
    return {name for name in list_files(folder) if name.endswith(ending)}


def _case_name(name: str, ending: str, masks: set[str]) -> str:
    """Leave out the ending and the channel; the Decathlon's pictures have none and share their mask's name."""
    return name.removesuffix(ending) if name in masks else _CHANNEL.sub("", name.removesuffix(ending))


def _picture(case: str, ending: str, channel: int, names: set[str]) -> str:
    plain = f"{case}{ending}"
    return plain if channel == 0 and plain in names else f"{case}_{channel:04d}{ending}"


def _targets(
    mask: Path | None, targets: dict[str, Label], slices: SliceChoice
) -> Iterator[tuple[str, Label, str | None]]:
    try:
        areas = count_label_areas(mask) if mask else None
    except InputError:
        areas = None
    for target, values in targets.items():
        for where in [None] if areas is None else choose_label_slices(areas, values, slices):
            yield target, values, where
