"""A recorded run, opened for reading: no model is needed, and its picture comes from allowed folders alone."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from ibisagent.agent.record_images import open_recorded_image
from ibisagent.agent.trajectory_files import read_trajectories
from ibisagent.tools.errors import InputError
from ibisagent.tools.imaging.medical_image import MedicalImage
from ibisagent.tools.masks.rle import decode
from ibisagent.ui.sessions.session_view import SessionView, view_of_record

__all__ = ["open_record"]

_REMEDY = "put it beside the record, named SHA.png by its hash, or name its folder by --root at the server's start"


def open_record(
    file: Path, folder: Path, roots: Sequence[Path], known: MedicalImage | None = None
) -> tuple[SessionView, MedicalImage]:
    """Open the first record of a file, and its picture from ``folder`` or a root; `InputError` for anything else.

    ``known``: a picture that is open already; if it is the record's, it is stored in ``folder`` for the next time.
    """
    record = next(iter(read_trajectories(file)), None)
    if record is None:
        raise InputError("the file: got no record, expected a trajectory; choose another")
    if known is not None and known.sha == record.image.get("sha"):
        Image.fromarray(known.pixels).save(folder / f"{known.sha}.png")
    image = open_recorded_image(record.image, folder, roots, _REMEDY)
    masks = [record.start, record.mask, *(step.mask for step in record.steps)]
    try:
        sizes = {decode(mask).shape for mask in masks}
        view = view_of_record(record)
    except (AttributeError, KeyError, TypeError, ValueError) as error:  # a record can come from anywhere
        raise InputError("the file: got a record whose steps do not fit together; record it anew") from error
    if sizes != {image.shape}:
        raise InputError("the file: got a record with masks of another size than its picture; record it anew")
    return view, image
