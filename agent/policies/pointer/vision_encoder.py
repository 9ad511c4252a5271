"""The vision encoder: a small U-Net; the pointer head reads its finest level, the text layers its coarsest."""

from itertools import pairwise
from typing import Any, cast

import torch
from torch import nn
from torch.nn import functional

from ibisagent.agent.policies.pointer.configuration import PointerConfig

__all__ = ["VisionEncoder", "coord_channels"]

_GROUP = 8  # channels that are normalised together


class VisionEncoder(nn.Module):
    """From patches to features at a quarter of the picture's side, and to one token for each merged patch."""

    def __init__(self, config: PointerConfig) -> None:
        """Build the layers from a config."""
        super().__init__()
        first, *widths = config.widths
        last = widths[-1]
        self.config, self.grid_size = config, config.image_size // config.patch_size // config.spatial_merge_size
        self.stem = nn.Conv2d(5, first, 4, stride=2, padding=1)
        self.stages = nn.ModuleList(
            nn.Sequential(nn.Conv2d(before, width, 3, 2, 1), *(_ResidualBlock(width) for _ in range(depth)))
            for before, width, depth in zip(config.widths, widths, config.depths, strict=False)
        )
        heads = last // 32
        self.pos_embed = nn.Parameter(torch.zeros(1, (config.image_size // 16) ** 2, last))
        self.blocks = nn.ModuleList([_AttentionBlock(last, heads) for _ in range(2)])
        self.token_proj = nn.Linear(last, config.hidden_size)
        self.laterals = nn.ModuleList([nn.Conv2d(low, high, 1) for high, low in pairwise(widths)])
        self.merges = nn.ModuleList([_ResidualBlock(width) for width in widths[:-1]])
        self.feature_norm, self.token_norm = nn.GroupNorm(widths[0] // _GROUP, widths[0]), nn.LayerNorm(last)
        self.feature_proj = nn.Conv2d(widths[0], config.feature_channels, 1)

    def forward(self, patches: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Encode Qwen-VL's patches.

        Return features (B, features, side / 4, side / 4), tokens (B, tokens, hidden), and what the first layer saw, at
        half of the side (B, first of the widths, side / 2, side / 2).
        """
        shown = self._unpatchify(patches)
        held = []
        now = self.stem(torch.cat([shown, coord_channels(shown)], dim=1))
        first = now = functional.silu(now)
        for level in self.stages:
            now = level(now)
            held.append(now)
        batch, width, rows, columns = now.shape
        flat = now.flatten(2).transpose(1, 2) + self.pos_embed
        for block in self.blocks:
            flat = block(flat)
        now = flat.transpose(1, 2).reshape(batch, width, rows, columns)
        for lateral, merge, finer in zip(
            reversed(self.laterals), reversed(self.merges), reversed(held[:-1]), strict=True
        ):
            now = merge(finer + functional.interpolate(lateral(now), scale_factor=2.0, mode="nearest"))
        pooled = functional.adaptive_avg_pool2d(
            flat.transpose(1, 2).reshape(batch, width, rows, columns), self.grid_size
        )
        tokens = self.token_proj(self.token_norm(pooled.flatten(2).transpose(1, 2)))
        return self.feature_proj(self.feature_norm(now)), tokens, first

    def _unpatchify(self, patches: torch.Tensor) -> torch.Tensor:
        """Assemble patches, (B x patches, 3 x 2 x patch x patch), to pictures, (B, 3, side, side)."""
        side, patch, merge = self.config.image_size, self.config.patch_size, self.config.spatial_merge_size
        across = side // patch // merge
        cut = patches.view(-1, across, across, merge, merge, 3, 2, patch, patch)[:, :, :, :, :, :, 0]
        shown = cut.permute(0, 5, 1, 3, 6, 2, 4, 7).reshape(-1, 3, side, side)
        return shown.to(self.stem.weight.dtype).contiguous(memory_format=torch.channels_last)


class _ResidualBlock(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = (nn.Conv2d(width, width, 3, padding=1, bias=False) for _ in range(2))
        self.norm1, self.norm2 = (nn.GroupNorm(width // _GROUP, width) for _ in range(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner = self.conv1(functional.silu(self.norm1(x)))
        return x + cast(torch.Tensor, self.conv2(functional.silu(self.norm2(inner))))


class _AttentionBlock(nn.Module):
    """Self-attention over all positions of the coarsest level."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.fc1, self.fc2 = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, length, width = x.shape
        parts = self.qkv(self.norm1(x)).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        query, key, value = parts.unbind(0)
        score = torch.softmax(query @ key.transpose(2, 3) / query.shape[-1] ** 0.5, dim=-1)
        x = x + self.proj((score @ value).transpose(1, 2).reshape(batch, length, width))
        return x + cast(torch.Tensor, self.fc2(functional.silu(self.fc1(self.norm2(x)))))


def coord_channels(like: torch.Tensor) -> torch.Tensor:
    """Return two channels, (B, 2, H, W), with the row and the column of each position of ``like``, from -1 to 1."""
    rows, columns = (torch.linspace(-1, 1, n, device=like.device, dtype=like.dtype) for n in like.shape[-2:])
    both: Any = torch.stack(torch.meshgrid(rows, columns, indexing="ij"))
    return both.expand(like.shape[0], -1, -1, -1)  # type: ignore[no-any-return]
