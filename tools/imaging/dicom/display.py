"""A frame's picture, as its own display rules say (PS3.3 C.7.6.3, C.11.2).

Order: modality LUT or rescale, VOI LUT or window, MONOCHROME1 inverted, and last padding made black.
Without a window in the file a CT gets the abdominal one, an 8-bit picture is shown as stored, anything else its 0.5 to
99.5 percentiles, of what is no padding.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.pixels.processing import apply_color_lut

from ibisagent.tools.errors import InputError
from ibisagent.tools.imaging.dicom.elements import read_code, read_int, read_items, read_numbers, read_texts
from ibisagent.tools.imaging.dicom.header_facts import read_modality
from ibisagent.tools.imaging.dicom.lookup_tables import LookupTable, read_table
from ibisagent.tools.imaging.grids import Mask
from ibisagent.tools.imaging.window import (
    DEFAULT_CT,
    DEFAULT_OTHER,
    Percentiles,
    Window,
    apply_window,
    parse_window,
    to_exact_float,
)

__all__ = ["is_colour", "render_colour", "render_grey"]

_COLOURS = {"RGB", "YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_422", "YBR_ICT", "YBR_RCT"}
_FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")


def is_colour(stored: NDArray[Any], head: Dataset) -> bool:
    """Whether a picture is in colour, also by a palette."""
    return stored.ndim == 3 or read_code(head, "PhotometricInterpretation") == "PALETTE COLOR"


def render_colour(stored: NDArray[Any], head: Dataset, name: str, window: str | None) -> NDArray[np.uint8]:
    """Return (rows, columns, 3) of a colour frame."""
    if window is not None:
        raise InputError(f"{name}: got window={window[:40]!r} for a colour picture, expected none; leave it out")
    photometric = read_code(head, "PhotometricInterpretation")
    if photometric == "PALETTE COLOR":
        table: NDArray[Any] = apply_color_lut(stored, head)[..., :3]
        # Some writers keep 8-bit entries in a table declared as 16-bit.
        return np.asarray(table >> 8 if table.max() > 255 else table, dtype=np.uint8)
    if photometric not in _COLOURS or stored.shape[2:] != (3,):
        kinds = ", ".join(sorted(_COLOURS))
        raise InputError(f"{name}: got a retired colour model, expected {kinds} or PALETTE COLOR; convert it to RGB")
    bits = int(head.BitsStored)
    if stored.dtype == np.uint8 and bits == 8:
        return stored
    return np.asarray(np.floor(np.clip(stored / (2**bits - 1), 0, 1) * 255 + 0.5), dtype=np.uint8)


def render_grey(values: NDArray[Any], padding: Mask, head: Dataset, name: str, window: str | None) -> NDArray[np.uint8]:
    """Show rescaled (rows, columns) values, black where ``padding`` says that they are no picture."""
    pixels = _apply_display(values, padding, head, name, window)
    inverted = 255 - pixels if read_code(head, "PhotometricInterpretation") == "MONOCHROME1" else pixels
    return np.where(padding, np.uint8(0), inverted)


def _apply_display(
    values: NDArray[Any], padding: Mask, head: Dataset, name: str, window: str | None
) -> NDArray[np.uint8]:
    ct = read_modality(head) == "CT"
    if window is not None and not window.strip().lower().startswith("file"):
        return _apply_window(values, padding, parse_window(window, name, hounsfield=ct))
    views = _list_views(head)
    if window is not None or views:
        view = _choose_view(window, views, name)
        return _apply_voi_lut(values, view) if isinstance(view, LookupTable) else _apply_window(values, padding, view)
    if values.dtype == np.uint8 and read_int(head, "BitsStored") == 8:
        return values
    return _apply_window(values, padding, parse_window(DEFAULT_CT if ct else DEFAULT_OTHER, name, hounsfield=ct))


def _apply_window(values: NDArray[Any], padding: Mask, window: Window | Percentiles) -> NDArray[np.uint8]:
    exact = to_exact_float(values)
    return apply_window(exact, window, exact[~padding])


def _list_views(head: Dataset) -> list[tuple[str, LookupTable | Window]]:
    """List the file's own ways to be shown, each with its name: VOI LUTs, then windows, as far as they make sense."""
    tables = [
        (read_texts(item, "LUTExplanation"), read_table(item, head)) for item in read_items(head, "VOILUTSequence")
    ]
    function = read_code(head, "VOILUTFunction")
    function = function if function in _FUNCTIONS else "LINEAR"
    pairs = zip(read_numbers(head, "WindowCenter"), read_numbers(head, "WindowWidth"), strict=False)
    names = read_texts(head, "WindowCenterWidthExplanation")
    least = 1.0 if function == "LINEAR" else np.nextafter(0, 1)
    windows: list[tuple[str, LookupTable | Window]] = [
        (names[index] if index < len(names) else "", Window(centre, width, function))
        for index, (centre, width) in enumerate(pairs)
        if width >= least
    ]
    return [((*explanations, "")[0], table) for explanations, table in tables if table is not None] + windows


def _choose_view(window: str | None, views: list[tuple[str, LookupTable | Window]], name: str) -> LookupTable | Window:
    """Choose ``file``, the first, ``file:1`` by index or ``file:NAME`` by the name that the file gives a window."""
    wanted = (window or "file:0").strip().lower().removeprefix("file").removeprefix(":").strip() or "0"
    if wanted.isascii() and wanted.isdecimal() and len(wanted) < 6 and int(wanted) < len(views):
        return views[int(wanted)][1]
    named = [view for title, view in views if title.strip().lower() == wanted]
    if named:
        return named[0]
    expected = f"expected file:0..{len(views) - 1} or a name that it gives" if views else "but it brings no window"
    raise InputError(f"{name}: got window={(window or '')[:40]!r}, {expected}; change it")


def _apply_voi_lut(values: NDArray[Any], table: LookupTable) -> NDArray[np.uint8]:
    """Apply a VOI LUT; its outputs span the bits that its descriptor names (PS3.3 C.11.2.1.1)."""
    shown = table.apply(values)
    highest = max(2**table.bits - 1, int(shown.max()))
    return np.asarray(np.floor(shown / highest * 255 + 0.5), dtype=np.uint8)
