"""The contact sheet of a spec's first phantoms: masks tinted, and their names in the same colors."""

import numpy as np
from PIL import Image

from ibisagent.evals.contact_sheets.text import Color, TextLine, draw_line, line_height, text_width
from ibisagent.tools.imaging.grids import Mask
from ibisagent.training.phantoms import Phantom
from ibisagent.training.phantoms.spec import PhantomDatasetSpec

__all__ = ["draw_phantom_sheet"]

_SHOWN, _COLUMNS = 18, 6
_SIDE, _GAP, _TEXT, _LINES = 224, 6, 13, 4
_PAPER: Color = (28, 28, 28)
_PLAIN: Color = (235, 235, 235)
_TINTS: tuple[Color, ...] = (
    *((86, 180, 233), (230, 159, 0), (0, 190, 130), (240, 228, 66), (225, 130, 185)),
    *((255, 95, 60), (120, 150, 255), (180, 230, 120), (200, 170, 140)),
)
_OPACITY = 0.4


def draw_phantom_sheet(spec: PhantomDatasetSpec) -> Image.Image:
    """Draw the first 18 phantoms of a spec, six per row, RGB; each with its modality and seed below."""
    tiles = [_tile(spec.draw_phantom(index)[0]) for index in range(min(spec.count, _SHOWN))]
    columns, (width, height) = min(_COLUMNS, len(tiles)), tiles[0].size
    sheet = Image.new("RGB", (columns * width + _GAP, -(-len(tiles) // columns) * height + _GAP), _PAPER)
    for index, tile in enumerate(tiles):
        sheet.paste(tile, (_GAP + index % columns * width, _GAP + index // columns * height))
    return sheet


def _tile(phantom: Phantom) -> Image.Image:
    inks = dict(zip(phantom.masks, _TINTS * len(phantom.masks), strict=False))
    picture = Image.fromarray(_tinted(phantom, inks)).resize((_SIDE, _SIDE), Image.Resampling.BICUBIC)
    tile = Image.new("RGB", (_SIDE + _GAP, _SIDE + _LINES * line_height(_TEXT) + 2 * _GAP), _PAPER)
    tile.paste(picture)
    x, y = 0.0, _SIDE + _GAP // 2
    for text, ink in {f"{phantom.modality} {phantom.seed}": _PLAIN, **inks}.items():
        wide = text_width(text, _TEXT)
        if x + wide > _SIDE:
            x, y = 0.0, y + line_height(_TEXT)
        draw_line(tile, (round(x), y), TextLine(text, _TEXT, ink))
        x += wide + _GAP
    return tile


def _tinted(phantom: Phantom, inks: dict[str, Color]) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Tint the picture, (H, W, 3) uint8; where masks overlap the smallest shows."""
    grey = phantom.image.ndim == 2
    picture = np.repeat(phantom.image[..., None], 3, axis=2) if grey else phantom.image
    seen = picture.astype(np.float32)

    def area(name: str) -> int:
        mask: Mask = phantom.masks[name]
        return -int(np.count_nonzero(mask))

    for name in sorted(phantom.masks, key=area):
        mask = phantom.masks[name]
        seen[mask] = (1 - _OPACITY) * picture[mask] + _OPACITY * np.asarray(inks[name], np.float32)
    return np.rint(seen).astype(np.uint8)
