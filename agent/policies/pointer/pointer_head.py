"""The head that turns an image's features and a request into maps of the target and of clicks, and their summary."""

from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional

from ibisagent.agent.policies.pointer.configuration import PointerConfig
from ibisagent.agent.policies.pointer.vision_encoder import coord_channels

__all__ = ["PointerHead", "PointerMaps"]

_WIDE = 32
_FINE = 16
_SHARED = 8
_SUB = 2  # upsampling of the heat map over the features
_POOL = 5


class PointerMaps(NamedTuple):
    """The maps of n requests.

    ``target_logits``, ``mask_logits``: (n, h, w), of the target and of the mask that the picture shows.
    ``click_logprobs``: (n, 2, bins, bins) of a positive and a negative click, rows first. ``summary``: (n, hidden).
    ``fine_logits``: (n, 2 h, 2 w), the target by the fine drawing, None where it was not asked for.
    """

    target_logits: torch.Tensor
    mask_logits: torch.Tensor
    click_logprobs: torch.Tensor
    summary: torch.Tensor
    fine_logits: torch.Tensor | None = None


class PointerHead(nn.Module):
    """From features and the hidden state of a request to `PointerMaps`."""

    def __init__(self, config: PointerConfig) -> None:
        """Build the layers from a config."""
        super().__init__()
        self.num_maps, self.num_bins = config.num_maps, config.num_coordinates
        self.query = nn.Linear(config.hidden_size, config.num_maps * (config.feature_channels + 1))
        self.shared = nn.Conv2d(config.feature_channels, _SHARED, 1)
        channels = config.num_maps + _SHARED + 2 + 2
        self.coarse = nn.Conv2d(channels, _WIDE, 3, stride=2, padding=1)
        self.dilated = nn.ModuleList([nn.Conv2d(_WIDE, _WIDE, 3, padding=step, dilation=step) for step in (1, 2, 4, 8)])
        self.fine = nn.Conv2d(channels, _FINE, 3, padding=1)
        self.coarse_proj = nn.Conv2d(_WIDE, _FINE, 1)
        self.heatmap = nn.Conv2d(_FINE, 2 * _SUB**2, 1)
        width = 2 * _WIDE + 4 * _POOL**2 + 6
        hidden = config.hidden_size
        self.summary = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, hidden), nn.SiLU(), nn.Linear(hidden, hidden)
        )

    def forward(self, features: torch.Tensor, states: torch.Tensor, clicks: torch.Tensor) -> PointerMaps:
        """Predict maps; ``features``: (n, C, h, w), ``states``: (n, hidden), ``clicks``: (n, 2, h, w), the prompt's."""
        count, channels = features.shape[:2]
        query = self.query(states).view(count, self.num_maps, channels + 1)
        drawn = torch.einsum("nkc,nchw->nkhw", query[..., :-1] / channels**0.5, features) + query[..., -1, None, None]
        shared = self.shared(features)
        target, covered = drawn[:, 0].float(), shared[:, 0].float()
        seen = torch.cat([drawn, shared, clicks.to(drawn.dtype), coord_channels(drawn)], dim=1)
        wide = functional.silu(self.coarse(seen))
        for dilated in self.dilated:
            wide = wide + functional.silu(dilated(wide))
        lifted = functional.interpolate(self.coarse_proj(wide), scale_factor=2.0, mode="bilinear", align_corners=False)
        heat = functional.pixel_shuffle(self.heatmap(functional.silu(self.fine(seen) + lifted)).float(), _SUB)
        heat = functional.interpolate(heat, size=(self.num_bins, self.num_bins), mode="bilinear", align_corners=False)
        heat = functional.log_softmax(heat.flatten(2), dim=2).view_as(heat)
        return PointerMaps(target, covered, heat, self._summarize(target, covered, wide))

    def _summarize(self, target: torch.Tensor, covered: torch.Tensor, wide: torch.Tensor) -> torch.Tensor:
        there, shown = torch.sigmoid(target), torch.sigmoid(covered)
        parts = torch.stack([there, shown, there * (1 - shown), shown * (1 - there)], dim=1)
        pooled = functional.adaptive_avg_pool2d(parts, _POOL).flatten(1) * 4
        sizes = parts.sum(dim=(2, 3))
        both = (there * shown).sum(dim=(1, 2)) / (sizes[:, 0] + sizes[:, 3] + 1)
        peak = target.flatten(1).amax(dim=1)
        flat = wide.float().flatten(2)
        pooled_features = [flat.mean(dim=2), flat.amax(dim=2), pooled, torch.log1p(sizes), both[:, None], peak[:, None]]
        return self.summary(torch.cat(pooled_features, dim=1).to(wide.dtype))  # type: ignore[no-any-return]
