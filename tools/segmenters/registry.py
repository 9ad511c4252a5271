"""The table of segmenters, and the one way from a name to a segmenter.

``package.module:Class`` names a third party's `Segmenter` class; it opens where the operator gives the name
(`get_segmenter`), and never out of a record (`recorded_segmenter_name`). Its attribute ``is_local = True`` tells that
no picture leaves this machine through it; without that it is refused under ``--local-only``. Its attribute
``prompts`` names the kinds of prompt that it takes (`ibisagent.tools.segmenters.prompt_kinds`).
"""

import inspect
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from ibisagent.tools.errors import InputError
from ibisagent.tools.registry import Entry, Table, instantiate, split_options
from ibisagent.tools.segmenters.base import Segmenter
from ibisagent.tools.segmenters.prompt_kinds import DEFAULT_PROMPTS, PROMPT_KINDS, taken_by

__all__ = [
    "SEGMENTERS",
    "SegmenterEntry",
    "default_segmenter",
    "find_segmenter",
    "get_segmenter",
    "recorded_segmenter_name",
    "require_local_segmenter",
]

_HERE = "ibisagent.tools.segmenters"
_SAM = f"{_HERE}.sam.open_sam:open_sam"


@dataclass(frozen=True, slots=True)
class SegmenterEntry(Entry):
    """What a segmenter's name opens; ``prompts``: the kinds of prompt that it takes."""

    prompts: tuple[str, ...] = DEFAULT_PROMPTS


SEGMENTERS = Table(
    "segmenter",
    (
        SegmenterEntry(
            "geocut",
            f"{_HERE}.geocut:GeocutSegmenter",
            "geodesic distances with an exact minimum cut",
            prompts=PROMPT_KINDS,
        ),
        SegmenterEntry(
            "geonet",
            f"{_HERE}.geonet.segmenter:GeonetSegmenter",
            "geocut with a small network's opinion in the cut",
            "models",
            ("torch", "safetensors"),
            prompts=PROMPT_KINDS,
        ),
        SegmenterEntry("geodesic", f"{_HERE}.geodesic:GeodesicSegmenter", "geodesic distances from the clicks"),
        SegmenterEntry("disk", f"{_HERE}.disk:DiskSegmenter", "a disc per click, for tests"),
        SegmenterEntry(
            "geonet:FILE",
            f"{_HERE}.geonet.segmenter:open_geonet",
            "the same with weights of your own (ibisagent train segmenter)",
            "models",
            ("torch", "safetensors"),
            prompts=PROMPT_KINDS,
        ),
        SegmenterEntry("medsam2:FILE", _SAM, "a MedSAM2 checkpoint; needs the package sam2 too", "models", ("torch",)),
        SegmenterEntry("sam2:FILE_OR_ID", _SAM, "a SAM 2 checkpoint; needs the package sam2 too", "models", ("torch",)),
        SegmenterEntry("sam:ID", _SAM, "SAM, a transformers folder or hub id", "models", ("torch",)),
        SegmenterEntry("medsam:ID", _SAM, "MedSAM, a transformers folder or hub id", "models", ("torch",)),
        SegmenterEntry("sam2hf:ID", _SAM, "SAM 2, a transformers folder or hub id", "models", ("torch",)),
    ),
    methods=("embed", "predict", "predict_many", "prior_from_mask"),
    remedy="see ibisagent.tools.segmenters.Segmenter",
)


def default_segmenter() -> str:
    """Return the segmenter for people who name none: geonet where its extra is installed, geocut elsewhere."""
    found = all(find_spec(module) for module in SEGMENTERS.find("geonet").modules)
    return "geonet" if found else "geocut"


def find_segmenter(segmenter: str) -> SegmenterEntry:
    """Return the entry of a name that the operator gave; a dotted name's class is imported for it."""
    if not SEGMENTERS.is_third_party(segmenter):
        return SEGMENTERS.find(segmenter)
    found = SEGMENTERS.import_class(segmenter)
    dotted = split_options(segmenter)[0]
    is_local = bool(getattr(found, "is_local", False))
    return SegmenterEntry(dotted, dotted, inspect.getdoc(found) or "", is_local=is_local, prompts=taken_by(found))


def get_segmenter(segmenter: Segmenter | str) -> Segmenter:
    """Return the segmenter that the operator named, its weights loaded; a segmenter itself passes through.

    Of the SAM family: ``medsam2:FILE?device=cuda&dtype=bfloat16``; `ibisagent.tools.segmenters.sam.sam_spec.SamSpec`
    has the options. A third party's class: ``package.module:Class``, see `ibisagent.tools.registry`.

    >>> get_segmenter("disk").calibrated
    False
    """
    if not isinstance(segmenter, str):
        return segmenter
    factory = find_segmenter(segmenter).load_factory()
    if not isinstance(factory, type):
        opened: Segmenter = factory(segmenter)
        return opened
    return _checked(segmenter, instantiate("segmenter", segmenter, factory, {}))


def require_local_segmenter(segmenter: str) -> None:
    """Raise `InputError` for a third party's segmenter that does not say that no picture leaves this machine."""
    if not find_segmenter(segmenter).is_local:
        got = "got a class that does not say is_local = True, which --local-only needs"
        raise InputError(f"segmenter {segmenter!r}: {got}; add that to it, or leave out --local-only")


def recorded_segmenter_name(name: str) -> str:
    """Return ``name``, read from a record, if it may be opened: that of an entry without weights. Nothing is imported.

    `InputError` for a name with weights, which lie elsewhere here, for a dotted one, and for an unknown one.
    """
    for entry in SEGMENTERS.entries:
        if entry.needs_source and name.partition(":")[0] == entry.prefix and name not in SEGMENTERS.forms:
            raise InputError(f"recorded with {name[:80]!r}: name its weights, as in --segmenter {entry.form}")
    try:
        return SEGMENTERS.find(name).form
    except InputError as error:
        remedy = "" if SEGMENTERS.is_third_party(name) else "; name it with --segmenter"
        raise InputError(f"recorded with another segmenter: {error}{remedy}") from error


def _checked(name: str, made: Any) -> Segmenter:
    """Return a segmenter of a third party if it has what is not a method as well."""
    missing = [
        f"{key} ({kind.__name__})"
        for key, kind in (("fingerprint", str), ("calibrated", bool))
        if not isinstance(getattr(made, key, None), kind)
    ]
    if missing:
        raise InputError(f"segmenter {name!r}: got one without {', '.join(missing)}; {SEGMENTERS.remedy}")
    checked: Segmenter = made
    return checked
