"""Prediction from prompts among which are examples: each example changes all of the mask, each other prompt a part.

What plain prompts or an initial mask put into the mask or took out of it stays so when an example follows; where the
example says otherwise, the part that it lies in follows the example.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy import ndimage

from ibisagent.tools.clicks import Box, Click, Prompt, Similar, click_to_pixel
from ibisagent.tools.imaging.grids import make_read_only
from ibisagent.tools.segmenters.base import Mask, Prediction
from ibisagent.tools.segmenters.features import Features
from ibisagent.tools.segmenters.similar.appearance import Appearance, extract_appearance
from ibisagent.tools.segmenters.similar.settings import SimilarSettings
from ibisagent.tools.segmenters.similar.union import Union, add_example, find_first
from ibisagent.tools.segmenters.working_grid import GridClick, enforce_prompts, enlarge_mask, to_grid_prompts

__all__ = ["SimilarPrior", "predict_similar"]


@dataclass(frozen=True, slots=True, eq=False)
class SimilarPrior:
    """The state after prompts among which are examples.

    ``union``: of the examples, None without a positive one. ``model`` (H, W): its mask; ``mask`` (H, W): that of all
    prompts. ``plain``: the segmenter's own prior of the prompts after the last example.
    """

    union: Union | None
    model: Mask
    mask: Mask
    plain: Any

    @property
    def nbytes(self) -> int:
        """Return the bytes that the arrays hold."""
        return sum(int(part.nbytes) for part in (self.model, self.mask, *(self.union[:2] if self.union else ())))


class PlainPredict(NamedTuple):
    """A segmenter's own ``predict`` and ``prior_from_mask``, for prompts without examples.

    ``mask_of``: the mask (H, W) behind one of its priors.
    """

    predict: Callable[[Features, Sequence[Prompt], Any], Prediction]
    prior_from_mask: Callable[[Features, Mask], Any]
    mask_of: Callable[[Any], Mask]


def predict_similar(
    plain: PlainPredict, embedding: Features, prompts: Sequence[Prompt], prior: Any, settings: SimilarSettings
) -> Prediction:
    """Predict from ``prompts``, at least one of them a `Similar`; see `Segmenter.predict`.

    Without a positive example a negative one acts as a negative point.
    """
    *earlier, latest = prompts
    if any(isinstance(prompt, Similar) for prompt in earlier) and not isinstance(prior, SimilarPrior):
        prior = predict_similar(plain, embedding, earlier, prior, settings).prior
    elif earlier and prior is None:
        prior = plain.predict(embedding, earlier, None).prior
    before = prior if isinstance(prior, SimilarPrior) else _begin(plain, embedding, prior)
    examples = [prompt for prompt in prompts if isinstance(prompt, Similar)]
    if not isinstance(latest, Similar) or not any(example.positive for example in examples):
        return _predict_plain(plain, embedding, prompts, before)
    appearance = embedding.memo.get(("appearance", settings), lambda: extract_appearance(embedding, settings))
    clicks = to_grid_prompts(examples, appearance.grid).clicks
    union = _update(appearance, clicks, before.union, settings)
    model = (
        np.zeros(embedding.grid.full, np.bool_) if union is None else enlarge_mask(appearance.grid, union.mask, None)
    )
    mask = make_read_only(_obey(_keep_edits(before, model, latest), prompts))
    return Prediction(
        mask,
        None,
        SimilarPrior(union, make_read_only(model), mask, plain.prior_from_mask(embedding, mask)),
    )


def _begin(plain: PlainPredict, embedding: Features, prior: Any) -> SimilarPrior:
    nothing = np.zeros(embedding.grid.full, np.bool_)
    return SimilarPrior(None, nothing, nothing if prior is None else plain.mask_of(prior), prior)


def _predict_plain(
    plain: PlainPredict, embedding: Features, prompts: Sequence[Prompt], before: SimilarPrior
) -> Prediction:
    """Edit the mask so far by the prompts since the last positive example; a negative one among them is a point."""
    since: list[Prompt] = []
    modelled = False
    for prompt in prompts:
        if isinstance(prompt, Similar) and (modelled := modelled or prompt.positive):
            since = []
        else:
            since.append(_as_point(prompt))
    answer = plain.predict(embedding, since, before.plain)
    mask = make_read_only(_obey(answer.mask.copy(), prompts))
    return Prediction(mask, answer.score, SimilarPrior(before.union, before.model, mask, answer.prior))


def _as_point(prompt: Prompt) -> Prompt:
    return Click(prompt.x, prompt.y, prompt.positive) if isinstance(prompt, Similar) else prompt


def _update(
    appearance: Appearance, clicks: Sequence[GridClick], before: Union | None, settings: SimilarSettings
) -> Union | None:
    if not any(click.positive for click in clicks):  # each positive one was taken back on its own pixel
        return None
    if before is None:
        return find_first(appearance, clicks, settings)
    return add_example(appearance, clicks, before, settings)


def _keep_edits(before: SimilarPrior, model: Mask, example: Similar) -> Mask:
    """Carry over what plain prompts added and removed, but for the part in which the example says otherwise."""
    added, removed = before.mask & ~before.model, before.model & ~before.mask
    pixel = click_to_pixel(example, model.shape)
    overruled = removed if example.positive else added
    if overruled[pixel]:
        parts, _ = ndimage.label(overruled)
        overruled &= parts != parts[pixel]
    return (model | added) & ~removed


def _obey(mask: Mask, prompts: Sequence[Prompt]) -> Mask:
    """Set the mask, in place, at every click and example, and cut it to the boxes since the last example."""
    last = max(i for i, prompt in enumerate(prompts) if isinstance(prompt, Similar))
    return enforce_prompts(
        mask, [prompt for i, prompt in enumerate(prompts) if i > last or not isinstance(prompt, Box)]
    )
