"""Geocut with a learned term: a small network looks at the picture and the clicks, and its log odds join the cut."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ibisagent.tools.errors import InputError
from ibisagent.tools.segmenters.click_evidence import measure_reach
from ibisagent.tools.segmenters.features import Features, Field
from ibisagent.tools.segmenters.geocut import GeocutSegmenter
from ibisagent.tools.segmenters.geodesic import CERTAIN_ENERGY, MAX_ENERGY, MaskPrior
from ibisagent.tools.segmenters.geonet.inputs import make_inputs
from ibisagent.tools.segmenters.geonet.network import WEIGHTS, load_network
from ibisagent.tools.segmenters.geonet.view import SquareView, find_view
from ibisagent.tools.segmenters.working_grid import GridPrompts

__all__ = ["SHARE", "GeonetSegmenter", "join_energies", "open_geonet"]

SHARE = 0.5
"""The network's share in the energy of the cut, geocut's own being the rest."""


@dataclass(frozen=True)
class GeonetSegmenter(GeocutSegmenter):
    """`GeocutSegmenter` whose energy is in part a network's.

    ``weights``: a file that `ibisagent train segmenter` wrote, by default the one that ships.
    """

    weights: Path = WEIGHTS
    share: float = SHARE
    name = "geonet"

    def __post_init__(self) -> None:
        """Open the weights; `InputError` where they cannot be."""
        load_network(self.weights)
        if self.weights != WEIGHTS:  # a record's name does not open it, as it does not any weights
            object.__setattr__(self, "name", "geonet:weights")

    @property
    def fingerprint(self) -> str:
        """Name, version, weights and every parameter in one line."""
        return f"{super().fingerprint} share={self.share} weights={load_network(self.weights).digest}"

    def compute_energy(
        self, embedding: Features, grid_prompts: GridPrompts, prior: MaskPrior | None, kept: bool
    ) -> Field:
        """Return the energy of calling each pixel inside, (h, w), in log odds."""
        energy = super().compute_energy(embedding, grid_prompts, prior, kept)
        before = None if prior is None else prior.work
        view = find_view(embedding.grid.work, before, grid_prompts.clicks, grid_prompts.box)
        inputs = make_inputs(embedding, view, grid_prompts, before, energy)
        with torch.inference_mode():
            seen = load_network(self.weights).network(torch.from_numpy(inputs)[None])[0].numpy()
        joined = join_energies(energy, seen, view, self.share)
        if prior is None or not prior.has_initial_mask or not prior.work.any() or grid_prompts.box_is_latest:
            return joined
        # a given mask changes near the latest click alone, and as that click asks
        latest = grid_prompts.clicks[-1]
        asked = np.maximum(joined - energy, 0) if latest.positive else np.minimum(joined - energy, 0)
        near = 1 - measure_reach(latest, prior.work, self.parameters).far
        return np.asarray(energy + near * asked, np.float32)


def join_energies(energy: Field, seen: Field, view: SquareView, share: float) -> Field:
    """Return geocut's energy, (h, w), and a network's log odds, as its view shows them, as one; clicks stay certain."""
    own = np.clip(energy, -MAX_ENERGY, MAX_ENERGY)
    learned = view.put_back(np.clip(seen, -MAX_ENERGY, MAX_ENERGY), own)
    joined = np.asarray((1 - share) * own + share * learned, np.float32)
    certain = np.abs(energy) >= CERTAIN_ENERGY / 2
    joined[certain] = energy[certain]
    return joined


def open_geonet(name: str) -> GeonetSegmenter:
    """Open ``geonet:FILE`` with the weights of a file; `InputError` where it cannot be read."""
    file = name.partition(":")[2]
    if not file:
        raise InputError(f"segmenter {name!r}: got no file, expected geonet:FILE; name the weights")
    return GeonetSegmenter(weights=Path(file))
