"""Images by the names that a parent agent knows; the path behind a name never reaches a state or a message."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from ibisagent.agent.integrations.error_messages import redact_error
from ibisagent.agent.stores import ImageStore
from ibisagent.tools.allowed_paths import resolve
from ibisagent.tools.errors import InputError
from ibisagent.tools.imaging.grids import Mask
from ibisagent.tools.imaging.medical_image import MedicalImage
from ibisagent.tools.imaging.open_image import open_image

__all__ = ["ImageCatalog", "ServerImageCatalog", "client_reference"]


class ImageCatalog(ImageStore):
    """Images by name: paths below a root folder, or the keys of a mapping.

    A reference holds the name only, as do checkpoints, interrupts and events; so the root may move.
    """

    def __init__(
        self, root: str | os.PathLike[str] | Mapping[str, Any], folder: str | os.PathLike[str] | None = None
    ) -> None:
        """Take the root; a mapping's values are what `ibisagent.tools.imaging.open_image.open_image` takes.

        ``folder``: where images without a name are kept, for runs that outlive their process.
        """
        super().__init__(folder)
        self._root = root if isinstance(root, Mapping) else Path(root).resolve()

    def to_reference(self, source: Any) -> dict[str, Any]:
        """Refer to a name as it is; anything but text and a reference is kept by its content."""
        if isinstance(source, str | os.PathLike):
            return {"uri": os.fspath(source), "slice": None, "window": None}
        return super().to_reference(source)

    def source(self, name: str) -> Any:
        """Return the source of a name; `InputError` if it is unknown, or lies outside the root once resolved."""
        if not isinstance(self._root, Mapping):
            return resolve(name, [self._root])
        if name not in self._root:
            known = ", ".join(sorted(self._root)[:20])
            raise InputError(f"image: got {name[:80]!r}, expected one of {known}; choose one of them")
        return self._root[name]

    def read_mask(self, source: Any, image: MedicalImage) -> Mask:
        """Read an initial mask of ``image``, (H, W) bool; text and paths are names, as an image's are."""
        if not isinstance(source, str | os.PathLike):
            return super().read_mask(source, image)
        with _errors_by_name(os.fspath(source)):
            return super().read_mask(self.source(os.fspath(source)), image)

    def _reopen(self, reference: dict[str, Any]) -> MedicalImage:
        name, sha = reference.get("uri"), reference.get("sha")
        if name is None:
            return super()._reopen(reference)
        with _errors_by_name(name):
            opened = open_image(self.source(name), slice=reference.get("slice"), window=reference.get("window"))
        if sha is not None and opened.sha != sha:
            raise InputError("image: its pixels have changed since the run began; start a new run")
        image = replace(opened, uri=name)
        self._cache(image)
        return image


@contextmanager
def _errors_by_name(name: str) -> Iterator[None]:
    """Name the file by the caller's name in an `InputError` that the body raises."""
    try:
        yield
    except InputError as error:
        raise redact_error(error, name) from None


class ServerImageCatalog(ImageCatalog):
    """Images that clients send to a server: data URLs, and names below the root, if it has one."""

    def __init__(self, root: str | None) -> None:
        """Take the root, None or "" for no files at all."""
        super().__init__(root or {})
        self._has_root = bool(root)

    def to_reference(self, source: Any) -> dict[str, Any]:
        """Refer to a name as it is, and to a data URL's picture by its content."""
        asked = source if isinstance(source, dict) else {"uri": source}
        return super().to_reference(_open_data_url(asked) or source)

    def source(self, name: str) -> Any:
        """Return the source of a name below the root."""
        if not self._has_root:
            got = "got a file's name, but no files are read here"
            raise InputError(f"image: {got}, expected a data URL; send one, or set IBISAGENT_ROOT")
        return super().source(name)


def client_reference(images: ImageStore, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Refer to what a client of a server asked for: a data URL, or a name of a catalog; other stores open any file.

    ``asked``: {"uri", "slice", "window"}, as in a reference.
    """
    picture = _open_data_url(asked)
    if picture is not None:
        return images.to_reference(picture)
    if not isinstance(images, ImageCatalog):
        raise InputError("image: no files are read here; send the picture itself, or set IBISAGENT_ROOT")
    return images.to_reference(asked["uri"]) | {name: asked[name] for name in ("slice", "window")}


def _open_data_url(asked: Mapping[str, Any]) -> MedicalImage | None:
    """Open the picture of a data URL, None for a name."""
    uri = asked.get("uri")
    if not isinstance(uri, str) or uri[:5].lower() != "data:":
        return None
    return open_image(uri, slice=asked.get("slice"), window=asked.get("window"))
