"""Auxiliary losses that teach an untrained model where to look; their heads are discarded after the training.

Without them the nano policy stayed for 60,000 prompts at clicking where an organ usually is (EXPERIMENTS.md).
"""

from typing import Any

import torch
from torch import nn
from torch.nn import functional

__all__ = ["AuxiliaryHeads", "PositionTokens"]

_LAYERS = slice(-3, -1)
_HEADS = 2
_POSITION_SIGMA = 2.5  # deviation, in coordinate tokens, of the target around a picture token's own position
_INSIDE_SHARE = 0.25  # share of the fullest picture token from which on another counts as inside a region
_EPSILON = 1e-4


class PositionTokens:
    """The tokens that name a position in the picture, and the region that it may lie in.

    ``rows``, ``positions``: of the states before those tokens; ``inside``: (tokens, picture tokens) in {0, 1};
    ``pictures``: positions of the picture tokens, the same in every row.
    """

    def __init__(self, inputs: dict[str, Any], is_labeled: torch.Tensor, names: torch.Tensor, image_id: int) -> None:
        """Take a packed batch, where its labels are, (B, L - 1) bool, and which of those name a position."""
        rows, positions = torch.nonzero(is_labeled, as_tuple=True)
        regions = inputs["region_index"][:, 1:][is_labeled]
        picked = names & (regions >= 0)
        self.rows, self.positions = rows[picked], positions[picked]
        share = inputs["regions"][regions[picked]] if picked.any() else torch.zeros(0, 1)
        self.inside = (share > _INSIDE_SHARE * share.amax(dim=1, keepdim=True)).float()
        self.pictures = (inputs["input_ids"][0] == image_id).nonzero()[:, 0]


class AuxiliaryHeads(nn.Module):
    """The auxiliary heads, and what hooks record of a forward pass: two layers' attention, the image tokens."""

    def __init__(self, core: Any) -> None:
        """Hook into a Qwen-VL model that runs transformers' eager attention."""
        super().__init__()
        width = core.config.text_config.hidden_size
        self.position_heads = nn.ModuleList([nn.Linear(width, width) for _ in range(2)])
        self._attentions: list[torch.Tensor] = []
        self._image_tokens: list[torch.Tensor] = []
        layers = core.model.language_model.layers
        for layer in layers[_LAYERS] or layers:
            layer.self_attn.register_forward_hook(lambda _module, _inputs, out: self._attentions.append(out[1]))
        core.model.visual.register_forward_hook(
            lambda _module, _inputs, out: self._image_tokens.append(out.pooler_output)
        )

    def clear(self) -> None:
        """Drop what the hooks recorded."""
        self._attentions.clear()
        self._image_tokens.clear()

    def attention_loss(self, tokens: PositionTokens) -> torch.Tensor:
        """Return how little two heads of each layer attend, before a position, to where the click may lie."""
        if not len(tokens.rows):
            return self._attentions[0].sum() * 0
        each = []
        for attention in self._attentions:
            share = attention[tokens.rows, :_HEADS, tokens.positions][:, :, tokens.pictures].float()
            each.append(-torch.log((share * tokens.inside[:, None]).sum(dim=2) + _EPSILON).mean())
        return torch.stack(each).mean()

    def position_loss(self, table: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
        """Return how badly each image token predicts its position in coordinate tokens, whose embeddings are ``table``.

        ``grid``: (pictures, 3), all of one size, in patches; no position but relative ones is in the model itself.
        """
        image_tokens, count = self._image_tokens[0].float(), len(table)
        merged = grid[0, 1:] // round((int(grid.prod(dim=1).sum()) / len(image_tokens)) ** 0.5)
        rows, columns = (int(length) for length in merged)
        token, bins = torch.arange(rows * columns), torch.arange(count) + 0.5
        each = []
        for head, own in zip(
            self.position_heads, ((token % columns + 0.5) / columns, (token // columns + 0.5) / rows), strict=True
        ):
            target = torch.softmax(-((bins - own[:, None] * count) ** 2) / (2 * _POSITION_SIGMA**2), dim=1)
            logits = head(image_tokens).view(-1, rows * columns, table.shape[1]) @ table.float().T
            each.append(-(target * functional.log_softmax(logits, dim=-1)).sum(dim=-1).mean())
        return torch.stack(each).mean()
