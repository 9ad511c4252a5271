"""Rows of turns as the tensors of a batch that TRL's GRPO loss takes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ibisagent.training.grpo.episodes import TurnRow

__all__ = ["pad_rows", "to_batch"]


def pad_rows(rows: Sequence[TurnRow], spare: TurnRow, least: int, chunks: int) -> list[TurnRow]:
    """Return the rows and as many copies of ``spare`` as make ``least`` of them or more, in chunks of equal size.

    TRL drops what is left over, and in several processes needs as many rows from each.
    """
    return [*rows, *[spare] * (max(least, len(rows)) + -max(least, len(rows)) % chunks - len(rows))]


def to_batch(
    rows: Sequence[TurnRow], advantages: Sequence[float], pad_id: int, picture_id: int, device: torch.device
) -> dict[str, Any]:
    """Return the batch of rows, prompts padded on the left and replies on the right; ``num_images`` is a list.

    Rows beyond the ``advantages`` fill the last chunk: no token of theirs carries loss.
    """
    real = len(advantages)
    prompt_ids = _pad([row.prompt_ids for row in rows], pad_id, left=True)
    completion_ids = _pad([row.completion_ids for row in rows], pad_id)
    completion_mask = _pad([[1] * len(row.completion_ids) for row in rows], 0)
    completion_mask[real:] = 0
    patches, grids = np.concatenate([row.patches for row in rows]), np.concatenate([row.grid for row in rows])
    tensors = {
        "prompt_ids": prompt_ids,
        "prompt_mask": _pad([[1] * len(row.prompt_ids) for row in rows], 0, left=True),
        "completion_ids": completion_ids,
        "completion_mask": completion_mask,
        "advantages": torch.tensor([*advantages, *[0.0] * (len(rows) - real)]),
        "num_items_in_batch": completion_mask.sum(),
        "pixel_values": torch.from_numpy(patches),
        "image_grid_thw": torch.from_numpy(grids),
        "mm_token_type_ids": (torch.cat([prompt_ids, completion_ids], dim=1) == picture_id).int(),
        "sampling_per_token_logps": _pad([row.logprobs for row in rows], 0.0),
    }
    return {name: value.to(device) for name, value in tensors.items()} | {"num_images": [len(row.grid) for row in rows]}


def _pad(lists: Sequence[Sequence[float]], value: float, *, left: bool = False) -> torch.Tensor:
    longest = max(map(len, lists))
    fill = [[value] * (longest - len(each)) for each in lists]
    return torch.tensor([[*pad, *each] if left else [*each, *pad] for pad, each in zip(fill, lists, strict=True)])
