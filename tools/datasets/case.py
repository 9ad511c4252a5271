"""One row of a data set: one target in one picture."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ibisagent.tools.errors import InputError
from ibisagent.tools.files import printable_text as shown
from ibisagent.tools.imaging.grids import Mask, make_read_only
from ibisagent.tools.imaging.medical_image import MedicalImage
from ibisagent.tools.imaging.open_image import open_image
from ibisagent.tools.masks.label_values import Label
from ibisagent.tools.masks.reading import read_mask
from ibisagent.tools.remote_folder import RemoteFolder

__all__ = ["Case", "resolve_in_folder"]


@dataclass(frozen=True, slots=True)
class Case:
    """One target in one picture, as a manifest's columns describe it; nothing is opened before it is needed.

    ``id`` is unique in its data set and a valid file name. ``label`` is the target's value in ``mask``, or several
    that are joined, or the category in a COCO file; None: its one value but 0. ``mask`` is None where the target is
    absent, or where its outline is unknown. ``fault`` says in one line why this row cannot be used. ``remote``: where
    the files are fetched from when they are needed, None for local ones.
    """

    id: str
    image: Path
    mask: Path | None
    label: Label | None
    target: str
    request: str = ""
    modality: str = ""
    source: str = ""
    split: str = ""
    slice: str | None = None
    window: str | None = None
    present: bool = True
    fault: str | None = None
    remote: RemoteFolder | None = None

    def __post_init__(self) -> None:
        """Word the request after the target where none was given."""
        if not self.request:
            object.__setattr__(self, "request", f"Segment the {self.target}.")

    @property
    def image_key(self) -> tuple[Path, str | None, str | None]:
        """Return what the cases of one picture have in common."""
        return self.image, self.slice, self.window

    def open(self) -> MedicalImage:
        """Open the picture; `InputError` for a faulty row or whatever `open_image` refuses."""
        self.fetch_image()
        return open_image(self.image, slice=self.slice, window=self.window)

    def fetch_image(self) -> None:
        """Bring the picture from a remote data set; `InputError` for a faulty row or what `RemoteFolder` refuses."""
        self._require_valid()
        if self.remote is not None:
            self.remote.fetch(self.image)

    def read_truth(self, image: MedicalImage) -> Mask:
        """Read the target's mask, (H, W) bool, read-only, on the picture that `open` gave; empty when it is absent.

        `InputError` for a faulty row, a mask that is missing, unreadable or of another shape, and for an empty one of
        a target that is present.
        """
        self._require_valid()
        if not self.present:
            return make_read_only(np.zeros(image.shape, dtype=np.bool_))
        if self.mask is None:
            raise InputError(f"{self.id}: got no mask, expected one for a target that is present; name it or its split")
        if self.remote is not None:
            self.remote.fetch(self.mask)
        mask = read_mask(self.mask, image, values=self.label)
        if not mask.any():
            got = "an empty mask" if self.label is None else f"a mask without label {shown(self.label)}"
            where = f"{self.id} ({shown(self.mask.name)}{f', slice {image.slice}' if image.slice else ''})"
            raise InputError(f"{where}: got {got}, expected the {shown(self.target)}; name another slice or present=0")
        return make_read_only(mask)

    def _require_valid(self) -> None:
        if self.fault is not None:
            raise InputError(f"{self.id}: {self.fault}")


def resolve_in_folder(folder: Path, text: str) -> tuple[Path, str | None]:
    """Return the path that ``text`` names from ``folder``, and the fault of one that climbs out of it by ``..``."""
    path = folder / text
    climbs = ".." in text and not os.path.isabs(text) and os.path.normpath(text).split(os.sep)[0] == ".."
    fault = "expected one inside the data set; copy the file there or give an absolute path"
    return path, f"got path {shown(text)!r}, {fault}" if climbs else None
