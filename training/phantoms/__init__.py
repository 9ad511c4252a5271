"""Phantoms: medical-looking pictures with exact named masks, made by seed. Synthetic; no patient is in them."""

from importlib import import_module

import numpy as np

from ibisagent.tools.errors import InputError
from ibisagent.training.phantoms.acquisition import export_picture, simulate
from ibisagent.training.phantoms.phantom import GeneratedImage, Phantom
from ibisagent.training.phantoms.visible_targets import MIN_AREA_SHARE

__all__ = [
    "DIFFICULTY",
    "KINDS",
    "MODALITIES",
    "SCANS",
    "SIZE",
    "GeneratedImage",
    "Phantom",
    "draw",
    "require_drawable",
]

MODALITIES = (
    "ct_abdomen",
    "chest_xray",
    "brain_mr",
    "ultrasound",
    "dermoscopy",
    "endoscopy",
    "fundus",
    "fluorescence",
    "histology",
)
"""The default mix, in turn: each is drawn by the generator of its name; a seed's picture depends on the order."""

SCANS = ("ct_trunk", "ct_lung", "colonoscopy", "heart_mr", "heart_ct", "prostate_mr", "glioma_mr", "retina_oct")
"""Nearer to scans than the default mix, drawn when named; a seed's picture depends on the order."""

KINDS = (*MODALITIES, *SCANS)
"""Everything that can be drawn."""

SIZE = 256
DIFFICULTY = 0.5
_SIZES = (32, 4096)
_GENERATION_STREAM, _ACQUISITION_STREAM = 0, 1


def draw(modality: str, seed: int, size: int = SIZE, difficulty: float = DIFFICULTY) -> Phantom:
    """Draw the phantom of a seed, (size, size) or (size, size, 3) uint8: the same for the same arguments.

    ``difficulty`` in [0, 1]: how much contrast, noise and clutter hide the targets. `InputError` for an unknown
    modality, a size outside 32 to 4096, a difficulty outside [0, 1] or a negative seed.
    """
    require_drawable(modality, seed, size, difficulty)
    root, scaled = (seed, KINDS.index(modality)), _scale_difficulty(difficulty)
    generator = import_module(f"{__name__}.generators.{modality}")
    generated: GeneratedImage = generator.generate(np.random.default_rng([*root, _GENERATION_STREAM]), size, scaled)
    acquire = simulate if modality in MODALITIES else export_picture
    picture, masks = acquire(
        np.random.default_rng([*root, _ACQUISITION_STREAM]), generated.image, generated.masks, scaled
    )
    return Phantom(
        modality=modality,
        seed=seed,
        difficulty=difficulty,
        image=picture,
        masks={name: mask for name, mask in masks.items() if mask.mean() >= MIN_AREA_SHARE},
        absent=generated.absent,
        lesions=generated.lesions,
    )


def require_drawable(modality: str, seed: int, size: int, difficulty: float) -> None:
    """Refuse with `InputError` what `draw` cannot draw."""
    if modality not in KINDS:
        raise InputError(f"got modality {modality[:40]!r}, expected one of {', '.join(KINDS)}; name one")
    if not _SIZES[0] <= size <= _SIZES[1]:
        raise InputError(f"got size={size}, expected {_SIZES[0]} to {_SIZES[1]} pixels; change it")
    if not 0 <= difficulty <= 1:
        raise InputError(f"got difficulty={difficulty}, expected a number from 0 to 1; change it")
    if seed < 0:
        raise InputError(f"got seed={seed}, expected a whole number from 0 up; change it")


def _scale_difficulty(difficulty: float) -> float:
    """Return the generators' difficulty; at the default an oracle with geocut ends at a mean IoU of about .82."""
    return float(np.interp(difficulty, (0, 0.5, 1), (0, 0.75, 1)))
