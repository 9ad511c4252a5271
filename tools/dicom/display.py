"""A frame's values and its picture, as its own display rules say (PS3.3 C.7.6.3, C.11.1, C.11.2).

Order: modality LUT or rescale, VOI LUT or window, and MONOCHROME1 inverted last. Without a window in the file a CT gets
the abdominal one, an 8-bit picture is shown as stored, anything else its 0.5 to 99.5 percentiles.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_voi

from ibisagent.tools.dicom.elements import modality, numbers, texts
from ibisagent.tools.errors import InputError
from ibisagent.tools.window import DEFAULT_CT, DEFAULT_OTHER, Window, compact, parse_window, render

__all__ = ["colour", "grey", "is_colour", "rescaled"]

_COLOURS = {"RGB", "YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_422", "YBR_ICT", "YBR_RCT"}
_FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")


def is_colour(stored: NDArray[Any], head: Dataset) -> bool:
    """Tell a colour picture, also one that a palette makes, from a grey one."""
    return stored.ndim == 3 or _photometric(head) == "PALETTE COLOR"


def _photometric(head: Dataset) -> str:
    return str(head.get("PhotometricInterpretation", "")).strip().upper()


def colour(stored: NDArray[Any], head: Dataset, name: str, window: str | None) -> NDArray[np.uint8]:
    """Give (rows, columns, 3) of a colour frame."""
    if window is not None:
        raise InputError(f"{name}: got window={window[:40]!r} for a colour picture, expected none; leave it out")
    photometric = _photometric(head)
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


def rescaled(stored: NDArray[Any], head: Dataset) -> NDArray[Any]:
    """Apply the modality LUT or the rescale slope and intercept, in the type that pydicom gives."""
    values: NDArray[Any] = apply_modality_lut(stored, head)
    # Many writers add slope 1 and intercept 0, which says nothing and costs the type.
    return stored if stored.dtype == np.uint8 and np.array_equal(values, stored) else values


def grey(values: NDArray[Any], head: Dataset, name: str, window: str | None) -> NDArray[np.uint8]:
    """Show rescaled (rows, columns) values."""
    pixels = _windowed(values, head, name, window)
    return 255 - pixels if _photometric(head) == "MONOCHROME1" else pixels


def _windowed(values: NDArray[Any], head: Dataset, name: str, window: str | None) -> NDArray[np.uint8]:
    ct = modality(head) == "CT"
    if window is not None and not window.strip().lower().startswith("file"):
        return render(compact(values), parse_window(window, name, hounsfield=ct))
    views = _views(head)
    if window is not None or views:
        view = _chosen(window, views, name)
        return _by_table(values, head, view) if isinstance(view, int) else render(compact(values), view)
    if values.dtype == np.uint8 and head.get("BitsStored") == 8:
        return values
    return render(compact(values), parse_window(DEFAULT_CT if ct else DEFAULT_OTHER, name, hounsfield=ct))


def _views(head: Dataset) -> list[tuple[str, int | Window]]:
    """List the file's own ways to be shown, each with its name: VOI LUTs by index, then windows that make sense."""
    tables: list[tuple[str, int | Window]] = [
        (str(item.get("LUTExplanation", "")), index)
        for index, item in enumerate(head.get("VOILUTSequence") or ())
        if "LUTDescriptor" in item and "LUTData" in item
    ]
    function = str(head.get("VOILUTFunction") or "LINEAR").strip().upper()
    function = function if function in _FUNCTIONS else "LINEAR"
    pairs = zip(numbers(head, "WindowCenter"), numbers(head, "WindowWidth"), strict=False)
    names = texts(head, "WindowCenterWidthExplanation")
    least = 1.0 if function == "LINEAR" else np.nextafter(0, 1)
    windows: list[tuple[str, int | Window]] = [
        (names[index] if index < len(names) else "", Window(centre, width, function))
        for index, (centre, width) in enumerate(pairs)
        if width >= least
    ]
    return tables + windows


def _chosen(window: str | None, views: list[tuple[str, int | Window]], name: str) -> int | Window:
    """Choose ``file``, the first, ``file:1`` by index or ``file:NAME`` by the name that the file gives a window."""
    wanted = (window or "file:0").strip().lower().removeprefix("file").removeprefix(":").strip() or "0"
    if wanted.isascii() and wanted.isdecimal() and len(wanted) < 6 and int(wanted) < len(views):
        return views[int(wanted)][1]
    named = [view for told, view in views if told.strip().lower() == wanted]
    if named:
        return named[0]
    expected = f"expected file:0..{len(views) - 1} or a name that it gives" if views else "but it brings no window"
    raise InputError(f"{name}: got window={(window or '')[:40]!r}, {expected}; change it")


def _by_table(values: NDArray[Any], head: Dataset, index: int) -> NDArray[np.uint8]:
    """Apply a VOI LUT; its outputs span the bits that its descriptor names (PS3.3 C.11.2.1.1)."""
    entries, first, bits = (int(number) for number in head.VOILUTSequence[index].LUTDescriptor)
    # Clipped to the table, which it does by itself, so that no difference overflows pydicom's 16 bits.
    whole = np.clip(np.rint(values), first, first + (entries or 2**16) - 1).astype(np.int64)
    shown = apply_voi(whole, head, index)
    highest = max(2**bits - 1, int(shown.max()))
    return np.asarray(np.floor(shown / highest * 255 + 0.5), dtype=np.uint8)
