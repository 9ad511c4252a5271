"""Phantoms as a data-set folder: pictures, label maps, and a row for whatever may be asked of each picture."""

import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ibisagent.tools import journal
from ibisagent.tools.datasets import Case, write_manifest
from ibisagent.tools.errors import InputError
from ibisagent.tools.files import label, reason_of
from ibisagent.tools.pool import spread
from ibisagent.training.phantoms import DIFFICULTY, MODALITIES, SIZE, Phantom, draw
from ibisagent.training.requests import questions

__all__ = ["ASKS", "Spec", "write_phantoms"]

ASKS = ("present", "absent", "foreign", "reasoning", "comparison")
"""What a row asks for: a target that is there; one that could be but is not; one of another modality; a target that
is described, not named, or an abnormality; one of several by comparing them."""

_ROW = ("index", "cases")
_ASKING, _CHOOSING = 2, 3
_FOREIGN = {
    "ct_abdomen": ("liver", "spleen", "left kidney", "right kidney", "aorta", "stomach", "liver tumour"),
    "chest_xray": ("left lung", "right lung", "lungs", "heart", "lung nodule"),
    "brain_mr": ("brain", "ventricles", "brain tumour"),
    "ultrasound": ("cyst", "mass", "fetal head"),
    "dermoscopy": ("skin lesion",),
    "endoscopy": ("polyp",),
    "fundus": ("optic disc", "optic cup", "macula"),
    "fluorescence": ("nucleus", "nuclei"),
    "histology": ("gland", "tumour nest"),
}
_SIMILAR = ({"fluorescence", "histology"}, {"ct_abdomen", "ultrasound"})  # what one shows may be seen in the other


@dataclass(frozen=True, slots=True)
class Spec:
    """What to write: ``n`` pictures, modalities in turn, from ``seed`` up; rows of the kinds ``asks``.

    ``one``: a single row a picture, drawn at random; ``size`` in pixels or (smallest, largest) to draw each from.
    """

    n: int
    seed: int = 0
    size: int | tuple[int, int] = SIZE
    difficulty: float | tuple[float, float] = DIFFICULTY
    modalities: tuple[str, ...] = MODALITIES
    asks: tuple[str, ...] = ASKS
    one: bool = False

    def __post_init__(self) -> None:
        """Refuse with `InputError` what cannot be drawn."""
        if self.n < 1:
            raise InputError(f"got n={self.n}, expected 1 picture or more; raise it")
        for name, known in (("modalities", MODALITIES), ("asks", ASKS)):
            given = getattr(self, name)
            unknown = [each for each in given if each not in known]
            if unknown or not given:
                got = repr(unknown[0][:40]) if unknown else "none"
                raise InputError(f"got {got} among {name}, expected some of {', '.join(known)}; name those")


def write_phantoms(
    spec: Spec,
    out: str | os.PathLike[str],
    *,
    workers: int | None = None,
    on_picture: Callable[[int], None] | None = None,
) -> Path:
    """Draw phantoms into the folder ``out`` and give its manifest; a stopped call goes on where it was.

    ``images/`` and ``masks/`` hold a PNG each per picture, the mask a label map in which a target is one label or
    several (`Case.label`); ``on_picture`` is told how many are done. A folder begun with another spec is refused.
    """
    folder = Path(os.path.abspath(out))
    rows = folder / "rows.jsonl"
    done = _begin(folder, rows, spec)
    todo = ([index] for index in range(spec.n) if index not in done)
    count = len(done)
    with closing(spread(partial(_pictures, spec, folder), todo, workers, _dead)) as batches:
        for batch in batches:
            journal.append(rows, batch)
            count += len(batch)
            if on_picture is not None:
                on_picture(count)
    found = {row["index"]: row["cases"] for _, row in journal.rows_in(rows, _ROW)}
    plain = itertools.chain.from_iterable(found[index] for index in sorted(found))
    manifest = write_manifest(folder, [_case(folder, each) for each in plain])
    rows.unlink()
    return manifest


def _begin(folder: Path, rows: Path, spec: Spec) -> set[int]:
    begun = folder / "phantoms.txt"
    try:
        for name in ("images", "masks"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        if begun.exists() and begun.read_text(encoding="utf-8") != f"{spec}\n":
            raise InputError(
                f"{label(folder)}: got a folder of other phantoms, expected a new one; choose another --out"
            )
        begun.write_text(f"{spec}\n", encoding="utf-8")
    except OSError as error:
        raise InputError(f"{label(folder)}: cannot be written ({reason_of(error)}); choose another --out") from error
    journal.mend(rows)
    return {row["index"] for _, row in journal.rows_in(rows, _ROW)}


def _dead(index: int, reason: str) -> dict[str, Any]:
    raise InputError(f"phantom {index}: {reason}; run the same command again")


def _pictures(spec: Spec, folder: Path, indices: Sequence[int]) -> list[dict[str, Any]]:
    return [{"index": index, "cases": list(_picture(spec, folder, index))} for index in indices]


def _picture(spec: Spec, folder: Path, index: int) -> Iterator[dict[str, Any]]:
    modality = spec.modalities[index % len(spec.modalities)]
    seed = spec.seed + index
    rng = np.random.default_rng([seed, MODALITIES.index(modality), _ASKING])
    size = spec.size if isinstance(spec.size, int) else int(rng.integers(spec.size[0], spec.size[1] + 1))
    hard = spec.difficulty if isinstance(spec.difficulty, int | float) else float(rng.uniform(*spec.difficulty))
    phantom = draw(modality, seed, size, hard)
    name = f"{modality}-{seed:08d}"
    labels, values = _label_map(phantom.masks)
    _save(folder / "images" / f"{name}.png", phantom.image)
    _save(folder / "masks" / f"{name}.png", labels)
    asked = [each for each in _asked(phantom, rng) if each["ask"] in spec.asks]
    if spec.one and asked:
        asked = [_chosen(asked, np.random.default_rng([seed, MODALITIES.index(modality), _CHOOSING]))]
    for number, each in enumerate(asked):
        yield each | {
            "id": f"{name}-{number}-{each['target'].replace(' ', '-')}",
            "name": name,
            "label": values.get(each["target"]) if each["present"] else None,
            "modality": modality,
        }


def _chosen(asked: list[dict[str, Any]], rng: np.random.Generator) -> dict[str, Any]:
    """Draw a kind of question, then one of it, so that many rows of one kind do not crowd out the others."""
    kind = rng.choice(sorted({each["ask"] for each in asked}))
    same = [each for each in asked if each["ask"] == kind]
    return same[rng.integers(len(same))]


def _asked(phantom: Phantom, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    for target in phantom.masks:
        ask = "comparison" if target.startswith("largest ") else "present"
        yield _row(ask, target, present=True)
    for target in phantom.absent:
        yield _row("absent", target, present=False)
    kin = {phantom.modality}.union(*(pair for pair in _SIMILAR if phantom.modality in pair))
    others = sorted({name for each, names in _FOREIGN.items() if each not in kin for name in names})
    yield _row("foreign", str(rng.choice([each for each in others if each not in phantom.masks])), present=False)
    for each in questions(phantom.modality, phantom.masks, phantom.absent, phantom.lesions, rng):
        yield _row("comparison" if each.comparison else "reasoning", each.target, each.present, each.request)


def _row(ask: str, target: str, present: bool, request: str = "") -> dict[str, Any]:
    return {"ask": ask, "target": target, "present": present, "request": request}


def _label_map(masks: dict[str, NDArray[np.bool_]]) -> tuple[NDArray[np.uint8], dict[str, list[int]]]:
    """Give overlapping masks one map, (H, W) uint8: a label for each combination, and the labels of each target."""
    stack = np.stack(list(masks.values())) if masks else np.zeros((0, 1, 1), np.bool_)
    code = np.zeros(stack.shape[1:], np.int64)
    for bit, mask in enumerate(stack):
        code |= mask.astype(np.int64) << bit
    found = [int(value) for value in np.unique(code) if value]
    labels = np.zeros(code.shape, np.uint8)
    for number, value in enumerate(found, 1):
        labels[code == value] = number
    members = {
        name: [number for number, value in enumerate(found, 1) if value >> bit & 1] for bit, name in enumerate(masks)
    }
    return labels, members


def _save(path: Path, picture: NDArray[np.uint8]) -> None:
    try:
        part = path.with_name(f".{path.name}")
        Image.fromarray(picture).save(part, format="PNG", compress_level=4)
        os.replace(part, path)
    except OSError as error:
        raise InputError(f"{label(path)}: could not be written ({reason_of(error)}); make room") from error


def _case(folder: Path, row: dict[str, Any]) -> Case:
    values = row["label"]
    marked = None if not values else values[0] if len(values) == 1 else tuple(values)
    return Case(
        id=row["id"],
        image=folder / "images" / f"{row['name']}.png",
        mask=folder / "masks" / f"{row['name']}.png" if row["present"] else None,
        label=marked,
        target=row["target"],
        request=row["request"],
        modality=row["modality"],
        source=f"phantom {row['ask']}",
        present=row["present"],
    )
