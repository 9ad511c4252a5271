"""A medical image that was opened: pixels to show, values to measure, and the way back to the source's grid."""

import hashlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ibisagent.tools.imaging.grids import Grid, Mask, Spacing
from ibisagent.tools.plain_values import to_builtin

__all__ = ["MedicalImage"]


@dataclass(frozen=True, slots=True, eq=False)
class MedicalImage:
    """A picture as it is displayed, with its geometry; nothing in it comes from a patient header but the modality.

    A plane of a volume is shown as radiologists look at it: an axial one from the feet with the patient's front at the
    top, a coronal one from the front, so on both the patient's right is at the viewer's left; a sagittal one with the
    front at the left; the head is at the top. A single DICOM file or a frame by its number is shown as it is stored,
    as in every viewer, and a note says where that differs. ``axes`` and ``side_of`` give the patient's sides.

    ``pixels`` (H, W) or (H, W, 3) uint8, read-only. ``values`` (H, W) before windowing (HU on CT), float32 or, where
    that would round DICOM's rescaled values, float64; None for a picture that is stored as it is shown. ``spacing`` in
    mm, None when unknown. ``grid`` takes an (H, W) mask back to the source. ``modality`` is DICOM's code, such as CT.
    ``open_image(uri, slice=slice, window=window)`` opens the same picture again; ``uri`` is None for what did not come
    from a file. ``notes``: remarks of one line on what to bear in mind (spacing at the detector, gaps, burned-in text).
    ``padding`` (H, W) bool: what pads the picture out to its size, by default where ``values`` are NaN from the edge
    inwards (a NaN inside the picture is a pixel like any other); None where there is none. ``sha``, 32 hexadecimal
    digits, names the displayed content.
    """

    pixels: NDArray[np.uint8] = field(repr=False)
    grid: Grid = field(repr=False)
    spacing: Spacing | None = None
    values: NDArray[np.float32] | NDArray[np.float64] | None = field(default=None, repr=False)
    modality: str | None = None
    uri: str | None = field(default=None, repr=False)  # a file's name can hold a patient's
    slice: str | None = None
    window: str | None = None
    notes: tuple[str, ...] = ()
    padding: Mask | None = field(default=None, repr=False)
    sha: str = field(init=False)

    def __post_init__(self) -> None:
        """Make the arrays read-only and everything else plain, whatever library it is from; name the content."""
        for name in ("modality", "uri", "slice", "window"):
            object.__setattr__(self, name, to_builtin(getattr(self, name)))
        if self.spacing is not None:
            object.__setattr__(self, "spacing", Spacing(*map(float, self.spacing)))
        object.__setattr__(self, "notes", tuple(to_builtin(note) for note in self.notes))
        object.__setattr__(self, "pixels", _view_read_only(self.pixels))
        if self.values is not None:
            object.__setattr__(self, "values", _view_read_only(self.values))
        padding = _find_padding(self.values) if self.padding is None and self.values is not None else self.padding
        object.__setattr__(self, "padding", None if padding is None else _view_read_only(padding))
        digest = hashlib.sha256(repr(self.pixels.shape).encode() + b"\n")
        digest.update(self.pixels.data)
        object.__setattr__(self, "sha", digest.hexdigest()[:32])

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the displayed picture in pixels."""
        return self.pixels.shape[0], self.pixels.shape[1]

    @property
    def axes(self) -> tuple[str, str] | None:
        """Where the picture's bottom and its right side lie in the patient: R, L, A, P, H or F; None when unknown."""
        return self.grid.axes

    def side_of(self, x: float, y: float) -> str | None:
        """Return the patient's side, left or right, at a point in [0, 1] of the picture; None when unknown."""
        return self.grid.side_of(x, y)


def _find_padding(values: NDArray[Any]) -> Mask | None:
    """Return where (H, W) values are NaN from the edge inwards, None where no edge has any."""
    if not any(np.isnan(edge).any() for edge in (values[0], values[-1], values[:, 0], values[:, -1])):
        return None
    from scipy import ndimage

    # With a border of NaN around the picture, everything that reaches an edge is one component.
    components, _ = ndimage.label(np.pad(np.isnan(values), 1, constant_values=True))
    return np.asarray(components[1:-1, 1:-1] == components[0, 0])


def _view_read_only(array: NDArray[Any]) -> NDArray[Any]:
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view
