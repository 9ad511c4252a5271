"""Frames stacked in the patient: their order, their position, and which are missing or repeated.

The order is that of the positions along the normal of the planes (PS3.3 C.7.6.2.1.1), never that of instance numbers.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from ibisagent.tools.imaging.dicom.elements import get_frame_header, read_int, read_numbers, read_vector
from ibisagent.tools.imaging.grids import DicomSource

__all__ = ["GEOMETRY_KEYWORDS", "Stack", "StoredFrame", "build_stack", "compute_affine", "read_frames"]

GEOMETRY_KEYWORDS = (
    *("Rows", "Columns", "PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient", "SliceThickness"),
    *("AcquisitionNumber", "TemporalPositionIdentifier", "EchoNumbers", "InstanceNumber", "GridFrameOffsetVector"),
)
_ORDER = (
    *("AcquisitionNumber", "FrameAcquisitionNumber", "TemporalPositionIdentifier", "TemporalPositionIndex"),
    *("EchoNumbers", "InstanceNumber"),
)
_TOLERANCE = 1e-3  # mm, or a cosine
_MAX_UNEVENNESS = 0.1  # of the step
_MIN_COSINE = math.cos(math.radians(0.5))


@dataclass(frozen=True, slots=True)
class StoredFrame:
    """One stored frame and its ``position`` in mm and ``orientation`` (rows' then columns' direction), in LPS.

    ``spacing`` (row, column) and ``thickness`` in mm. ``order`` tells frames of one position apart.
    """

    source: DicomSource
    size: tuple[int, int]
    position: tuple[float, ...] | None
    orientation: tuple[float, ...] | None
    spacing: tuple[float, ...] | None
    thickness: float
    order: tuple[int, ...]

    @property
    def is_placed(self) -> bool:
        """Whether the patient's position of every pixel is known."""
        return self.position is not None and self.orientation is not None and self.spacing is not None


@dataclass(frozen=True, slots=True, eq=False)
class Stack:
    """``frames`` as a user counts them; ``volumes``: evenly spaced planes of them, none where they form none.

    ``affine`` (4, 4) maps (column, row, plane) of any volume to RAS mm.
    """

    frames: tuple[StoredFrame, ...]
    volumes: tuple[tuple[StoredFrame, ...], ...] = ()
    affine: NDArray[np.float64] | None = None
    notes: tuple[str, ...] = ()


def read_frames(dataset: Dataset, source: DicomSource, frames: int) -> list[StoredFrame]:
    """Describe every frame of a file by its header."""
    return [
        _read_frame(get_frame_header(dataset, frame, GEOMETRY_KEYWORDS), source._replace(frame=frame), frame)
        for frame in range(frames)
    ]


def _read_frame(head: Dataset, source: DicomSource, frame: int) -> StoredFrame:
    orientation = _normalize(read_vector(head, "ImageOrientationPatient"))
    return StoredFrame(
        source=source,
        size=(int(head.Rows), int(head.Columns)),
        position=_read_position(head, orientation, frame),
        orientation=orientation,
        spacing=read_vector(head, "PixelSpacing"),
        thickness=(read_numbers(head, "SliceThickness") or [0.0])[0],
        order=(*(read_int(head, keyword) for keyword in _ORDER), frame),
    )


def _normalize(orientation: tuple[float, ...] | None) -> tuple[float, ...] | None:
    """Bring both directions to length 1: writers round them, and angles are judged by them."""
    if orientation is None:
        return None
    return tuple(part / math.hypot(*one) for one in (orientation[:3], orientation[3:]) for part in one)


def _read_position(head: Dataset, orientation: tuple[float, ...] | None, frame: int) -> tuple[float, ...] | None:
    """Return the first pixel's place; a dose grid gives only that of its first frame, and offsets from there."""
    position, offsets = read_vector(head, "ImagePositionPatient"), read_numbers(head, "GridFrameOffsetVector")
    if position is None or orientation is None or frame >= len(offsets):
        return position
    return tuple(np.array(position) + (offsets[frame] - offsets[0]) * np.array(_compute_normal(orientation)))


def _dot(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))  # numpy is slow on three numbers


def _compute_normal(orientation: Sequence[float]) -> tuple[float, ...]:
    across = np.cross(orientation[:3], orientation[3:])
    return tuple((across / np.linalg.norm(across)).tolist())


def build_stack(frames: Sequence[StoredFrame]) -> Stack:
    """Sort frames of one series, and find the volumes that they form."""
    ordered = sorted(frames, key=lambda frame: (frame.order, frame.source.path.name, frame.source.member or ""))
    if not all(frame.is_placed for frame in ordered) or not _are_parallel(ordered):
        return Stack(tuple(ordered))
    normal = _compute_normal(ordered[0].orientation or ())
    positions = _group_by_position(ordered, normal)
    if len(positions) == 1:
        alone = len(ordered) == 1
        return Stack(tuple(ordered), (tuple(ordered),) if alone else (), compute_affine(ordered) if alone else None)
    counts = {len(position) for position in positions}
    notes = []
    if len(counts) > 1:
        repeated = sum(len(position) - 1 for position in positions)
        notes.append(f"pictures left out at the position of another: {repeated}")
    volumes = tuple(zip(*(position[: min(counts) if len(counts) == 1 else 1] for position in positions), strict=True))
    flat = tuple(frame for volume in volumes for frame in volume)
    affine = compute_affine(volumes[0])
    steps = np.diff([_project(frame, normal) for frame in volumes[0]])
    if np.ptp(steps) > 2 * _MAX_UNEVENNESS * np.median(steps) or not all(
        _fits_affine(volume, affine) for volume in volumes
    ):
        return Stack(flat, notes=(*notes, _describe_unevenness(steps)))
    step = affine[:3, 2] / np.linalg.norm(affine[:3, 2])
    lean = abs(float(np.dot(step * (-1, -1, 1), normal)))
    if lean < _MIN_COSINE:
        notes.append(f"the planes are tilted by {math.degrees(math.acos(lean)):.1f} degrees against their row")
    return Stack(flat, volumes, affine, tuple(notes))


def _are_parallel(frames: Sequence[StoredFrame]) -> bool:
    orientations, spacings = (
        np.array([frame.orientation for frame in frames]),
        np.array([frame.spacing for frame in frames]),
    )
    return bool(
        np.ptp(orientations, axis=0).max() < _TOLERANCE and np.ptp(spacings, axis=0).max() < _TOLERANCE * spacings.min()
    )


def _project(frame: StoredFrame, normal: Sequence[float]) -> float:
    return _dot(frame.position or (), normal)


def _group_by_position(ordered: Sequence[StoredFrame], normal: Sequence[float]) -> list[list[StoredFrame]]:
    """Group frames by their place along the normal, from its start to its end, each group in the given order."""
    groups: list[list[int]] = []
    last = -math.inf
    for depth, index in sorted((_project(frame, normal), index) for index, frame in enumerate(ordered)):
        if depth - last > 10 * _TOLERANCE:
            groups.append([])
        groups[-1].append(index)
        last = depth
    return [[ordered[index] for index in sorted(group)] for group in groups]


def compute_affine(volume: Sequence[StoredFrame]) -> NDArray[np.float64]:
    """Return the affine of evenly spaced frames, (column, row, plane) to RAS mm; one frame is as thick as it says."""
    first, last = volume[0], volume[-1]
    orientation, spacing, origin = first.orientation or (), first.spacing or (), np.array(first.position or ())
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = np.array(orientation[:3]) * spacing[1], np.array(orientation[3:]) * spacing[0]
    if len(volume) > 1:
        affine[:3, 2] = (np.array(last.position or ()) - origin) / (len(volume) - 1)
    else:
        affine[:3, 2] = np.array(_compute_normal(orientation)) * (first.thickness if first.thickness > 0 else 1.0)
    affine[:3, 3] = origin
    affine[:2] *= -1
    return affine + 0.0  # no negative zeros


def _fits_affine(volume: Sequence[StoredFrame], affine: NDArray[np.float64]) -> bool:
    """Whether every frame lies where the affine puts it, within a part of a step."""
    lps = affine[:3] * np.array([[-1], [-1], [1]])
    expected = lps[:, 3] + np.arange(len(volume))[:, None] * lps[:, 2]
    away = np.linalg.norm(np.array([frame.position or () for frame in volume]) - expected, axis=1)
    return bool(away.max() <= 2 * _MAX_UNEVENNESS * np.linalg.norm(lps[:, 2]))


def _describe_unevenness(steps: NDArray[np.float64]) -> str:
    usual = float(np.median(steps))
    missing = int(sum(max(round(step / usual) - 1, 0) for step in steps))
    if missing:
        return f"planes missing between the others, which are {usual:.3g} mm apart: {missing}"
    return f"the planes are unevenly spaced, from {steps.min():.3g} to {steps.max():.3g} mm"
