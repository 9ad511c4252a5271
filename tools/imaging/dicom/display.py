"""A frame's picture, as its own display rules say (PS3.3 C.7.6.3, C.11.2).

Order: modality LUT or rescale, VOI LUT or window, MONOCHROME1 inverted, and last what pads the picture out made black.
Without a window in the file a CT gets the abdominal one, an 8-bit picture is shown as stored, anything else its 0.5 to
99.5 percentiles, of what is no padding.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.pixels.processing import apply_color_lut

from ibisagent.tools.errors import InputError
from ibisagent.tools.imaging.dicom.elements import items, numbers, text, texts, whole
from ibisagent.tools.imaging.dicom.header_facts import modality
from ibisagent.tools.imaging.dicom.lookup_tables import Table, table_of
from ibisagent.tools.imaging.grids import Mask
from ibisagent.tools.imaging.window import DEFAULT_CT, DEFAULT_OTHER, Percentiles, Window, compact, parse_window, render

__all__ = ["colour", "grey", "is_colour"]

_COLOURS = {"RGB", "YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_422", "YBR_ICT", "YBR_RCT"}
_FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")


def is_colour(stored: NDArray[Any], head: Dataset) -> bool:
    """Tell a colour picture, also one that a palette makes, from a grey one."""
    return stored.ndim == 3 or text(head, "PhotometricInterpretation") == "PALETTE COLOR"


def colour(stored: NDArray[Any], head: Dataset, name: str, window: str | None) -> NDArray[np.uint8]:
    """Give (rows, columns, 3) of a colour frame."""
    if window is not None:
        raise InputError(f"{name}: got window={window[:40]!r} for a colour picture, expected none; leave it out")
    photometric = text(head, "PhotometricInterpretation")
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


def grey(values: NDArray[Any], padding: Mask, head: Dataset, name: str, window: str | None) -> NDArray[np.uint8]:
    """Show rescaled (rows, columns) values, black where ``padding`` says that they are no picture."""
    pixels = _windowed(values, padding, head, name, window)
    inverted = 255 - pixels if text(head, "PhotometricInterpretation") == "MONOCHROME1" else pixels
    return np.where(padding, np.uint8(0), inverted)


def _windowed(values: NDArray[Any], padding: Mask, head: Dataset, name: str, window: str | None) -> NDArray[np.uint8]:
    ct = modality(head) == "CT"
    if window is not None and not window.strip().lower().startswith("file"):
        return _rendered(values, padding, parse_window(window, name, hounsfield=ct))
    views = _views(head)
    if window is not None or views:
        view = _chosen(window, views, name)
        return _by_table(values, view) if isinstance(view, Table) else _rendered(values, padding, view)
    if values.dtype == np.uint8 and whole(head, "BitsStored") == 8:
        return values
    return _rendered(values, padding, parse_window(DEFAULT_CT if ct else DEFAULT_OTHER, name, hounsfield=ct))


def _rendered(values: NDArray[Any], padding: Mask, window: Window | Percentiles) -> NDArray[np.uint8]:
    exact = compact(values)
    return render(exact, window, exact[~padding])


def _views(head: Dataset) -> list[tuple[str, Table | Window]]:
    """List the file's own ways to be shown, each with its name: VOI LUTs, then windows, as far as they make sense."""
    tables = [(texts(item, "LUTExplanation"), table_of(item, head)) for item in items(head, "VOILUTSequence")]
    function = text(head, "VOILUTFunction")
    function = function if function in _FUNCTIONS else "LINEAR"
    pairs = zip(numbers(head, "WindowCenter"), numbers(head, "WindowWidth"), strict=False)
    names = texts(head, "WindowCenterWidthExplanation")
    least = 1.0 if function == "LINEAR" else np.nextafter(0, 1)
    windows: list[tuple[str, Table | Window]] = [
        (names[index] if index < len(names) else "", Window(centre, width, function))
        for index, (centre, width) in enumerate(pairs)
        if width >= least
    ]
    return [((*told, "")[0], table) for told, table in tables if table is not None] + windows


def _chosen(window: str | None, views: list[tuple[str, Table | Window]], name: str) -> Table | Window:
    """Choose ``file``, the first, ``file:1`` by index or ``file:NAME`` by the name that the file gives a window."""
    wanted = (window or "file:0").strip().lower().removeprefix("file").removeprefix(":").strip() or "0"
    if wanted.isascii() and wanted.isdecimal() and len(wanted) < 6 and int(wanted) < len(views):
        return views[int(wanted)][1]
    named = [view for told, view in views if told.strip().lower() == wanted]
    if named:
        return named[0]
    expected = f"expected file:0..{len(views) - 1} or a name that it gives" if views else "but it brings no window"
    raise InputError(f"{name}: got window={(window or '')[:40]!r}, {expected}; change it")


def _by_table(values: NDArray[Any], table: Table) -> NDArray[np.uint8]:
    """Apply a VOI LUT; its outputs span the bits that its descriptor names (PS3.3 C.11.2.1.1)."""
    shown = table.applied(values)
    highest = max(2**table.bits - 1, int(shown.max()))
    return np.asarray(np.floor(shown / highest * 255 + 0.5), dtype=np.uint8)
