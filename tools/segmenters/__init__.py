"""Promptable segmenters by name: embedded ones without weights, and one memo layer over any of them."""

from collections.abc import Callable

from ibisagent.tools.errors import InputError
from ibisagent.tools.segmenters.base import Mask, Pixels, Prediction, Query, Segmenter, one_by_one

__all__ = ["Mask", "Pixels", "Prediction", "Query", "Segmenter", "get_segmenter", "one_by_one", "segmenter_names"]


def _geocut() -> Segmenter:
    from ibisagent.tools.segmenters.geocut import GeocutSegmenter

    return GeocutSegmenter()


def _geodesic() -> Segmenter:
    from ibisagent.tools.segmenters.geodesic import GeodesicSegmenter

    return GeodesicSegmenter()


def _disk() -> Segmenter:
    from ibisagent.tools.segmenters.disk import DiskSegmenter

    return DiskSegmenter()


_BY_NAME: dict[str, Callable[[], Segmenter]] = {"disk": _disk, "geocut": _geocut, "geodesic": _geodesic}


def segmenter_names() -> tuple[str, ...]:
    """List the names that `get_segmenter` takes."""
    return tuple(sorted(_BY_NAME))


def get_segmenter(segmenter: Segmenter | str) -> Segmenter:
    """Give the segmenter that a string names; a segmenter itself passes through.

    >>> get_segmenter("disk").calibrated
    False
    """
    if not isinstance(segmenter, str):
        return segmenter
    if segmenter not in _BY_NAME:
        raise InputError(f"segmenter {segmenter!r}: expected one of {', '.join(segmenter_names())}")
    return _BY_NAME[segmenter]()
