"""The vision tower: a small U-Net, whose finest level is what is drawn on and whose coarsest the text layers read."""

from itertools import pairwise
from typing import Any, cast

import torch
from torch import nn
from torch.nn import functional

from ibisagent.agent.policies.pointer.configuration import PointerConfig

__all__ = ["Tower", "ramps"]

_GROUP = 8  # channels that are normalised together


class Tower(nn.Module):
    """From patches to features at a quarter of the picture's side, and to one token for each merged patch."""

    def __init__(self, config: PointerConfig) -> None:
        """Build it of a config's sizes."""
        super().__init__()
        first, *widths = config.widths
        last = widths[-1]
        self.config, self.across = config, config.picture // config.patch // config.merge
        self.stem = nn.Conv2d(5, first, 4, stride=2, padding=1)
        self.levels = nn.ModuleList(
            nn.Sequential(nn.Conv2d(before, width, 3, 2, 1), *(_Block(width) for _ in range(depth)))
            for before, width, depth in zip(config.widths, widths, config.depths, strict=False)
        )
        heads = last // 32
        self.places = nn.Parameter(torch.zeros(1, (config.picture // 16) ** 2, last))
        self.mixing = nn.ModuleList([_Mix(last, heads) for _ in range(2)])
        self.tokens = nn.Linear(last, config.hidden_size)
        self.laterals = nn.ModuleList([nn.Conv2d(low, high, 1) for high, low in pairwise(widths)])
        self.merges = nn.ModuleList([_Block(width) for width in widths[:-1]])
        self.calm, self.calmer = nn.GroupNorm(widths[0] // _GROUP, widths[0]), nn.LayerNorm(last)
        self.out = nn.Conv2d(widths[0], config.features, 1)

    def forward(self, patches: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Give features (B, features, side / 4, side / 4) and tokens (B, tokens, hidden) of Qwen-VL's patches."""
        shown = self._picture(patches)
        held = []
        now = self.stem(torch.cat([shown, ramps(shown)], dim=1))
        now = functional.silu(now)
        for level in self.levels:
            now = level(now)
            held.append(now)
        batch, width, rows, columns = now.shape
        flat = now.flatten(2).transpose(1, 2) + self.places
        for mix in self.mixing:
            flat = mix(flat)
        now = flat.transpose(1, 2).reshape(batch, width, rows, columns)
        for lateral, merge, finer in zip(
            reversed(self.laterals), reversed(self.merges), reversed(held[:-1]), strict=True
        ):
            now = merge(finer + functional.interpolate(lateral(now), scale_factor=2.0, mode="nearest"))
        pooled = functional.adaptive_avg_pool2d(flat.transpose(1, 2).reshape(batch, width, rows, columns), self.across)
        return self.out(self.calm(now)), self.tokens(self.calmer(pooled.flatten(2).transpose(1, 2)))

    def _picture(self, patches: torch.Tensor) -> torch.Tensor:
        """Put patches, (B x patches, 3 x 2 x patch x patch), together again: (B, 3, side, side)."""
        side, patch, merge = self.config.picture, self.config.patch, self.config.merge
        across = side // patch // merge
        cut = patches.view(-1, across, across, merge, merge, 3, 2, patch, patch)[:, :, :, :, :, :, 0]
        shown = cut.permute(0, 5, 1, 3, 6, 2, 4, 7).reshape(-1, 3, side, side)
        return shown.to(self.stem.weight.dtype).contiguous(memory_format=torch.channels_last)


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = (nn.Conv2d(width, width, 3, padding=1, bias=False) for _ in range(2))
        self.calm, self.calmer = (nn.GroupNorm(width // _GROUP, width) for _ in range(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner = self.first(functional.silu(self.calm(x)))
        return x + cast(torch.Tensor, self.second(functional.silu(self.calmer(inner))))


class _Mix(nn.Module):
    """Let all places of the coarsest level see each other."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.calm, self.calmer = nn.LayerNorm(width), nn.LayerNorm(width)
        self.asked, self.said = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, length, width = x.shape
        parts = self.asked(self.calm(x)).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        query, key, value = parts.unbind(0)
        score = torch.softmax(query @ key.transpose(2, 3) / query.shape[-1] ** 0.5, dim=-1)
        x = x + self.said((score @ value).transpose(1, 2).reshape(batch, length, width))
        return x + cast(torch.Tensor, self.down(functional.silu(self.up(self.calmer(x)))))


def ramps(like: torch.Tensor) -> torch.Tensor:
    """Give two channels, (B, 2, H, W), that tell each place of ``like`` where it is, from -1 to 1."""
    rows, columns = (torch.linspace(-1, 1, n, device=like.device, dtype=like.dtype) for n in like.shape[-2:])
    both: Any = torch.stack(torch.meshgrid(rows, columns, indexing="ij"))
    return both.expand(like.shape[0], -1, -1, -1)  # type: ignore[no-any-return]
