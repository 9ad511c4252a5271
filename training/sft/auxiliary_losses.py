"""Losses that teach a model from nothing where to look; their heads are thrown away after the training.

Without them the nano policy stayed for 60,000 prompts at clicking where an organ usually is (EXPERIMENTS.md).
"""

from typing import Any

import torch
from torch import nn
from torch.nn import functional

__all__ = ["Guides", "Named"]

_LAYERS = slice(-3, -1)
_HEADS = 2
_NEAR = 2.5  # deviation, in coordinate tokens, of the target around a picture token's own place
_INSIDE = 0.25  # share of the fullest picture token from which on another counts as inside a region
_SMALL = 1e-4


class Named:
    """The tokens at which a place is being named, and the region that it may lie in.

    ``rows``, ``places``: of the states before those tokens; ``inside``: (tokens, picture tokens) in {0, 1};
    ``pictures``: places of the picture tokens, the same in every row.
    """

    def __init__(self, inputs: dict[str, Any], chosen: torch.Tensor, names: torch.Tensor, image_id: int) -> None:
        """Take a packed batch, where its labels are, (B, L - 1) bool, and which of those name a place."""
        rows, places = torch.nonzero(chosen, as_tuple=True)
        regions = inputs["pointed"][:, 1:][chosen]
        picked = names & (regions >= 0)
        self.rows, self.places = rows[picked], places[picked]
        share = inputs["regions"][regions[picked]] if picked.any() else torch.zeros(0, 1)
        self.inside = (share > _INSIDE * share.amax(dim=1, keepdim=True)).float()
        self.pictures = (inputs["input_ids"][0] == image_id).nonzero()[:, 0]


class Guides(nn.Module):
    """The heads, and what hooks caught of the forward pass before: two layers' attention, the picture's tokens."""

    def __init__(self, core: Any) -> None:
        """Hook into a Qwen-VL model that runs transformers' eager attention."""
        super().__init__()
        width = core.config.text_config.hidden_size
        self.places = nn.ModuleList([nn.Linear(width, width) for _ in range(2)])
        self._looks: list[torch.Tensor] = []
        self._shown: list[torch.Tensor] = []
        layers = core.model.language_model.layers
        for layer in layers[_LAYERS] or layers:
            layer.self_attn.register_forward_hook(lambda _module, _inputs, out: self._looks.append(out[1]))
        core.model.visual.register_forward_hook(lambda _module, _inputs, out: self._shown.append(out.pooler_output))

    def forget(self) -> None:
        """Let go of what was caught."""
        self._looks.clear()
        self._shown.clear()

    def looking(self, named: Named) -> torch.Tensor:
        """Ask two heads of each layer to look, before a place is named, at where the click may lie."""
        if not len(named.rows):
            return self._looks[0].sum() * 0
        each = []
        for look in self._looks:
            seen = look[named.rows, :_HEADS, named.places][:, :, named.pictures].float()
            each.append(-torch.log((seen * named.inside[:, None]).sum(dim=2) + _SMALL).mean())
        return torch.stack(each).mean()

    def placing(self, table: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
        """Ask each picture token for its own place, in the words of the coordinates, whose embeddings are ``table``.

        ``grid``: (pictures, 3), all of one size, in patches; no position but relative ones is in the model itself.
        """
        shown, count = self._shown[0].float(), len(table)
        merged = grid[0, 1:] // round((int(grid.prod(dim=1).sum()) / len(shown)) ** 0.5)
        rows, columns = (int(length) for length in merged)
        token, bins = torch.arange(rows * columns), torch.arange(count) + 0.5
        each = []
        for head, own in zip(
            self.places, ((token % columns + 0.5) / columns, (token // columns + 0.5) / rows), strict=True
        ):
            target = torch.softmax(-((bins - own[:, None] * count) ** 2) / (2 * _NEAR**2), dim=1)
            said = head(shown).view(-1, rows * columns, table.shape[1]) @ table.float().T
            each.append(-(target * functional.log_softmax(said, dim=-1)).sum(dim=-1).mean())
        return torch.stack(each).mean()
