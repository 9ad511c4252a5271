"""The CVPR MedSAM challenges: one NPZ file per picture or volume, at any depth; labels in it or in one of its name."""

import re
from collections.abc import Iterator
from pathlib import Path

from ibisagent.tools.datasets.case import Case
from ibisagent.tools.datasets.names import parse_split, zero_pad_numbers
from ibisagent.tools.errors import InputError
from ibisagent.tools.imaging import npz
from ibisagent.tools.masks.label_maps import SliceChoice, choose_label_slices, count_label_areas
from ibisagent.tools.masks.label_values import Label

__all__ = ["LAYOUT", "is_match", "read"]

LAYOUT = "**/*.npz with imgs and gts"
_MODALITIES = "CT|MR|PET|US|OCT|X-?Ray|Mamm?o(?:graphy)?|Microscopy|Dermoscopy|Endoscopy|Fundus"
_Target = tuple[str, str, Label | None, str | None]  # key, words, label, slice
_MODALITY = re.compile(rf"(?:^|_)({_MODALITIES})(?=_)", re.IGNORECASE)


def is_match(folder: Path) -> bool:
    """Whether a folder is of this kind."""
    return next(folder.rglob("*.npz"), None) is not None


def read(folder: Path, slices: SliceChoice = "largest") -> Iterator[Case]:
    """Yield a case for every label in every volume or picture, in the frames that `choose_label_slices` chooses.

    Every file's labels are decoded once for that; labels of instances are one target. A file without labels, or one
    that cannot be read, gives one case that says so when it is used.
    """
    holds = {path: _list_arrays(path) for path in sorted(folder.rglob("*.npz"))}
    apart = {path.name: path for path, keys in holds.items() if "gts" in keys and "imgs" not in keys}
    for path, keys in holds.items():
        if "imgs" in keys or "gts" not in keys:
            yield from _cases(folder, path, path if "gts" in keys else apart.get(path.name), slices)


def _list_arrays(path: Path) -> set[str]:
    try:
        return npz.list_arrays(path)
    except InputError:
        return set()


def _cases(folder: Path, path: Path, mask: Path | None, slices: SliceChoice) -> Iterator[Case]:
    modality = _MODALITY.search(path.stem)
    targets, fault = _targets_or_fault(path, mask, slices)
    for key, words, values, where in targets:
        yield Case(
            id="_".join([path.stem, key, *([zero_pad_numbers(where)] if where and slices == "all" else [])]),
            image=path,
            mask=mask,
            label=values,
            target=words or f"target {key}",
            request=words,
            modality=modality[1] if modality else "",
            source=folder.resolve().name,
            split=parse_split(path.relative_to(folder).as_posix()),
            slice=where,
            fault=fault,
        )


def _targets_or_fault(path: Path, mask: Path | None, slices: SliceChoice) -> tuple[list[_Target], str | None]:
    try:
        return list(_targets(path, mask, slices)), None
    except InputError as error:
        return [("unknown", "", None, None)], str(error)


def _targets(path: Path, mask: Path | None, slices: SliceChoice) -> Iterator[_Target]:
    """Find the targets; with prompts, only the labels that they name."""
    said = npz.read_prompts(path)
    areas = count_label_areas(mask) if mask else {}
    words = {int(key): str(text) for key, text in said.items() if key.isdecimal()}
    values = sorted({value for counts in areas.values() for value in counts if not words or value in words})
    if said.get("instance_label"):
        everything = tuple({value for counts in areas.values() for value in counts})
        for where in choose_label_slices(areas, everything, slices) if mask else [None]:
            yield "instances", next(iter(words.values()), ""), None, where
        return
    for value in values if mask else words or [1]:
        for where in choose_label_slices(areas, value, slices) if mask else [None]:
            yield str(value), words.get(value, ""), value, where
