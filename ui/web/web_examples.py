"""The examples of the page: phantoms and a real scan, among them the paper's three error stories."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ibisagent.tools.errors import InputError
from ibisagent.tools.imaging.png import encode_png
from ibisagent.tools.masks.rle import Rle, encode
from ibisagent.ui.example_folder import draw_unseen_phantom, load_scan_with_lesion
from ibisagent.ui.sessions.snapshots import ExampleView

_WRONG_CLICK = {"type": "point", "x": 0.5, "y": 0.65, "positive": True}
__all__ = ["EXAMPLES", "ExampleContent", "open_content", "view_examples"]


@dataclass(frozen=True, slots=True, eq=False)
class ExampleContent:
    """An example's file with its ending; the rest as in `ibisagent.ui.web.web_case.WebCase`."""

    file: bytes = field(repr=False)
    ending: str
    truth: Rle
    mask: Rle | None = None
    prompts: tuple[dict[str, Any], ...] = ()
    real: bool = False


def _spleen() -> ExampleContent:
    pixels, truth = draw_unseen_phantom("spleen")
    return ExampleContent(encode_png(pixels), ".png", encode(truth))


def _polyp() -> ExampleContent:
    pixels, truth = draw_unseen_phantom("polyp")
    return ExampleContent(encode_png(pixels), ".png", encode(truth))


def _wrong_mask() -> ExampleContent:
    pixels, truth = draw_unseen_phantom("corrected")
    return ExampleContent(encode_png(pixels), ".png", encode(truth), mask=encode(_mirror(truth)))


def _wrong_click() -> ExampleContent:
    pixels, truth = draw_unseen_phantom("corrected")
    return ExampleContent(encode_png(pixels), ".png", encode(truth), prompts=(_WRONG_CLICK,))


def _scan() -> ExampleContent:
    path, truth = load_scan_with_lesion()
    return ExampleContent(path.read_bytes(), ".dcm", encode(truth), real=True)


@dataclass(frozen=True, slots=True)
class _Example:
    title: str
    caption: str
    request: str
    make: Callable[[], ExampleContent]


EXAMPLES = {
    "spleen": _Example("Abdominal CT", "A synthetic CT with an exact true mask.", "Segment the spleen.", _spleen),
    "absent": _Example(
        "Nothing to find",
        "A synthetic endoscopy without a polyp: the right answer is that there is none.",
        "Segment the polyp.",
        _polyp,
    ),
    "wrong-mask": _Example(
        "A mask that does not fit",
        "It begins with a mask on the other side of the body.",
        "Segment the spleen.",
        _wrong_mask,
    ),
    "wrong-click": _Example(
        "A wrong click", "It begins with a click on something else.", "Segment the spleen.", _wrong_click
    ),
    "scan": _Example(
        "A real MR scan",
        "A liver lesion that a person circled, loosely. The small model never saw one of this kind.",
        "Segment the liver lesion.",
        _scan,
    ),
}


def view_examples() -> list[ExampleView]:
    """List the examples for a page."""
    return [
        ExampleView(name=name, title=each.title, caption=each.caption, request=each.request)
        for name, each in EXAMPLES.items()
    ]


@cache
def open_content(name: str) -> ExampleContent:
    """Return the content of an example; `InputError` for another name."""
    if name not in EXAMPLES:
        raise InputError(f"session: got the example {name[:40]!r}, expected one of {', '.join(EXAMPLES)}; choose one")
    return EXAMPLES[name].make()


def _mirror(truth: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return np.ascontiguousarray(truth[:, ::-1])
