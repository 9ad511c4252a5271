"""The segmenter itself: one procedure for every model of the family."""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from ibisagent.tools.call_batcher import CallBatcher
from ibisagent.tools.clicks import Prompt
from ibisagent.tools.files import hash_files
from ibisagent.tools.imaging.grids import Mask, make_read_only
from ibisagent.tools.segmenters.base import Pixels, Prediction, Query
from ibisagent.tools.segmenters.prompt_kinds import require_taken, taken_by
from ibisagent.tools.segmenters.sam.frame import (
    DecoderPrompt,
    InputFrame,
    LogitsPrior,
    build_decoder_prompt,
    compute_signed_distance_prior,
)
from ibisagent.tools.segmenters.sam.models import FeatureMaps, SamNetwork, collate_prompts, stack_features
from ibisagent.tools.segmenters.sam.transforms import InputTransform

__all__ = ["Embedding", "SamSegmenter"]

_LARGEST_BATCH = 16

_IndexedPrompt = tuple[int, DecoderPrompt]


@dataclass(frozen=True, slots=True, eq=False)
class Embedding:
    """An encoded picture: feature maps (1, c, h, w), finest first, and where the picture lies in them."""

    features: FeatureMaps
    frame: InputFrame


@dataclass(frozen=True, eq=False)
class SamSegmenter:
    """A promptable network of the SAM family on one device.

    Pure, and safe to share between threads. ``predict`` decodes alone and gives the same bits every time, unless
    ``batches_calls``; ``predict_many`` batches queries that fit together, which moves logits by up to 1e-4. The score:
    the predicted IoU, clamped to [0, 1]. Clicks that are all negative, without box or mask, give an empty mask.
    """

    name: str
    model: SamNetwork
    transform: InputTransform
    files: tuple[Path, ...]
    device: torch.device
    dtype: torch.dtype
    batches_calls: bool = False
    calibrated = False

    @cached_property
    def fingerprint(self) -> str:
        """Name and version, hash of the weights and what else the masks depend on."""
        kind = str(self.dtype).removeprefix("torch.")
        weights = hash_files(self.files)[:12]
        line = f"{self.name}-1 weights={weights} size={self.model.side} device={self.device} dtype={kind}"
        return f"{line} threshold=0{' batch=1' if self.batches_calls else ''}"

    @cached_property
    def _batcher(self) -> CallBatcher[Query, Prediction]:
        return CallBatcher(self.predict_many, limit=_LARGEST_BATCH)

    def embed(self, pixels: Pixels) -> Embedding:
        """Encode a picture."""
        frame = self.transform.frame(pixels.shape, self.model.side)
        prepared = self.transform.prepare(pixels, frame).to(self.device)
        with torch.inference_mode(), self._precision():
            features = self.model.encode(prepared)
            return Embedding(tuple(level.float() for level in features), frame)

    def predict(self, embedding: Embedding, prompts: Sequence[Prompt], prior: LogitsPrior | None) -> Prediction:
        """Segment from all prompts; see `Segmenter.predict`."""
        query = Query(embedding, prompts, prior)
        return self._batcher(query) if self.batches_calls else self.predict_many([query])[0]

    def predict_many(self, queries: Sequence[Query]) -> list[Prediction]:
        """Answer in batches of equal numbers of clicks, with or without box and prior; the pictures may differ."""
        answers: dict[int, Prediction] = {}
        kinds: defaultdict[Hashable, list[_IndexedPrompt]] = defaultdict(list)
        for index, query in enumerate(queries):
            require_taken(query.prompts, taken_by(self), self.name)
            prompt = build_decoder_prompt(query.embedding.frame, query.prompts, query.prior)
            if prompt is None:
                answers[index] = _predict_empty(query)
            else:
                kinds[prompt.batch_key].append((index, prompt))
        for batch in _split_batches(kinds.values()):
            indices, prompts = zip(*batch, strict=True)
            decoded = self._decode([queries[index] for index in indices], prompts)
            answers.update(zip(indices, decoded, strict=True))
        return [answers[index] for index in range(len(queries))]

    def prior_from_mask(self, embedding: Embedding, mask: Mask) -> LogitsPrior | None:
        """Turn a mask into signed-distance logits and its box; an empty one gives None."""
        return compute_signed_distance_prior(embedding.frame, mask)

    def _decode(self, queries: Sequence[Query], prompts: Sequence[DecoderPrompt]) -> list[Prediction]:
        """Decode one batch; of three masks the one that is predicted to be best."""
        with torch.inference_mode():
            features = stack_features([query.embedding.features for query in queries])
            logits, scores = self.model.decode(features, collate_prompts(prompts, self.device))
            best = scores.argmax(dim=1, keepdim=True)
            chosen = scores.gather(1, best).clamp(0, 1).flatten().tolist()
            maps = logits.take_along_dim(best[:, :, None, None], dim=1)
            return [self._prediction(*each) for each in zip(queries, maps.unsqueeze(1), chosen, strict=True)]

    def _prediction(self, query: Query, logits: torch.Tensor, score: float) -> Prediction:
        bound = self.model.bound
        low = logits[0, 0].clamp(-bound, bound).cpu().numpy()
        low.setflags(write=False)
        mask = make_read_only(self.transform.mask(logits, query.embedding.frame))
        return Prediction(mask, score, LogitsPrior(low, None if query.prior is None else query.prior.box))

    def _precision(self) -> AbstractContextManager[object]:
        if self.dtype == torch.float32:
            return nullcontext()
        return torch.autocast(self.device.type, self.dtype)


def _predict_empty(query: Query) -> Prediction:
    """Return the empty mask for a query without information on the target."""
    return Prediction(make_read_only(np.zeros(query.embedding.frame.picture, np.bool_)), None, query.prior)


def _split_batches(kinds: Iterable[list[_IndexedPrompt]]) -> Iterator[list[_IndexedPrompt]]:
    for group in kinds:
        for begin in range(0, len(group), _LARGEST_BATCH):
            yield group[begin : begin + _LARGEST_BATCH]
