"""Measurements of a mask: area, lengths, position, components, values."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ibisagent.tools.clicks import PixelBox
from ibisagent.tools.imaging.grids import Mask, Spacing
from ibisagent.tools.imaging.medical_image import MedicalImage
from ibisagent.tools.json_values import to_builtin
from ibisagent.tools.masks.axes import measure_axes, measure_perimeter, trace_outline

__all__ = ["bounding_box", "describe_measurements", "iou", "measure", "measure_on_image"]

Values = NDArray[np.floating[Any]]
SideOf = Callable[[float, float], str | None]
_EIGHT_CONNECTED = np.ones((3, 3), dtype=np.bool_)
_PIXEL_SPACING = Spacing(1.0, 1.0)
_LENGTHS = ("long_axis", "short_axis", "perimeter")


def measure(
    mask: Mask,
    spacing: Spacing | None,
    values: Values | None = None,
    *,
    unit: str | None = None,
    side_of: SideOf | None = None,
) -> dict[str, Any]:
    """Measure an (H, W) mask; every value is plain JSON, and None is what is not known.

    ``area_px`` in pixels, ``area_mm2``, ``fraction`` of the picture, ``bbox`` [top, left, bottom, right] in pixels
    with both ends included, ``centroid`` [x, y] in [0, 1] of the picture, ``components`` joined by sides or corners,
    ``holes`` in them. ``long_axis`` and ``short_axis`` (RECIST: the longest diameter of the largest component, and the
    longest one across it) and ``perimeter`` (all outlines) end in ``_px`` and ``_mm``; without ``spacing`` there are
    no mm. ``value_mean`` and ``value_sd`` (of the population) of the (H, W) ``values`` that are finite, in ``unit``.
    ``side``: the patient's, "left" or "right" where ``side_of`` says so of the mask's middle half, else "both".
    An empty mask has no box, no centroid and no lengths.

    >>> measure(np.array([[0, 1]], bool), Spacing(2.0, 0.5))["area_mm2"]
    1.0
    """
    box = bounding_box(mask)
    crop = _crop(mask, box)
    pixels = int(np.count_nonzero(crop))
    labels, components = _label_components(crop, _EIGHT_CONNECTED)
    pieces = trace_outline(_select_largest(labels, components)) if box else None
    inside = _crop(values, box)[crop] if values is not None else np.empty(0, np.float32)
    found = {
        "area_px": pixels,
        "area_mm2": pixels * spacing.row * spacing.column if spacing else None,
        "fraction": pixels / mask.size,
        "bbox": list(box) if box else None,
        "centroid": _centroid(crop, box, mask.shape) if box else None,
        "components": components,
        "holes": _label_components(~np.pad(crop, 1))[1] - 1,
        **_measure_lengths(crop, pieces, _PIXEL_SPACING, "px"),
        **_measure_lengths(crop, pieces, spacing, "mm"),
        **_summarize_values(inside, unit),
        "side": _find_side(crop, box, mask.shape, side_of) if box and side_of else None,
    }
    return dict(to_builtin(found))


def measure_on_image(mask: Mask, image: MedicalImage) -> dict[str, Any]:
    """Measure a mask of ``image`` with all that is known of it: spacing, raw values (HU on CT), the patient's sides."""
    unit = "HU" if image.modality == "CT" else None
    return measure(mask, image.spacing, image.values, unit=unit, side_of=image.grid.side_of)


def describe_measurements(measurements: dict[str, Any]) -> str:
    """Summarize in one line what `measure` found; of several parts the lengths are those of the largest.

    >>> describe_measurements(measure(np.ones((2, 3), bool), Spacing(20.0, 10.0), np.full((2, 3), 46), unit="HU"))
    'area 1,200 mm², 45 x 34 mm, 1 part, 46 ± 0 HU'
    >>> describe_measurements(measure(np.eye(3, dtype=bool)[[0, 2, 1]], None))
    'area 3 px, 2 parts, the largest 2.2 x 0.75 px'
    """
    if not measurements.get("area_px"):
        return "empty"
    known = {name: value for name, value in measurements.items() if value is not None}
    unit, square = ("mm", "mm²") if "area_mm2" in known else ("px", "px")
    said = [f"area {_round(known.get('area_mm2', known['area_px']))} {square}"]
    if f"long_axis_{unit}" in known:
        count, size = known["components"], [_round(known[f"{name}_axis_{unit}"]) for name in ("long", "short")]
        lengths = f"{' x '.join(size)} {unit}"
        said += [lengths, "1 part"] if count == 1 else [f"{count} parts", f"the largest {lengths}"]
    if known.get("holes"):
        said.append(f"{known['holes']} hole{'s' if known['holes'] > 1 else ''}")
    if "value_mean" in known:
        spread = f"{_round(known['value_mean'])} ± {_round(known['value_sd'])}"
        said.append(f"{spread} {known['value_unit']}" if "value_unit" in known else spread)
    if "side" in known:
        said.append("on both sides" if known["side"] == "both" else f"patient's {known['side']}")
    return ", ".join(said)


def _round(number: float) -> str:
    """Keep what a reader can use: whole numbers from 10 up, below that two digits."""
    return f"{number:,.0f}" if abs(number) >= 9.95 else f"{number:.2g}"


def bounding_box(mask: Mask) -> PixelBox | None:
    """Return the smallest box that holds an (H, W) mask, None for an empty one."""
    rows = np.flatnonzero(mask.any(axis=1))
    if rows.size == 0:
        return None
    columns = np.flatnonzero(mask[rows[0] : rows[-1] + 1].any(axis=0))
    return PixelBox(int(rows[0]), int(columns[0]), int(rows[-1]), int(columns[-1]))


def _crop(array: NDArray[Any], box: PixelBox | None) -> NDArray[Any]:
    return array[box.top : box.bottom + 1, box.left : box.right + 1] if box else array[:0]


def _label_components(crop: Mask, structure: Mask | None = None) -> tuple[NDArray[np.int32], int]:
    from scipy import ndimage  # a quarter of a second, which a start without a measurement is spared

    labels, count = ndimage.label(crop, structure)
    return np.asarray(labels, dtype=np.int32), int(count)


def _centroid(crop: Mask, box: PixelBox, shape: tuple[int, ...]) -> list[float]:
    """Return the mean of the pixel centres as [x, y]; it can lie outside a bent shape."""
    by_row, by_column = crop.sum(axis=1), crop.sum(axis=0)
    pixels = by_row.sum()
    row = box.top + 0.5 + by_row @ np.arange(by_row.size) / pixels
    column = box.left + 0.5 + by_column @ np.arange(by_column.size) / pixels
    return [float(column / shape[1]), float(row / shape[0])]


def _select_largest(labels: NDArray[np.int32], count: int) -> Mask:
    which = 1 + int(np.bincount(labels.ravel())[1:].argmax()) if count > 1 else 1
    return np.asarray(labels == which, dtype=np.bool_)


def _measure_lengths(
    crop: Mask, pieces: NDArray[np.float64] | None, spacing: Spacing | None, unit: str
) -> dict[str, float | None]:
    if spacing is None or pieces is None:
        return {f"{name}_{unit}": None for name in _LENGTHS}
    pair = measure_axes(pieces, spacing)
    found = (pair.long, pair.short, measure_perimeter(crop, spacing))
    return {f"{name}_{unit}": length for name, length in zip(_LENGTHS, found, strict=True)}


def _summarize_values(inside: Values, unit: str | None) -> dict[str, Any]:
    finite = inside[np.isfinite(inside)].astype(np.float64)
    known = finite.size > 0
    return {
        "value_mean": float(finite.mean()) if known else None,
        "value_sd": float(finite.std()) if known else None,
        "value_unit": unit if known else None,
    }


def _find_side(crop: Mask, box: PixelBox, shape: tuple[int, ...], side_of: SideOf) -> str | None:
    """Look up the sides of the mask's quartiles across the picture and down it; a side holds three quarters or none."""
    (low, middle, high), (top, centre, bottom) = (
        (start + 0.5 + _quartiles(crop.sum(axis=axis))) / length
        for start, axis, length in ((box.left, 0, shape[1]), (box.top, 1, shape[0]))
    )
    found = {side_of(x, y) for x, y in ((low, centre), (high, centre), (middle, top), (middle, bottom))}
    return found.pop() if len(found) == 1 else "both"


def _quartiles(counts: NDArray[np.intp]) -> NDArray[np.intp]:
    return np.asarray(np.searchsorted(counts.cumsum(), counts.sum() * np.array([0.25, 0.5, 0.75])))


def iou(mask: Mask, truth: Mask) -> float:
    """Intersection over union of two (H, W) bool masks; 1.0 for two empty ones, so that a right refusal counts."""
    union = int(np.count_nonzero(mask | truth))
    return int(np.count_nonzero(mask & truth)) / union if union else 1.0
