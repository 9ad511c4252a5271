"""Batches of samples: one sample a row, or several with the same picture packed into one row behind it."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from ibisagent.agent.policies.local import QwenInputs
from ibisagent.training.samples import Sample, Samples
from ibisagent.training.tokenized_samples import IGNORED, TokenizedSample, pad_samples, tokenize_sample

__all__ = ["Collator", "Rope"]

Rope = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
"""From token ids (1, L), their kinds (1, L) and the pictures' grid to positions, (3, 1, L): the model's own."""


class Collator:
    """Makes batches of groups of samples (`Samples.groups`) from rows with the key ``group``."""

    def __init__(
        self,
        samples: Samples,
        inputs: QwenInputs,
        groups: Sequence[Sequence[int]],
        *,
        rope: Rope | None = None,
        map_side: int | None = None,
    ) -> None:
        """Take the samples; with the model's ``rope`` a group becomes one row with one picture, else a row for each.

        ``map_side``: side of the finest maps that the model draws, to be given target and mask on.
        """
        self._samples, self._inputs, self._groups, self._rope, self._map_side = samples, inputs, groups, rope, map_side

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """Render, encode and pad."""
        groups = [[self._samples[index] for index in self._groups[row["group"]]] for row in rows]
        if self._rope is not None:
            return self._pack(groups, self._rope)
        several = [tokenize_sample(sample, self._inputs) for group in groups for sample in group]
        return pad_samples(several, self._inputs)

    def _pack(self, groups: Sequence[Sequence[Sample]], rope: Rope) -> dict[str, torch.Tensor]:
        """Put a group behind its picture: ``segments`` 0 is what they share, each sample sees that and itself."""
        several = [[tokenize_sample(sample, self._inputs) for sample in group] for group in groups]
        shared = [_count_shared_tokens(group, self._inputs.image_token_id) for group in several]
        totals = [
            head + sum(len(each.ids) - head for each in group) for head, group in zip(shared, several, strict=True)
        ]
        shape = (len(several), max(totals))
        ids = np.full(shape, self._inputs.tokenizer.pad_token_id, np.int64)
        labels, segments = np.full(shape, IGNORED, np.int64), np.full(shape, -1, np.int64)
        regions: list[NDArray[np.float32]] = []
        region_index, is_refusal = np.full(shape, -1, np.int64), np.zeros(shape, np.bool_)
        positions = torch.zeros((3, *shape), dtype=torch.long)
        for row, (head, group) in enumerate(zip(shared, several, strict=True)):
            ids[row, :head], segments[row, :head] = group[0].ids[:head], 0
            before = self._positions_of(group[0].ids[:head], group[0].encoded.grid, rope)
            positions[:, row, :head] = before
            following = int(before.max()) + 1
            place = head
            for number, each in enumerate(group, 1):
                length = len(each.ids) - head
                span = np.s_[row, place : place + length]
                ids[span], labels[span], segments[span] = each.ids[head:], each.labels[head:], number
                positions[:, row, place : place + length] = torch.arange(following, following + length)
                is_refusal[span] = groups[row][number - 1].is_refusal
                click_region = groups[row][number - 1].click_region
                if click_region is not None and click_region.any():
                    region_index[span][each.reply_start - head :] = len(regions)
                    regions.append(self._region(click_region, each.encoded.grid[0]))
                place += length
        out = {
            "input_ids": ids,
            "labels": labels,
            "segments": segments,
            "region_index": region_index,
            "is_refusal": is_refusal,
        }
        tokens = {name: torch.from_numpy(array) for name, array in out.items()}
        pictures = [group[0].encoded for group in several]
        if self._map_side is not None:
            tokens["masks"] = torch.from_numpy(_build_maps(groups, self._map_side))
        return tokens | {
            "attention_mask": tokens["segments"] >= 0,
            "position_ids": positions,
            "regions": torch.from_numpy(np.stack(regions)) if regions else torch.zeros((0, 0)),
            "pixel_values": torch.from_numpy(np.concatenate([each.patches for each in pictures])),
            "image_grid_thw": torch.from_numpy(np.concatenate([each.grid for each in pictures])),
        }

    def _positions_of(self, ids: list[int], grid: NDArray[np.int64], rope: Rope) -> torch.Tensor:
        """Return the positions of the tokens that a group shares, (3, length)."""
        row = torch.tensor([ids])
        return rope(row, (row == self._inputs.image_token_id).int(), torch.from_numpy(grid))[:, 0]

    def _region(self, click_region: NDArray[np.bool_], grid: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the share of a region that each picture token holds, (tokens,), summing to 1."""
        merge = self._inputs.pictures.merge_size
        rows, columns = int(grid[1]) // merge, int(grid[2]) // merge
        share = _downsample(click_region, columns, rows).ravel()
        return share / max(float(share.sum()), 1e-9)


def _build_maps(groups: Sequence[Sequence[Sample]], side: int) -> NDArray[np.float32]:
    """Return the share of target and mask in each cell, (samples, 2, side, side); nan for a target without a truth."""
    both = [(sample.truth, sample.mask) for group in groups for sample in group]
    nothing = np.full((side, side), np.nan, np.float32)
    return np.stack([[nothing if part is None else _downsample(part, side, side) for part in parts] for parts in both])


def _downsample(mask: NDArray[np.bool_], columns: int, rows: int) -> NDArray[np.float32]:
    return np.asarray(Image.fromarray(mask.astype(np.float32)).resize((columns, rows), Image.Resampling.BOX))


def _count_shared_tokens(group: Sequence[TokenizedSample], image: int) -> int:
    """Count the first tokens that all samples of a group share: at least to the end of their picture."""
    first = group[0].ids
    head = min(each.reply_start for each in group) - 1
    for each in group[1:]:
        head = next((i for i in range(head) if each.ids[i] != first[i]), head)
    assert all(image not in each.ids[head:] for each in group), "samples of one group are shown different pictures"
    return head
