"""Types of the tools' arguments, and what they mean; each description is also the expected value in error messages."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from ibisagent.agent import Action, Backtrack, Box, Click, Similar
from ibisagent.agent.integrations.tool import read_examples
from ibisagent.tools.clicks import Prompt
from ibisagent.tools.errors import InputError
from ibisagent.ui.sessions.export import FORMATS

__all__ = [
    "Clicks",
    "Examples",
    "Format",
    "Formats",
    "Handle",
    "ImageSource",
    "Mask",
    "Point",
    "Region",
    "Request",
    "Slice",
    "Window",
    "read_action",
    "read_prompts",
]

ImageSource = Annotated[str, Field(description="A file under the server's roots, or a base64 data: URL.")]
Request = Annotated[
    str,
    Field(
        max_length=2000,
        description="At most 2000 characters that name what to segment, or none with clicks or a region.",
    ),
]
Mask = Annotated[
    str | dict[str, Any],
    Field(description="A mask to refine: an earlier session's handle, a file, or COCO run lengths."),
]
Slice = Annotated[str, Field(max_length=100, description="A slice, such as 12, axial:12 or coronal:middle.")]
Window = Annotated[str, Field(max_length=100, description="A CT window: liver, or 40,400.")]
Unit = Annotated[float, Field(ge=0, le=1)]
Point = Annotated[
    list[Unit], Field(min_length=2, max_length=2, description="[x, y] in [0, 1] of the displayed picture.")
]
Region = Annotated[
    list[Unit], Field(min_length=4, max_length=4, description="[x0, y0, x1, y1] in [0, 1] of the displayed picture.")
]
Clicks = Annotated[
    list[Annotated[list[Unit], Field(min_length=2, max_length=3)]],
    Field(
        max_length=64,
        description="A list of [x, y] in [0, 1] of the displayed picture; [x, y, 0] for a click off the target.",
    ),
]
Examples = Annotated[
    list[Annotated[list[Unit], Field(min_length=2, max_length=3)]],
    Field(
        max_length=64,
        description="A list of examples [x, y] in [0, 1], to mark everything that looks like them; [x, y, 0] for what "
        "is not meant.",
    ),
]
Handle = Annotated[str, Field(max_length=100, description="The session's handle, as returned by segment.")]
Format = Literal[
    "png",
    "overlay",
    "trajectory",
    "json",
    "nifti",
    "nrrd",
    "dicom-seg",
    "labels",
    "instances",
    "instances-coco",
    ".png",
    ".json",
    ".nii",
    ".nii.gz",
    ".nrrd",
    ".dcm",
]


def _normalize_format(value: Any) -> Any:
    """Normalize a format: in any case, an extension with or without its dot, and the other names of a format."""
    if not isinstance(value, str):
        return value
    word = value.strip().lower().replace("_", "-").replace(" ", "-")
    return next((each for each in (word, f".{word}", _FORMAT_ALIASES.get(word.lstrip("."))) if each in FORMATS), value)


_FORMAT_ALIASES = {
    "dicom": "dicom-seg",
    "seg": "dicom-seg",
    "dicomseg": "dicom-seg",
    "nii-gz": ".nii.gz",
    "coco": "json",
    "csv": "instances",
}
Formats = Annotated[
    list[Annotated[Format, BeforeValidator(_normalize_format)]],
    Field(min_length=1, max_length=len(FORMATS), description=f"A list of one or more of {', '.join(FORMATS)}."),
]


def read_prompts(
    region: Sequence[float] | None, similar: Sequence[Sequence[float]], clicks: Sequence[Sequence[float]]
) -> list[Prompt]:
    """Return the box, the examples and the clicks with which a run begins."""
    boxes = [Box(x0, y0, x1, y1) for x0, y0, x1, y1 in ([region] if region is not None else [])]
    return [*boxes, *read_examples(similar), *(_click(number, *given) for number, given in enumerate(clicks))]


def _click(number: int, x: float, y: float, on: float = 1) -> Click:
    if on not in (0, 1):
        raise InputError(f"clicks[{number}]: got {on:g} after x and y, expected 1 on the target or 0 beside it; choose")
    return Click(x, y, on == 1)


def read_action(
    click: Sequence[float] | None,
    similar: Sequence[float] | None,
    positive: bool,
    box: Sequence[float] | None,
    undo: bool,
) -> Action:
    """Return the one action that a correction names."""
    given: list[Action] = []
    if click is not None:
        x, y = click
        given.append(Click(x, y, positive))
    if similar is not None:
        x, y = similar
        given.append(Similar(x, y, positive))
    if box is not None:
        x0, y0, x1, y1 = box
        given.append(Box(x0, y0, x1, y1))
    if undo:
        given.append(Backtrack())
    if len(given) != 1:
        raise InputError(f"refine: got {len(given)} of click, similar, box and undo, expected one; call once for each")
    return given[0]
