"""The requests for a phantom: its targets, absent ones, those of other modalities, and reasoning requests."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from ibisagent.training.phantoms import MODALITIES, Phantom
from ibisagent.training.requests import build_reasoning_requests

__all__ = ["Row", "build_request_rows", "choose_row"]

Row = dict[str, Any]
"""``kind``, one of `REQUEST_KINDS`; ``target``; ``present``; ``request``, empty if the target is requested by name."""

_ROW_STREAM = 3
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
_ALSO_VISIBLE = {
    "ct_abdomen": {"left lung", "right lung", "lungs", "heart"},
    "chest_xray": {"aorta", "liver", "stomach", "spleen"},
    "ultrasound": {"brain", "ventricles", "gland"},
}
"""What a picture may show although it is no target there."""


def build_request_rows(phantom: Phantom, rng: np.random.Generator) -> Iterator[Row]:
    """Yield a row for each target, each absent one, one of another modality, and each reasoning request."""
    for target in phantom.masks:
        yield _row("comparison" if target.startswith("largest ") else "present", target, present=True)
    for target in phantom.absent:
        yield _row("absent", target, present=False)
    yield _row("foreign", str(rng.choice(_foreign_targets(phantom))), present=False)
    for each in build_reasoning_requests(phantom.modality, phantom.masks, phantom.absent, phantom.lesions, rng):
        yield _row("comparison" if each.comparison else "reasoning", each.target, each.present, each.request)


def _foreign_targets(phantom: Phantom) -> list[str]:
    similar = {phantom.modality}.union(*(pair for pair in _SIMILAR if phantom.modality in pair))
    names = {name for each, names in _FOREIGN.items() if each not in similar for name in names}
    return sorted(names - phantom.masks.keys() - _ALSO_VISIBLE.get(phantom.modality, set()))


def _row(kind: str, target: str, present: bool, request: str = "") -> Row:
    return {"kind": kind, "target": target, "present": present, "request": request}


def choose_row(rows: list[Row], phantom: Phantom) -> Row:
    """Draw a kind of row, then one of it, so that many of one kind do not crowd out the others."""
    rng = np.random.default_rng([phantom.seed, MODALITIES.index(phantom.modality), _ROW_STREAM])
    kind = rng.choice(sorted({row["kind"] for row in rows}))
    same = [row for row in rows if row["kind"] == kind]
    return same[rng.integers(len(same))]
