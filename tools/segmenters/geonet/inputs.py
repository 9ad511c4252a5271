"""What the network sees: colours, clicks and colours like theirs, the mask so far, and geocut's energy."""

from collections.abc import Sequence

import numpy as np

from ibisagent.tools.segmenters.base import Mask
from ibisagent.tools.segmenters.features import Features, Field
from ibisagent.tools.segmenters.geodesic import MAX_ENERGY
from ibisagent.tools.segmenters.geonet.view import SIDE, SquareView
from ibisagent.tools.segmenters.working_grid import GridClick, GridPrompts, fill_box

__all__ = ["CHANNELS", "ENERGY", "make_inputs"]

CHANNELS = (
    *("first colour", "second colour", "third colour", "within the picture"),
    *("positive discs", "negative discs", "latest disc", "unlike positive", "unlike negative"),
    *("near positive", "near negative", "mask so far", "box", "energy"),
)
ENERGY = CHANNELS.index("energy")
_DISC = 3.0  # radius of a click's disc, in pixels of the view
_NEAR = 12.0  # pixels of the view over which nearness falls to 1 / e
_UNLIKE = 3.0  # the largest difference of colours, in spreads of the view's colours
_LEAST_SPREAD = 0.02  # of colours from 0 to 1, below which they are not stretched


def make_inputs(
    features: Features, view: SquareView, grid_prompts: GridPrompts, before: Mask | None, energy: Field
) -> Field:
    """Return a state as the network sees it, (channels, SIDE, SIDE) float32; see `CHANNELS`.

    ``before``: the mask so far, (h, w) bool. ``energy``: geocut's, (h, w), of all prompts.
    """
    work = features.grid.work
    colours, within = _look_at_colours(features, view)
    latest = grid_prompts.clicks[-1:] if not grid_prompts.box_is_latest else []
    places = {sign: _to_view([c for c in grid_prompts.clicks if c.positive == sign], view) for sign in (True, False)}
    positive, negative = (_measure_distances(places[sign]) for sign in (True, False))
    box = grid_prompts.box
    channels = (
        *np.moveaxis(colours, 2, 0),
        within,
        positive < _DISC,
        negative < _DISC,
        _measure_distances(_to_view(latest, view)) < _DISC,
        _compare(colours, places[True]) * within,
        _compare(colours, places[False]) * within,
        np.exp(-positive / _NEAR),
        np.exp(-negative / _NEAR),
        view.look(before, work) if before is not None else np.zeros_like(within),
        view.look(fill_box(box, work), work) if box is not None else np.zeros_like(within),
        view.look(np.clip(energy, -MAX_ENERGY, MAX_ENERGY), work) / MAX_ENERGY,
    )
    return np.stack([np.asarray(channel, np.float32) for channel in channels])


def _look_at_colours(features: Features, view: SquareView) -> tuple[Field, Field]:
    """Return colours of mean 0 and spread 1, (SIDE, SIDE, 3), and which pixels are of the picture, (SIDE, SIDE)."""
    assert features.picture is not None
    within = view.look(np.ones(features.grid.work, np.float32), features.grid.work)
    colours = view.look(features.picture, features.grid.work) / np.float32(255)
    colours = np.repeat(colours[..., None], 3, axis=2) if colours.ndim == 2 else colours
    seen = colours[within > 0]
    if not len(seen):
        return colours, within
    spread = max(float(np.sqrt(seen.var(axis=0).mean())), _LEAST_SPREAD)
    return np.asarray((colours - seen.mean(axis=0)) / spread * within[..., None], np.float32), within


def _to_view(clicks: Sequence[GridClick], view: SquareView) -> list[tuple[float, float]]:
    """Return the places of clicks in the view, in its pixels."""
    scale = view.scale()
    return [
        ((click.pixel.row + 0.5 - view.top) * scale - 0.5, (click.pixel.column + 0.5 - view.left) * scale - 0.5)
        for click in clicks
    ]


def _measure_distances(places: Sequence[tuple[float, float]]) -> Field:
    """Return the distance to the nearest place, (SIDE, SIDE), in pixels of the view; far where there is none."""
    rows, columns = np.ogrid[:SIDE, :SIDE]
    nearest = np.full((SIDE, SIDE), 1e6, np.float32)
    for row, column in places:
        np.minimum(nearest, (rows - np.float32(row)) ** 2 + (columns - np.float32(column)) ** 2, out=nearest)
    return np.asarray(np.sqrt(nearest))


def _compare(colours: Field, places: Sequence[tuple[float, float]]) -> Field:
    """Return the difference to the nearest of the colours at places, (SIDE, SIDE), from 0 to `_UNLIKE`."""
    nearest = np.full((SIDE, SIDE), _UNLIKE, np.float32)
    for place in places:
        row, column = (min(SIDE - 1, max(0, round(value))) for value in place)
        patch = colours[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2].reshape(-1, 3).mean(axis=0)
        np.minimum(nearest, np.sqrt(((colours - patch) ** 2).mean(axis=2)), out=nearest)
    return nearest
