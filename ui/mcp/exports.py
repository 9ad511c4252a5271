"""The files of a session, rendered on request."""

import io
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

from ibisagent.agent.integrations.error_messages import redact_error
from ibisagent.agent.overlay import overlay
from ibisagent.agent.state import State, current_mask
from ibisagent.agent.trajectory import build_trajectory
from ibisagent.tools.allowed_paths import find_root
from ibisagent.tools.errors import InputError
from ibisagent.tools.export import EXTENSIONS, require_savable, save_mask
from ibisagent.tools.files import atomic_write
from ibisagent.tools.masks.rle import decode
from ibisagent.ui.mcp.sessions import Session
from ibisagent.ui.run_folder import make_folder, mask_provenance

__all__ = ["FORMATS", "MEDIA_TYPES", "render_file", "require_format", "write_file"]

FORMATS = {
    "png": "mask.png",
    "overlay": "overlay.png",
    "trajectory": "trajectory.json",
    "json": "mask.json",
    "nifti": "mask.nii.gz",
    "nrrd": "mask.nrrd",
    "dicom-seg": "mask.dcm",
    **{ending: f"mask{ending}" for ending in EXTENSIONS},
}
"""File names by export format: a format's name or a file ending."""

MEDIA_TYPES = {
    "mask.png": "image/png",
    "overlay.png": "image/png",
    "trajectory.json": "application/json",
    "mask.json": "application/json",
    "mask.nii": "application/octet-stream",
    "mask.nii.gz": "application/gzip",
    "mask.nrrd": "application/octet-stream",
    "mask.dcm": "application/dicom",
}


def require_format(session: Session, name: str) -> None:
    """Raise `InputError` for a format in which the session's mask cannot be written."""
    if name not in ("overlay.png", "trajectory.json"):
        with TemporaryDirectory() as folder, _rename_errors(name):
            require_savable(Path(folder) / name, session.image)


def render_file(session: Session, state: State, name: str, roots: Sequence[Path]) -> bytes:
    """Render one of the files; the image's path in a trajectory is relative to its root."""
    mask = decode(current_mask(state))
    if name == "overlay.png":
        buffer = io.BytesIO()
        Image.fromarray(overlay(session.image.pixels, mask)).save(buffer, format="PNG")
        return buffer.getvalue()
    uri = session.image.uri
    record = build_trajectory(session.graph, state, folder=find_root(Path(uri), roots) if uri else None)
    if name == "trajectory.json":
        return json.dumps(record.to_json(), indent=1).encode()
    with TemporaryDirectory() as folder:
        with _rename_errors(name):
            save_mask(Path(folder) / name, mask, session.image, mask_provenance(record))
        return (Path(folder) / name).read_bytes()


@contextmanager
def _rename_errors(name: str) -> Iterator[None]:
    """Replace the temporary path in an `InputError` by the file's name."""
    try:
        yield
    except InputError as error:
        raise redact_error(error, name) from None


def write_file(out: Path, session: Session, name: str, made: bytes) -> str:
    """Write a file into the session's folder under ``out``, whole or not at all; return its relative path."""
    make_folder(out / session.folder)
    with atomic_write(out / session.folder / name) as temporary:
        temporary.write_bytes(made)
    return f"{session.folder}/{name}"
