"""The branch that draws the target at half of the picture's side."""

import torch
from torch import nn
from torch.nn import functional

from ibisagent.agent.policies.pointer.configuration import PointerConfig

__all__ = ["FineDrawing"]

_STEPS = (1, 2)  # dilations of the layers


class FineDrawing(nn.Module):
    """A residual on the head's target logits; that of an untrained branch is 0."""

    def __init__(self, config: PointerConfig) -> None:
        """Build the layers from a config with ``fine_channels`` above 0."""
        super().__init__()
        width, first = config.fine_channels, config.widths[0]
        self.norm = nn.GroupNorm(1, first)
        self.seen = nn.Conv2d(first, width, 3, padding=1)
        self.drawn = nn.Conv2d(config.feature_channels + 1, width, 1)
        self.query = nn.Linear(config.hidden_size, 2 * width)
        self.dilated = nn.ModuleList([nn.Conv2d(width, width, 3, padding=step, dilation=step) for step in _STEPS])
        self.last = nn.Conv2d(width, 1, 1)

    def forward(
        self, seen: torch.Tensor, features: torch.Tensor, states: torch.Tensor, target: torch.Tensor
    ) -> torch.Tensor:
        """Draw the target again, (n, 2 h, 2 w) float32 logits.

        ``seen``: (n, c, 2 h, 2 w), the encoder's first features; ``features``: (n, C, h, w), its last; ``states``:
        (n, hidden) of the requests, which scale and shift the channels; ``target``: (n, h, w), the head's logits.
        """
        coarse = torch.cat([features, torch.tanh(target / 4)[:, None].to(features.dtype)], dim=1)
        scale, shift = self.query(states)[..., None, None].chunk(2, dim=1)
        now = functional.silu((self.seen(self.norm(seen)) + _double(self.drawn(coarse))) * (1 + scale) + shift)
        for dilated in self.dilated:
            now = now + functional.silu(dilated(now))
        drawn: torch.Tensor = _double(target[:, None].float()) + self.last(now).float()
        return drawn[:, 0]


def _double(maps: torch.Tensor) -> torch.Tensor:
    return functional.interpolate(maps, scale_factor=2.0, mode="bilinear", align_corners=False)
