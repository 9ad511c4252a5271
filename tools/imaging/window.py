"""Grey values to the 256 levels of a display: DICOM windows and percentiles."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ibisagent.tools.errors import InputError

__all__ = [
    "DEFAULT_CT",
    "DEFAULT_OTHER",
    "WINDOWS",
    "Percentiles",
    "Window",
    "apply_window",
    "parse_window",
    "to_exact_float",
]


@dataclass(frozen=True, slots=True)
class Window:
    """A window in the values' unit (HU on CT); ``function`` is LINEAR, LINEAR_EXACT or SIGMOID (PS3.3 C.11.2.1)."""

    centre: float
    width: float
    function: str = "LINEAR"


@dataclass(frozen=True, slots=True)
class Percentiles:
    """The values shown as black and as white, as percentiles of all finite values."""

    low: float
    high: float


WINDOWS = {
    "abdomen": Window(40, 400),
    "bone": Window(400, 1800),
    "brain": Window(40, 80),
    "liver": Window(30, 150),
    "lung": Window(-600, 1500),
    "mediastinum": Window(50, 350),
}
"""The customary CT windows, in HU."""

DEFAULT_CT = "abdomen"
DEFAULT_OTHER = "p0.5,p99.5"


def parse_window(text: str, name: str, *, hounsfield: bool) -> Window | Percentiles:
    """Read a window's name (only where values are in ``hounsfield`` units), ``centre,width`` or ``p0.5,p99.5``.

    A width of 1 or less is taken as LINEAR_EXACT, since LINEAR then is a mere threshold or undefined; that is what
    pictures with values in [0, 1] need. ``name`` is the file's, for the `InputError`.

    >>> parse_window("40,400", "a.dcm", hounsfield=True)
    Window(centre=40.0, width=400.0, function='LINEAR')
    """
    key = text.strip().lower()
    if key in WINDOWS and hounsfield:
        return WINDOWS[key]
    if key in WINDOWS:
        remedy = "give it as centre,width or p0.5,p99.5"
        raise InputError(f"{name}: got window={key!r}, expected values in HU for a named window, as on CT; {remedy}")
    window = _parse_pair(key)
    if window is None:
        forms = f"one of {', '.join(WINDOWS)}, or centre,width, or p0.5,p99.5"
        raise InputError(f"{name}: got window={text[:40]!r}, expected {forms}; change it")
    return window


def _parse_pair(key: str) -> Window | Percentiles | None:
    parts = [part.strip() for part in key.split(",")]
    percentiles = all(part.startswith("p") for part in parts)
    try:
        first, second = (float(part.removeprefix("p") if percentiles else part) for part in parts)
    except ValueError:
        return None
    if percentiles:
        return Percentiles(first, second) if 0 <= first < second <= 100 else None
    if not (math.isfinite(first) and math.isfinite(second) and second > 0):
        return None
    return Window(first, second, "LINEAR" if second > 1 else "LINEAR_EXACT")


def to_exact_float(values: NDArray[Any]) -> NDArray[np.float32] | NDArray[np.float64]:
    """Return numbers as float32 where that holds every one exactly, else as float64."""
    with np.errstate(over="ignore", invalid="ignore"):
        single = values.astype(np.float32)
        return single if np.array_equal(single, values, equal_nan=True) else values.astype(np.float64)


def apply_window(
    values: NDArray[np.floating],
    window: Window | Percentiles,
    population: NDArray[np.floating] | None = None,
) -> NDArray[np.uint8]:
    """Show (H, W) values as 0..255, halves rounded up; what is not finite is black.

    Percentiles are taken of ``population`` (any shape; by default the values themselves).
    """
    finite = np.isfinite(values)
    clean = np.where(finite, values, 0).astype(np.float64)
    if isinstance(window, Percentiles):
        unit = _scale_between(clean, *_find_limits(values if population is None else population, window))
    else:
        unit = _map_by_window(clean, window)
    levels: NDArray[np.uint8] = np.floor(np.where(finite, unit, 0) * 255 + 0.5).astype(np.uint8)
    return levels


def _map_by_window(values: NDArray[np.float64], window: Window) -> NDArray[np.float64]:
    """Map values to [0, 1] by PS3.3 C.11.2.1.2.1 (LINEAR), C.11.2.1.3.1 (SIGMOID) or C.11.2.1.3.2 (LINEAR_EXACT)."""
    centre, width = window.centre, window.width
    if window.function == "SIGMOID":
        return 1 / (1 + np.exp(np.clip(-4 * (values - centre) / width, -700, 700)))
    if window.function == "LINEAR":
        centre, width = centre - 0.5, width - 1
    if width == 0:
        return (values > centre).astype(np.float64)
    return np.clip((values - centre) / width + 0.5, 0, 1)


def _scale_between(values: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    if high <= low:
        return (values > low).astype(np.float64)
    return np.clip((values - low) / (high - low), 0, 1)


def _find_limits(population: NDArray[np.floating], window: Percentiles) -> tuple[float, float]:
    """Return the percentiles, or the extremes when the two fall together (a small bright thing on a flat ground)."""
    finite = population[np.isfinite(population)]
    if finite.size == 0:
        return 0.0, 1.0
    low, high = (float(value) for value in np.percentile(finite, [window.low, window.high]))
    return (low, high) if low < high else (float(finite.min()), float(finite.max()))
