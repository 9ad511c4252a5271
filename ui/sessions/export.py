"""The files of a session, rendered on request."""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from PIL import Image

from ibisagent.agent import SegmentationGraph
from ibisagent.agent.integrations.error_messages import redact_error
from ibisagent.agent.overlay import overlay
from ibisagent.agent.state import State
from ibisagent.agent.trajectory import Trajectory, build_trajectory
from ibisagent.evals.contact_sheets import contact_sheet_of
from ibisagent.tools.allowed_paths import find_root
from ibisagent.tools.errors import IbisError, InputError
from ibisagent.tools.export import EXTENSIONS, require_instances_savable, require_savable, save_instances, save_mask
from ibisagent.tools.files import atomic_write
from ibisagent.tools.imaging.medical_image import MedicalImage
from ibisagent.tools.masks.instances import instances
from ibisagent.tools.masks.measure import measure_on_image
from ibisagent.tools.masks.rle import Rle, decode
from ibisagent.ui.run_folder import INSTANCE_FILES, make_folder, mask_provenance
from ibisagent.ui.sessions.session_store import Session

__all__ = [
    "FORMATS",
    "MEDIA_TYPES",
    "PAGE_FILES",
    "export_files",
    "list_files",
    "render_file",
    "render_record",
    "require_format",
    "write_file",
]

FORMATS = {
    "png": "mask.png",
    "overlay": "overlay.png",
    "trajectory": "trajectory.json",
    "json": "mask.json",
    "nifti": "mask.nii.gz",
    "nrrd": "mask.nrrd",
    "dicom-seg": "mask.dcm",
    **dict(zip(("labels", "instances", "instances-coco"), INSTANCE_FILES, strict=True)),
    **{ending: f"mask{ending}" for ending in EXTENSIONS},
}
"""File names by export format: a format's name or a file ending."""

PAGE_FILES = {"steps.png": "image/png", "measurements.csv": "text/csv"}
"""What a page offers besides, with its media types: the contact sheet of all steps, and the measurements."""

MEDIA_TYPES = {
    "mask.png": "image/png",
    "overlay.png": "image/png",
    "trajectory.json": "application/json",
    "mask.json": "application/json",
    "mask.nii": "application/octet-stream",
    "mask.nii.gz": "application/gzip",
    "mask.nrrd": "application/octet-stream",
    "mask.dcm": "application/dicom",
    **dict(zip(INSTANCE_FILES, ("image/png", "text/csv", "application/json"), strict=True)),
}
"""Media types by file name."""


def require_format(image: MedicalImage, name: str) -> None:
    """Raise `InputError` for a format in which a mask of the image cannot be written."""
    if name not in ("overlay.png", "trajectory.json"):
        with TemporaryDirectory() as folder, _rename_errors(name):
            require = require_instances_savable if name in INSTANCE_FILES else require_savable
            require(Path(folder) / name, image)


def render_file(
    graph: SegmentationGraph, state: State, name: str, roots: Sequence[Path], truth: Rle | None = None
) -> bytes:
    """Render one of the files; the image's path in a trajectory is relative to its root.

    ``truth``: the true mask, which goes into the trajectory where it is of the picture's size.
    """
    image = graph.components.images.open(state["image"])
    known = decode(truth) if truth is not None and list(truth["size"]) == list(image.shape) else None
    folder = find_root(Path(image.uri), roots) if image.uri else None
    return render_record(build_trajectory(graph, state, truth=known, folder=folder), image, name)


def render_record(record: Trajectory, image: MedicalImage, name: str) -> bytes:
    """Render one of the files of a recorded run on its picture."""
    mask = decode(record.mask)
    if name in ("overlay.png", "steps.png"):
        buffer = io.BytesIO()
        made = contact_sheet_of(record, image) if name == "steps.png" else Image.fromarray(overlay(image.pixels, mask))
        made.save(buffer, format="PNG")
        return buffer.getvalue()
    if name == "measurements.csv":
        return _measurements_csv(measure_on_image(mask, image))
    if name == "trajectory.json":
        return json.dumps(record.to_json(), indent=1).encode()
    with TemporaryDirectory() as folder:
        with _rename_errors(name):
            if name in INSTANCE_FILES:
                save_instances(Path(folder) / name, instances(mask), image, mask_provenance(record))
            else:
                save_mask(Path(folder) / name, mask, image, mask_provenance(record))
        return (Path(folder) / name).read_bytes()


def _measurements_csv(measurements: dict[str, Any]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(measurements)
    writer.writerow("" if value is None else value for value in measurements.values())
    return text.getvalue().encode()


def list_files(image: MedicalImage) -> list[str]:
    """List the files that can be rendered of a run on an image, those of a page included."""
    names = list(dict.fromkeys(FORMATS.values()))
    for name in list(names):
        try:
            require_format(image, name)
        except IbisError:  # another format, or an extra that is missing
            names.remove(name)
    return [*names, *PAGE_FILES]


@contextmanager
def _rename_errors(name: str) -> Iterator[None]:
    """Replace the temporary path in an `InputError` by the file's name."""
    try:
        yield
    except InputError as error:
        raise redact_error(error, name) from None


def export_files(
    session: Session, state: State, names: Sequence[str], folder: Path | None, roots: Sequence[Path]
) -> dict[str, str | None]:
    """Write a session's files under ``folder``, all or none; return each one's path relative to it, None without it."""
    image = session.graph.components.images.open(state["image"])
    for name in names:
        require_format(image, name)
    if folder is None:
        return dict.fromkeys(names)
    made = {name: render_file(session.graph, state, name, roots) for name in names}
    for name, content in made.items():
        write_file(folder / session.folder, name, content)
    return {name: f"{session.folder}/{name}" for name in made}


def write_file(folder: Path, name: str, content: bytes) -> None:
    """Write a file into a folder, which is created if missing, whole or not at all."""
    make_folder(folder)
    with atomic_write(folder / name) as temporary:
        temporary.write_bytes(content)
