"""Where the heavy things of a run live: images under their content hash, replies and step masks under their keys."""

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from ibisagent.tools.cache import OnceCache
from ibisagent.tools.errors import InputError
from ibisagent.tools.files import atomic
from ibisagent.tools.images import MedicalImage, Spacing, open_image
from ibisagent.tools.masks import Rle

__all__ = ["ImageStore", "RunStore"]

_BYTES = 1024 * 2**20


class RunStore:
    """Plain records under the hash of their content: in memory, and in ``folder`` if a run must survive its process."""

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        """Keep records in memory, or write each one through to ``folder``."""
        self._records: dict[str, dict[str, Any]] = {}
        self._folder = Path(folder) if folder is not None else None

    def put(self, record: dict[str, Any]) -> str:
        """Keep a JSON-plain record and give its key; the same record has the same key."""
        text = json.dumps(record, sort_keys=True, separators=(",", ":"))
        return self._keep(hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:24], record)

    def put_mask(self, key: str, rle: Rle) -> str:
        """Keep a mask under its RLE's own key."""
        return self._keep(key, dict(rle))

    def _keep(self, key: str, record: dict[str, Any]) -> str:
        if key not in self._records:
            self._records[key] = record
            if self._folder is not None:
                self._write(self._path(key), record)
        return key

    @staticmethod
    def _write(path: Path, record: dict[str, Any]) -> None:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic(path) as temporary:
                temporary.write_text(json.dumps(record), encoding="utf-8")

    def _path(self, key: str) -> Path:
        assert self._folder is not None
        return self._folder / key[:2] / f"{key}.json"

    def get_mask(self, key: str) -> Rle:
        """Give the mask under its RLE's own key."""
        record = self.get(key)
        return Rle(size=record["size"], counts=record["counts"])

    def get(self, key: str) -> dict[str, Any]:
        """Give the record under ``key``; `KeyError` when this store has never held it."""
        if key not in self._records and self._folder is not None and self._path(key).is_file():
            self._records[key] = json.loads(self._path(key).read_text(encoding="utf-8"))
        return self._records[key]


class ImageStore:
    """Opened images by content hash; those without a file of their own are kept in ``folder`` when one is given."""

    def __init__(self, folder: str | os.PathLike[str] | None = None, *, max_bytes: int = _BYTES) -> None:
        """Hold up to ``max_bytes`` of pixels and values in memory."""
        self._images: OnceCache[MedicalImage] = OnceCache(max_bytes, _nbytes)
        self._folder = Path(folder) if folder is not None else None

    def admit(self, source: Any) -> dict[str, Any]:
        """Turn whatever a caller names an image into a plain reference; a file is not read yet."""
        if isinstance(source, dict):
            return source
        if isinstance(source, os.PathLike) or (isinstance(source, str) and not source.startswith("data:")):
            return {"uri": os.fspath(source), "slice": None, "window": None}
        return self._hold(open_image(source))

    def open(self, reference: dict[str, Any]) -> MedicalImage:
        """Open a reference; `InputError` when its file is gone or no longer has the pixels of its hash."""
        held = self._images.peek(_key(reference))
        return held if held is not None else self._reopen(reference)

    def _reopen(self, reference: dict[str, Any]) -> MedicalImage:
        uri, sha = reference.get("uri"), reference.get("sha")
        kept = self._folder / f"{sha}.png" if self._folder is not None else None
        source = uri if uri is not None else kept if kept is not None and kept.is_file() else None
        if source is None:
            raise InputError(f"image {sha}: it came without a file and is held no longer; give ImageStore a folder")
        image = open_image(source, slice=reference.get("slice"), window=reference.get("window"))
        if uri is None:
            image = replace(image, uri=None, spacing=_spacing(reference))
        if sha is not None and image.sha != sha:
            raise InputError(f"{Path(str(uri)).name}: its pixels have changed since the run began; start a new run")
        self._hold(image)
        return image

    def _hold(self, image: MedicalImage) -> dict[str, Any]:
        reference = reference_of(image)
        self._images.get(_key(reference), lambda: image)
        if self._folder is not None and image.uri is None:
            self._write(self._folder / f"{image.sha}.png", image)
        return reference

    @staticmethod
    def _write(path: Path, image: MedicalImage) -> None:
        from PIL import Image

        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic(path) as temporary:
                Image.fromarray(image.pixels).save(temporary, format="PNG")


def reference_of(image: MedicalImage) -> dict[str, Any]:
    """Refer to an image by its content hash, its file, slice and window where it has them, and its spacing in mm."""
    spacing = [float(length) for length in image.spacing] if image.spacing is not None else None
    return {"sha": image.sha, "uri": image.uri, "slice": image.slice, "window": image.window, "spacing_mm": spacing}


def _key(reference: dict[str, Any]) -> tuple[Any, ...]:
    """Tell pictures apart that look the same but lie elsewhere: two empty slices, two exports of other spacing."""
    spacing = _spacing(reference)
    return (reference.get("sha"), reference.get("uri"), reference.get("slice"), reference.get("window"), spacing)


def _spacing(reference: dict[str, Any]) -> Spacing | None:
    spacing = reference.get("spacing_mm")
    return Spacing(*spacing) if spacing is not None else None


def _nbytes(image: MedicalImage) -> int:
    return int(image.pixels.nbytes) + (int(image.values.nbytes) if image.values is not None else 0)
