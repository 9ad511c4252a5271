"""What a request makes of a picture's features: its target drawn as maps, where to click, and a summary of both."""

from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional

from ibisagent.agent.policies.pointer.configuration import PointerConfig
from ibisagent.agent.policies.pointer.vision_encoder import ramps

__all__ = ["Drawer", "Drawing"]

_WIDE = 32
_FINE = 16
_SHARED = 8
_SUB = 2  # places of the heat a place of the features across
_POOL = 5


class Drawing(NamedTuple):
    """What n requests drew.

    ``target``, ``covered``: (n, h, w) logits of the target and of the mask that the picture shows. ``heat``:
    (n, 2, bins, bins) log-probabilities of a positive and a negative click, rows first. ``summary``: (n, hidden).
    """

    target: torch.Tensor
    covered: torch.Tensor
    heat: torch.Tensor
    summary: torch.Tensor


class Drawer(nn.Module):
    """From features and the state in which a request was read to a `Drawing`."""

    def __init__(self, config: PointerConfig) -> None:
        """Build it of a config's sizes."""
        super().__init__()
        self.maps, self.bins = config.maps, config.coordinates
        self.query = nn.Linear(config.hidden_size, config.maps * (config.features + 1))
        self.shared = nn.Conv2d(config.features, _SHARED, 1)
        seen = config.maps + _SHARED + 2 + 2
        self.coarse = nn.Conv2d(seen, _WIDE, 3, stride=2, padding=1)
        self.around = nn.ModuleList([nn.Conv2d(_WIDE, _WIDE, 3, padding=step, dilation=step) for step in (1, 2, 4, 8)])
        self.fine = nn.Conv2d(seen, _FINE, 3, padding=1)
        self.lift = nn.Conv2d(_WIDE, _FINE, 1)
        self.heat = nn.Conv2d(_FINE, 2 * _SUB**2, 1)
        width = 2 * _WIDE + 4 * _POOL**2 + 6
        hidden = config.hidden_size
        self.summary = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, hidden), nn.SiLU(), nn.Linear(hidden, hidden)
        )

    def forward(self, features: torch.Tensor, states: torch.Tensor, clicks: torch.Tensor) -> Drawing:
        """Draw; ``features``: (n, C, h, w), ``states``: (n, hidden), ``clicks``: (n, 2, h, w), those spoken of."""
        count, channels = features.shape[:2]
        query = self.query(states).view(count, self.maps, channels + 1)
        drawn = torch.einsum("nkc,nchw->nkhw", query[..., :-1] / channels**0.5, features) + query[..., -1, None, None]
        shared = self.shared(features)
        target, covered = drawn[:, 0].float(), shared[:, 0].float()
        seen = torch.cat([drawn, shared, clicks.to(drawn.dtype), ramps(drawn)], dim=1)
        wide = functional.silu(self.coarse(seen))
        for around in self.around:
            wide = wide + functional.silu(around(wide))
        lifted = functional.interpolate(self.lift(wide), scale_factor=2.0, mode="bilinear", align_corners=False)
        heat = functional.pixel_shuffle(self.heat(functional.silu(self.fine(seen) + lifted)).float(), _SUB)
        heat = functional.interpolate(heat, size=(self.bins, self.bins), mode="bilinear", align_corners=False)
        heat = functional.log_softmax(heat.flatten(2), dim=2).view_as(heat)
        return Drawing(target, covered, heat, self._summed(target, covered, wide))

    def _summed(self, target: torch.Tensor, covered: torch.Tensor, wide: torch.Tensor) -> torch.Tensor:
        there, shown = torch.sigmoid(target), torch.sigmoid(covered)
        parts = torch.stack([there, shown, there * (1 - shown), shown * (1 - there)], dim=1)
        pooled = functional.adaptive_avg_pool2d(parts, _POOL).flatten(1) * 4
        sizes = parts.sum(dim=(2, 3))
        both = (there * shown).sum(dim=(1, 2)) / (sizes[:, 0] + sizes[:, 3] + 1)
        peak = target.flatten(1).amax(dim=1)
        flat = wide.float().flatten(2)
        told = [flat.mean(dim=2), flat.amax(dim=2), pooled, torch.log1p(sizes), both[:, None], peak[:, None]]
        return self.summary(torch.cat(told, dim=1).to(wide.dtype))  # type: ignore[no-any-return]
