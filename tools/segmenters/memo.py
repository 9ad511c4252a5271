"""One memo layer over any segmenter: an image is encoded once, a list of prompts is predicted once.

A prediction is a function of (segmenter fingerprint, image, initial mask, ordered prompts in force), and that is the
key. Undo, resume, fork, replay and rollouts that share a prefix therefore cost no second call of the model; after the
death of a process the priors are rebuilt by walking the prompts again.
"""

import threading
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Protocol
from weakref import WeakValueDictionary

import numpy as np

from ibisagent.tools.cache import OnceCache
from ibisagent.tools.clicks import Prompt
from ibisagent.tools.grids import Mask, frozen
from ibisagent.tools.masks import Rle, decode, encode, rle_key
from ibisagent.tools.segmenters import get_segmenter
from ibisagent.tools.segmenters.base import Pixels, Prediction, Segmenter

__all__ = ["Memo", "Memoised", "Picture", "memo_of"]

_EMBEDDINGS = 32
_BYTES = 512 * 2**20


class Picture(Protocol):
    """What the memo needs of an image: its displayed pixels and their content hash."""

    @property
    def sha(self) -> str:
        """The content hash of the pixels."""

    @property
    def pixels(self) -> Pixels:
        """The displayed picture, (H, W) or (H, W, 3) uint8."""

    @property
    def padding(self) -> Mask | None:
        """What is no picture, (H, W) bool, and so in no segmenter's mask; None where there is none."""


@dataclass(frozen=True, slots=True, eq=False)
class Memoised:
    """A prediction with its mask as COCO RLE and that RLE's short hash."""

    prediction: Prediction
    rle: Rle
    key: str

    @classmethod
    def of(cls, prediction: Prediction) -> "Memoised":
        """Encode the mask of a prediction, and make its score a plain number, whatever scalar the model gave."""
        score = None if prediction.score is None else float(prediction.score)
        rle = encode(prediction.mask)
        return cls(replace(prediction, score=score), rle, rle_key(rle))

    @property
    def nbytes(self) -> int:
        """Give the bytes that the arrays hold."""
        return int(self.prediction.mask.nbytes) + _nbytes(self.prediction.prior)


class Memo:
    """Answers for one segmenter, shared by every run and thread of a graph."""

    def __init__(self, segmenter: Segmenter, *, embeddings: int = _EMBEDDINGS, max_bytes: int = _BYTES) -> None:
        """Keep the last ``embeddings`` images and predictions of up to ``max_bytes``."""
        self.segmenter = segmenter
        self._embeddings: OnceCache[Any] = OnceCache(embeddings)
        self._predictions: OnceCache[Memoised] = OnceCache(max_bytes, lambda value: value.nbytes)

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the segmenter, first part of every key."""
        return self.segmenter.fingerprint

    def embed(self, image: Picture) -> Any:
        """Encode an image, at most once while it is among the last ones."""
        return self._embeddings.get(image.sha, lambda: self.segmenter.embed(image.pixels))

    def predict(self, image: Picture, initial: Rle | None, prompts: tuple[Prompt, ...]) -> Memoised:
        """Give the mask of all ``prompts`` in force over ``initial``; without prompts, the initial mask itself.

        Nothing of the image's padding is in the mask of a prompt.
        """
        bare = tuple(prompt if prompt.target is None else replace(prompt, target=None) for prompt in prompts)
        return self._predict(image, initial, bare)

    def _predict(self, image: Picture, initial: Rle | None, prompts: tuple[Prompt, ...]) -> Memoised:
        padding = rle_key(encode(image.padding)) if image.padding is not None else None
        key = (self.fingerprint, image.sha, padding, rle_key(initial) if initial else None, prompts)
        return self._predictions.get(key, lambda: self._compute(image, initial, prompts))

    def _compute(self, image: Picture, initial: Rle | None, prompts: tuple[Prompt, ...]) -> Memoised:
        if not prompts:
            return Memoised.of(self._start(image, initial))
        before = self._predict(image, initial, prompts[:-1]).prediction
        found = self.segmenter.predict(self.embed(image), prompts, before.prior)
        if image.padding is not None:  # it looks like anything dark, which a mask runs into
            found = replace(found, mask=frozen(found.mask & ~image.padding))
        return Memoised.of(found)

    def _start(self, image: Picture, initial: Rle | None) -> Prediction:
        if initial is None:
            return Prediction(frozen(np.zeros(image.pixels.shape[:2], dtype=np.bool_)), None, None)
        mask = frozen(decode(initial))
        return Prediction(mask, None, self.segmenter.prior_from_mask(self.embed(image), mask))


_shared: "WeakValueDictionary[int, Memo]" = WeakValueDictionary()
_lock = threading.Lock()


def memo_of(segmenter: Segmenter | Memo | str) -> Memo:
    """Give a segmenter's one memo in this process; a name's stays, an object's goes with its last graph."""
    if isinstance(segmenter, Memo):
        return segmenter
    if isinstance(segmenter, str):
        return _named(segmenter)
    with _lock:  # a memo keeps its segmenter alive, so an id in here cannot be another object's
        memo = _shared.get(id(segmenter))
        if memo is None:
            memo = _shared[id(segmenter)] = Memo(segmenter)
        return memo


@cache
def _named(name: str) -> Memo:
    return Memo(get_segmenter(name))


def _nbytes(prior: Any) -> int:
    parts = prior if isinstance(prior, tuple) else (prior,)
    return sum(int(getattr(part, "nbytes", 0)) for part in parts)
