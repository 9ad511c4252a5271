"""What may be asked of a phantom: its targets, what is absent, what belongs elsewhere, and questions."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from ibisagent.training.phantoms import MODALITIES, Phantom
from ibisagent.training.requests import questions

__all__ = ["Row", "asked", "chosen"]

Row = dict[str, Any]
"""``ask``, one of `ASKS`; ``target``; ``present``; ``request``, empty where the target may be asked for by name."""

_CHOOSING = 3
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
_GLIMPSED = {
    "ct_abdomen": {"left lung", "right lung", "lungs", "heart"},
    "chest_xray": {"aorta", "liver", "stomach", "spleen"},
    "ultrasound": {"brain", "ventricles", "gland"},
}
"""What a picture may show although it is no target there."""


def asked(phantom: Phantom, rng: np.random.Generator) -> Iterator[Row]:
    """Give a row for each target, for what is absent, for one of another modality, and for each question."""
    for target in phantom.masks:
        yield _row("comparison" if target.startswith("largest ") else "present", target, present=True)
    for target in phantom.absent:
        yield _row("absent", target, present=False)
    yield _row("foreign", str(rng.choice(_elsewhere(phantom))), present=False)
    for each in questions(phantom.modality, phantom.masks, phantom.absent, phantom.lesions, rng):
        yield _row("comparison" if each.comparison else "reasoning", each.target, each.present, each.request)


def _elsewhere(phantom: Phantom) -> list[str]:
    kin = {phantom.modality}.union(*(pair for pair in _SIMILAR if phantom.modality in pair))
    names = {name for each, names in _FOREIGN.items() if each not in kin for name in names}
    return sorted(names - phantom.masks.keys() - _GLIMPSED.get(phantom.modality, set()))


def _row(ask: str, target: str, present: bool, request: str = "") -> Row:
    return {"ask": ask, "target": target, "present": present, "request": request}


def chosen(rows: list[Row], phantom: Phantom) -> Row:
    """Draw a kind of row, then one of it, so that many of one kind do not crowd out the others."""
    rng = np.random.default_rng([phantom.seed, MODALITIES.index(phantom.modality), _CHOOSING])
    kind = rng.choice(sorted({row["ask"] for row in rows}))
    same = [row for row in rows if row["ask"] == kind]
    return same[rng.integers(len(same))]
