"""The requests for a phantom: its targets, absent ones, those of other modalities, and reasoning requests."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from ibisagent.training.phantoms import KINDS, Phantom
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
_SHOWN_BY_SCANS = {
    "ct_trunk": {"ct_abdomen", "chest_xray", "ultrasound"},
    "ct_lung": {"ct_abdomen", "chest_xray", "ultrasound"},
    "colonoscopy": {"endoscopy"},
    "heart_mr": {"ct_abdomen", "chest_xray", "ultrasound"},
    "heart_ct": {"ct_abdomen", "chest_xray", "ultrasound"},
    "prostate_mr": {"ct_abdomen", "ultrasound", "histology"},
    "glioma_mr": {"brain_mr", "ultrasound"},
    "retina_oct": {"fundus", "ultrasound"},
}
"""The kinds of the default mix whose targets such a scan may show, or hold unnamed."""
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
    paired = (pair for pair in _SIMILAR if phantom.modality in pair)
    similar = {phantom.modality}.union(_SHOWN_BY_SCANS.get(phantom.modality, ()), *paired)
    names = {name for each, names in _FOREIGN.items() if each not in similar for name in names}
    return sorted(names - phantom.masks.keys() - _ALSO_VISIBLE.get(phantom.modality, set()))


def _row(kind: str, target: str, present: bool, request: str = "") -> Row:
    return {"kind": kind, "target": target, "present": present, "request": request}


def choose_row(rows: list[Row], phantom: Phantom) -> Row:
    """Draw a kind of row, then one of it, so that many of one kind do not crowd out the others."""
    rng = np.random.default_rng([phantom.seed, KINDS.index(phantom.modality), _ROW_STREAM])
    kind = rng.choice(sorted({row["kind"] for row in rows}))
    same = [row for row in rows if row["kind"] == kind]
    return same[rng.integers(len(same))]
