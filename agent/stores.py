"""Storage of a run's large data: images under their content hash, replies and step masks under their keys."""

import hashlib
import json
import math
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ibisagent.tools.cache import OnceCache
from ibisagent.tools.errors import InputError, StoreError
from ibisagent.tools.files import atomic_write, printable_text
from ibisagent.tools.imaging.grids import Mask, Spacing
from ibisagent.tools.imaging.medical_image import MedicalImage
from ibisagent.tools.imaging.open_image import open_image
from ibisagent.tools.imaging.png import encode_png
from ibisagent.tools.json_values import to_builtin
from ibisagent.tools.masks.reading import read_mask
from ibisagent.tools.masks.rle import Rle, decode, encode

__all__ = ["ImageStore", "RunStore", "kept_png", "reference_of", "restore_reference"]

_BYTES = 1024 * 2**20
_RECORDS = 64 * 2**20  # characters


class RunStore:
    """Plain records under the hash of their content: in memory, or in ``folder`` if a run is to outlive its process."""

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        """Keep every record in memory, or write each to ``folder`` and hold the last ones."""
        limit = _RECORDS if folder is not None else math.inf
        self._records: OnceCache[dict[str, Any]] = OnceCache(limit, _characters)
        self._folder = Path(folder) if folder is not None else None

    def put(self, record: dict[str, Any]) -> str:
        """Store a JSON-plain record and return its key, the same for equal records; `StoreError` if that fails."""
        text = json.dumps(record, sort_keys=True, separators=(",", ":"))
        return self._keep(hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:24], record)

    def put_mask(self, key: str, rle: Rle) -> str:
        """Store a mask under the key of its RLE and return that; `StoreError` if that fails."""
        return self._keep(key, dict(rle))

    def _keep(self, key: str, record: dict[str, Any]) -> str:
        self._records.get(key, lambda: self._write(key, record))
        return key

    def _write(self, key: str, record: dict[str, Any]) -> dict[str, Any]:
        path = self._path(key)
        if path is None or path.is_file():
            return record
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(path) as temporary:
                temporary.write_text(json.dumps(record), encoding="utf-8")
        except (OSError, InputError) as error:
            raise StoreError(f"run store: {' '.join(str(error).split())}") from error
        return record

    def _path(self, key: str) -> Path | None:
        return self._folder / key[:2] / f"{key}.json" if self._folder is not None else None

    def get_mask(self, key: str) -> Rle:
        """Return the mask under the key of its RLE; `StoreError` as in `get`."""
        record = self.get(key)
        return Rle(size=record["size"], counts=record["counts"])

    def get(self, key: str) -> dict[str, Any]:
        """Return the record under ``key``; `StoreError` if it is missing."""
        return self._records.get(key, lambda: self._read(key))

    def _read(self, key: str) -> dict[str, Any]:
        path = self._path(key)
        if path is None:
            raise StoreError(f"run store: it holds no record {key}; a run that outlives its process needs a folder")
        try:
            record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            reason = f"{type(error).__name__}; bring its folder back, or start a new run"
            raise StoreError(
                f"run store: record {key} of {printable_text(self._folder)} cannot be read ({reason})"
            ) from error
        return record


def _characters(record: dict[str, Any]) -> int:
    return sum(len(value) for value in record.values() if isinstance(value, str | list))


class ImageStore:
    """Opened images by content hash; those without a file of their own are kept in ``folder`` when one is given."""

    def __init__(self, folder: str | os.PathLike[str] | None = None, *, max_bytes: int = _BYTES) -> None:
        """Hold up to ``max_bytes`` of pixels and values in memory."""
        self._images: OnceCache[MedicalImage] = OnceCache(max_bytes, _nbytes)
        self._folder = Path(folder) if folder is not None else None

    def to_reference(self, source: Any) -> dict[str, Any]:
        """Convert anything that a caller may pass as an image to a plain reference; a file is not read yet."""
        if isinstance(source, dict):
            return dict(to_builtin(source))
        if isinstance(source, os.PathLike) or (isinstance(source, str) and source[:5].lower() != "data:"):
            return {"uri": to_builtin(source), "slice": None, "window": None}
        return self._cache(open_image(source))

    def open(self, reference: dict[str, Any]) -> MedicalImage:
        """Open a reference; `InputError` when its file is gone or no longer has the pixels of its hash."""
        cached = self._images.peek(_key(reference))
        return cached if cached is not None else self._reopen(reference)

    def read_mask(self, source: Any, image: MedicalImage) -> Mask:
        """Read a mask of ``image``, (H, W) bool; ``source`` as in `ibisagent.tools.masks.reading.read_mask`."""
        return read_mask(source, image)

    def _reopen(self, reference: dict[str, Any]) -> MedicalImage:
        uri, sha = reference.get("uri"), reference.get("sha")
        kept = self._folder / f"{sha}.png" if self._folder is not None else None
        source = uri if uri is not None else kept if kept is not None and kept.is_file() else None
        if source is None:
            raise InputError(
                f"image {sha}: it was passed without a file and is no longer in memory; give ImageStore a folder"
            )
        image = open_image(source, slice=reference.get("slice"), window=reference.get("window"))
        if uri is None:
            image = restore_reference(image, reference)
        if sha is not None and image.sha != sha:
            raise InputError(f"{Path(str(uri)).name}: its pixels have changed since the run began; start a new run")
        self._cache(image)
        return image

    def _cache(self, image: MedicalImage) -> dict[str, Any]:
        reference = reference_of(image)
        self._images.get(_key(reference), lambda: image)
        if self._folder is not None and image.uri is None:
            self._write(self._folder / f"{image.sha}.png", image)
        return reference

    @staticmethod
    def _write(path: Path, image: MedicalImage) -> None:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(path) as temporary:
                temporary.write_bytes(kept_png(image))


def kept_png(image: MedicalImage) -> bytes:
    """Return the PNG in which a picture without a file is kept, beside its records as ``SHA.png``."""
    return encode_png(image.pixels, level=6)


def reference_of(image: MedicalImage) -> dict[str, Any]:
    """Build the reference of an image: content hash, file, slice and window where it has them, and spacing in mm.

    Its notes are included: reopened with an explicit slice, it would not note that the slice was chosen by default. So
    is the padding of an image without a file, of which only the pixels are kept.
    """
    spacing = list(image.spacing) if image.spacing is not None else None
    place = {"uri": image.uri, "slice": image.slice, "window": image.window}
    notes = {"notes": list(image.notes)} if image.notes else {}
    padding = {"padding": encode(image.padding)} if image.uri is None and image.padding is not None else {}
    return {"sha": image.sha, **place, "spacing_mm": spacing, **notes, **padding}


def restore_reference(image: MedicalImage, reference: Mapping[str, Any]) -> MedicalImage:
    """Return an image of which only the pixels were kept with the spacing and the padding of its reference."""
    padding = decode(reference["padding"]) if reference.get("padding") else None
    return replace(image, uri=None, spacing=_spacing(reference), padding=padding)


def _key(reference: dict[str, Any]) -> tuple[Any, ...]:
    """Return a key that also separates equal pictures of other origin: two empty slices, exports of other spacing."""
    padding = (reference.get("padding") or {}).get("counts")
    place = (reference.get("uri"), reference.get("slice"), reference.get("window"))
    return (reference.get("sha"), *place, _spacing(reference), padding)


def _spacing(reference: Mapping[str, Any]) -> Spacing | None:
    spacing = reference.get("spacing_mm")
    return Spacing(*spacing) if spacing is not None else None


def _nbytes(image: MedicalImage) -> int:
    return int(image.pixels.nbytes) + (int(image.values.nbytes) if image.values is not None else 0)
