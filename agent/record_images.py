"""The picture of a recorded run, from a folder that the caller names: a record by itself opens nothing else.

A record says where its picture lies, relative to its own folder, and what its pixels hash to. A record can come from
anywhere, so what it says is no permission: a path counts where it leads, every link followed, into the record's own
folder or into a root, a folder that the caller names. Else the picture may lie in one of these folders under its
content hash, ``SHA.png``, as `ibisagent.agent.stores.ImageStore` keeps pictures without a file.
"""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ibisagent.agent.stores import restore_reference
from ibisagent.tools.allowed_paths import resolve
from ibisagent.tools.errors import InputError
from ibisagent.tools.files import local_path, printable_text
from ibisagent.tools.imaging.medical_image import MedicalImage
from ibisagent.tools.imaging.open_image import open_image

__all__ = ["find_recorded_image", "open_recorded_image"]

_REMEDY = "bring it back, or name its folder as a root"
_SHA = re.compile(r"[0-9a-f]{32}")


def find_recorded_image(
    reference: Mapping[str, Any],
    folder: Path,
    roots: Sequence[Path] = (),
    remedy: str = _REMEDY,
) -> dict[str, Any]:
    """Return a record's image reference with the path at which its picture lies; the picture itself is not opened.

    ``folder``: that of the record; ``roots``: further folders that may be read. `InputError`, in the same words for a
    picture outside of them and for one that is missing; ``remedy`` ends its text.
    """
    allowed = [Path(os.path.realpath(root)) for root in (folder, *roots)]
    uri, sha = reference.get("uri"), reference.get("sha")
    named = _resolve_existing(uri, folder, allowed) if isinstance(uri, str) and uri else None
    if named is not None:
        return {**reference, "uri": str(named)}
    if isinstance(sha, str) and _SHA.fullmatch(sha):
        found = [_resolve_existing(f"{sha}.png", root, allowed) for root in allowed]
        for kept in filter(None, found):
            return {**reference, "uri": str(kept), "slice": None, "window": None}
    got = f"{_name(uri)}: got no such image" if isinstance(uri, str) else "got a run on an image without a file"
    raise InputError(f"{got} in a folder that may be read, expected it in the record's own or a named one; {remedy}")


def open_recorded_image(
    reference: Mapping[str, Any],
    folder: Path,
    roots: Sequence[Path] = (),
    remedy: str = _REMEDY,
    *,
    image: Path | None = None,
) -> MedicalImage:
    """Open a record's picture, or the file ``image`` in its place, as it was recorded.

    `InputError` as in `find_recorded_image`, and for other pixels than the recorded ones.
    """
    given = {**reference, "uri": str(image)}
    found = find_recorded_image(reference, folder, roots, remedy) if image is None else given
    opened = open_image(found["uri"], slice=found.get("slice"), window=found.get("window"))
    if opened.sha != reference.get("sha"):
        raise InputError(f"{_name(found['uri'])}: its pixels differ from those recorded; {remedy}")
    return restore_reference(opened, reference) if Path(found["uri"]).name == f"{opened.sha}.png" else opened


def _resolve_existing(uri: str, folder: Path, allowed: Sequence[Path]) -> Path | None:
    """Return where a path leads from a folder; None outside the allowed folders, and where nothing is."""
    try:
        found = resolve(str(folder.absolute() / local_path(uri)), allowed)
    except InputError:
        return None
    return found if os.path.exists(found) else None


def _name(uri: str) -> str:
    """Return the last part of a path: what leads there can hold a patient's name."""
    return printable_text(uri.replace("\\", "/").rstrip("/").rpartition("/")[2] or "image")
