"""One memo layer over any segmenter: an image is encoded once, a list of prompts is predicted once.

A prediction is a function of (segmenter fingerprint, image, initial mask, ordered prompts in force), and that is the
key. Undo, resume, fork, replay and rollouts that share a prefix therefore cost no second call of the model; after a
process was killed the priors are rebuilt by predicting the prompts again.
"""

import math
import threading
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Protocol
from weakref import WeakValueDictionary

import numpy as np

from ibisagent.tools.cache import OnceCache
from ibisagent.tools.clicks import Prompt
from ibisagent.tools.imaging.grids import Mask, make_read_only
from ibisagent.tools.masks.rle import Rle, decode, encode, rle_key
from ibisagent.tools.segmenters import get_segmenter
from ibisagent.tools.segmenters.base import Pixels, Prediction, Segmenter, recorded_name
from ibisagent.tools.segmenters.prompt_kinds import refusal, require_taken, taken_by

__all__ = ["HashedImage", "Memo", "MemoEntry", "get_memo"]

_MAX_EMBEDDINGS = 32
_MAX_BYTES = 512 * 2**20


class HashedImage(Protocol):
    """What the memo needs of an image: its displayed pixels, their content hash, and its padding."""

    @property
    def sha(self) -> str:
        """The content hash of the pixels."""

    @property
    def pixels(self) -> Pixels:
        """The displayed picture, (H, W) or (H, W, 3) uint8."""

    @property
    def padding(self) -> Mask | None:
        """What pads the picture out to its size, (H, W) bool, and is in no prompt's mask; None where there is none."""


@dataclass(frozen=True, slots=True, eq=False)
class MemoEntry:
    """A prediction with its mask as COCO RLE and that RLE's short hash."""

    prediction: Prediction
    rle: Rle
    key: str

    @classmethod
    def of(cls, prediction: Prediction) -> "MemoEntry":
        """Encode the mask of a prediction, and make its score a plain number, whatever scalar the model gave."""
        score = None if prediction.score is None else float(prediction.score)
        rle = encode(prediction.mask)
        return cls(replace(prediction, score=score), rle, rle_key(rle))

    @property
    def nbytes(self) -> int:
        """Return the bytes that the arrays hold."""
        return int(self.prediction.mask.nbytes) + _count_bytes(self.prediction.prior)


class Memo:
    """Predictions of one segmenter, shared by every run and thread of a graph."""

    def __init__(self, segmenter: Segmenter, *, embeddings: int = _MAX_EMBEDDINGS, max_bytes: int = _MAX_BYTES) -> None:
        """Keep the last ``embeddings`` images and predictions of up to ``max_bytes``."""
        self.segmenter = segmenter
        self._embeddings: OnceCache[Any] = OnceCache(embeddings)
        self._predictions: OnceCache[MemoEntry] = OnceCache(max_bytes, lambda value: value.nbytes)

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the segmenter, first part of every key."""
        return self.segmenter.fingerprint

    @property
    def prompt_kinds(self) -> tuple[str, ...]:
        """The kinds of prompt that the segmenter takes."""
        return taken_by(self.segmenter)

    def refusal(self, prompt: object) -> str | None:
        """Return the line that refuses a prompt which the segmenter does not take, None for any other."""
        return refusal(prompt, self.prompt_kinds, recorded_name(self.segmenter))

    def require_taken(self, prompts: Iterable[Prompt]) -> None:
        """Raise `InputError` for a prompt that the segmenter does not take."""
        require_taken(prompts, self.prompt_kinds, recorded_name(self.segmenter))

    def embed(self, image: HashedImage) -> Any:
        """Encode an image, at most once while it is among the last ones."""
        return self._embeddings.get(image.sha, lambda: self.segmenter.embed(image.pixels))

    def predict(self, image: HashedImage, initial: Rle | None, prompts: tuple[Prompt, ...]) -> MemoEntry:
        """Return the mask of all ``prompts`` in force over ``initial``; without prompts, the initial mask itself.

        Nothing of the image's padding is in the mask of a prompt. `InputError`: the segmenter does not take a prompt.
        """
        self.require_taken(prompts)
        bare = tuple(prompt if prompt.target is None else replace(prompt, target=None) for prompt in prompts)
        padding = rle_key(encode(image.padding)) if image.padding is not None else None
        start = (self.fingerprint, image.sha, padding, rle_key(initial) if initial else None)
        return self._predict(start, image, initial, bare)

    def _predict(
        self, start: tuple[str | None, ...], image: HashedImage, initial: Rle | None, prompts: tuple[Prompt, ...]
    ) -> MemoEntry:
        return self._predictions.get((*start, prompts), lambda: self._compute(start, image, initial, prompts))

    def _compute(
        self, start: tuple[str | None, ...], image: HashedImage, initial: Rle | None, prompts: tuple[Prompt, ...]
    ) -> MemoEntry:
        if not prompts:
            return MemoEntry.of(self._start(image, initial))
        before = self._predict(start, image, initial, prompts[:-1]).prediction
        prediction = self.segmenter.predict(self.embed(image), prompts, before.prior)
        _require_usable(prediction, image.pixels.shape[:2])
        if image.padding is not None:  # it looks like any dark tissue, and masks run out into it
            prediction = replace(prediction, mask=make_read_only(prediction.mask & ~image.padding))
        return MemoEntry.of(prediction)

    def _start(self, image: HashedImage, initial: Rle | None) -> Prediction:
        if initial is None:
            return Prediction(make_read_only(np.zeros(image.pixels.shape[:2], dtype=np.bool_)), None, None)
        mask = make_read_only(decode(initial))
        return Prediction(mask, None, self.segmenter.prior_from_mask(self.embed(image), mask))


def _require_usable(prediction: Any, shape: tuple[int, ...]) -> None:
    """Raise `TypeError` for what a segmenter returned that is no prediction of the picture."""
    if not isinstance(prediction, Prediction):
        raise TypeError(f"the segmenter returned {type(prediction).__name__}, expected a Prediction")
    mask, score = prediction.mask, prediction.score
    if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_ or mask.shape != shape:
        got = f"{mask.dtype} of {mask.shape}" if isinstance(mask, np.ndarray) else type(mask).__name__
        raise TypeError(
            f"the segmenter returned a mask as {got}, expected bool of {shape}, the displayed picture's size"
        )
    if score is not None and not math.isfinite(score):
        raise TypeError(f"the segmenter returned the score {score}, expected a number from 0 to 1 or None")


_shared: "WeakValueDictionary[int, Memo]" = WeakValueDictionary()
_lock = threading.Lock()


def get_memo(segmenter: Segmenter | Memo | str) -> Memo:
    """Return a segmenter's one memo in this process; a name's stays, an object's goes with its last graph."""
    if isinstance(segmenter, Memo):
        return segmenter
    if isinstance(segmenter, str):
        return _memo_by_name(segmenter)
    with _lock:  # a memo keeps its segmenter alive, so an id in here cannot be another object's
        memo = _shared.get(id(segmenter))
        if memo is None:
            memo = _shared[id(segmenter)] = Memo(segmenter)
        return memo


@cache
def _memo_by_name(name: str) -> Memo:
    return Memo(get_segmenter(name))


def _count_bytes(prior: Any) -> int:
    parts = prior if isinstance(prior, tuple) else (prior,)
    return sum(int(getattr(part, "nbytes", 0)) for part in parts)
