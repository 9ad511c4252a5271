"""The arguments of the server's tools; each description also says what was expected where another value came."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from ibisagent.ui.mcp.exporting import FORMATS

__all__ = ["Clicks", "Format", "Formats", "Handle", "Mask", "Picture", "Region", "Request", "Slice", "Spot", "Window"]

Picture = Annotated[str, Field(description="A file under the server's roots, or a base64 data: URL.")]
Request = Annotated[
    str,
    Field(
        max_length=2000,
        description="At most 2000 characters that say what to segment, or none with clicks or a region.",
    ),
]
Mask = Annotated[
    str | dict[str, Any],
    Field(description="A mask to refine: an earlier session's handle, a file, or COCO run lengths."),
]
Slice = Annotated[str, Field(max_length=100, description="A slice, such as 12, axial:12 or coronal:middle.")]
Window = Annotated[str, Field(max_length=100, description="A CT window: liver, or 40,400.")]
Unit = Annotated[float, Field(ge=0, le=1)]
Spot = Annotated[
    list[Unit], Field(min_length=2, max_length=2, description="[x, y] in [0, 1] of the displayed picture.")
]
Region = Annotated[
    list[Unit], Field(min_length=4, max_length=4, description="[x0, y0, x1, y1] in [0, 1] of the displayed picture.")
]
Clicks = Annotated[
    list[Annotated[list[Unit], Field(min_length=2, max_length=3)]],
    Field(
        max_length=64,
        description="A list of [x, y] in [0, 1] of the displayed picture; [x, y, 0] for a click beside the target.",
    ),
]
Handle = Annotated[str, Field(max_length=100, description="The session's handle, as segment gave it.")]
Format = Literal[
    "png",
    "overlay",
    "trajectory",
    "json",
    "nifti",
    "nrrd",
    "dicom-seg",
    ".png",
    ".json",
    ".nii",
    ".nii.gz",
    ".nrrd",
    ".dcm",
]


def _format(value: Any) -> Any:
    """Read a format as people write it: in any case, an ending with or without its dot, and DICOM for its SEG."""
    if not isinstance(value, str):
        return value
    word = value.strip().lower().replace("_", "-").replace(" ", "-")
    return next((each for each in (word, f".{word}", _ALIASES.get(word.lstrip("."))) if each in FORMATS), value)


_ALIASES = {"dicom": "dicom-seg", "seg": "dicom-seg", "dicomseg": "dicom-seg", "nii-gz": ".nii.gz", "coco": "json"}
Formats = Annotated[
    list[Annotated[Format, BeforeValidator(_format)]],
    Field(min_length=1, max_length=len(FORMATS), description=f"A list of one or more of {', '.join(FORMATS)}."),
]
