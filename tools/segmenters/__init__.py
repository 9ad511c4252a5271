"""Promptable segmenters by name: embedded ones without weights, the SAM family, and one memo layer over any of them."""

from collections.abc import Callable

from ibisagent.tools.errors import InputError, MissingExtra
from ibisagent.tools.segmenters.base import Mask, Pixels, Prediction, Query, Segmenter, predict_one_by_one
from ibisagent.tools.segmenters.sam.sam_spec import FORMS, parse_spec

__all__ = [
    "Mask",
    "Pixels",
    "Prediction",
    "Query",
    "Segmenter",
    "get_segmenter",
    "predict_one_by_one",
    "segmenter_forms",
    "segmenter_names",
]


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
    """List the segmenters that need no weights; each name is one that `get_segmenter` takes as it stands."""
    return tuple(sorted(_BY_NAME))


def segmenter_forms() -> tuple[str, ...]:
    """List every form of a name that `get_segmenter` takes, for help texts: FILE and ID are the user's weights."""
    return (*segmenter_names(), *sorted(FORMS.values()))


def get_segmenter(segmenter: Segmenter | str) -> Segmenter:
    """Return the segmenter that a string names, its weights loaded; a segmenter itself passes through.

    Of the SAM family: ``medsam2:FILE?device=cuda&dtype=bfloat16``; `SamSpec` has the options.

    >>> get_segmenter("disk").calibrated
    False
    """
    if not isinstance(segmenter, str):
        return segmenter
    if segmenter in _BY_NAME:
        return _BY_NAME[segmenter]()
    if segmenter.partition(":")[0] in FORMS and ":" in segmenter:
        return _sam(segmenter)
    raise InputError(f"segmenter {segmenter!r}: expected one of {', '.join(segmenter_forms())}")


def _sam(name: str) -> Segmenter:
    spec = parse_spec(name)
    try:
        from ibisagent.tools.segmenters.sam.open_sam import open_sam
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise MissingExtra.of("torch", "models") from error
    return open_sam(spec)
