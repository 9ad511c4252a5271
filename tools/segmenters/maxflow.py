"""The exact minimum cut of a 4-connected grid (Greig, Porteous and Seheult 1989), on scipy's maximum flow."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

from ibisagent.tools.segmenters.base import Mask

Floats = NDArray[np.floating]
Ints = NDArray[np.int32]

__all__ = ["compute_energy", "min_cut"]

UNIT = 1000  # energies are rounded to 1 / UNIT: the flow works on whole numbers


class _Layout(NamedTuple):
    """A grid's arcs in compressed rows; ``order`` sorts capacities given pair by pair into them."""

    indices: Ints
    indptr: Ints
    order: NDArray[np.intp]


@lru_cache(maxsize=8)
def _lay_out_arcs(height: int, width: int) -> _Layout:
    """Lay out right, left, down, up, source-pixel, pixel-source, pixel-sink, sink-pixel arcs, in this order.

    Every arc has its reverse (of capacity 0 at the terminals), so scipy need not add any.
    """
    ids = np.arange(height * width, dtype=np.int32).reshape(height, width)
    left, right, upper, lower = ids[:, :-1].ravel(), ids[:, 1:].ravel(), ids[:-1].ravel(), ids[1:].ravel()
    pixels = ids.ravel()
    source, sink = np.full_like(pixels, pixels.size), np.full_like(pixels, pixels.size + 1)
    tails = np.concatenate([left, right, upper, lower, source, pixels, pixels, sink])
    heads = np.concatenate([right, left, lower, upper, pixels, source, sink, pixels])
    order = np.lexsort((heads, tails))
    counts = np.bincount(tails, minlength=pixels.size + 2)
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    return _Layout(heads[order], indptr, order)


def _quantize(values: Floats) -> Ints:
    return np.rint(values.ravel() * UNIT).astype(np.int32)


def min_cut(unary: Floats, right: Floats, down: Floats) -> Mask:
    """Return the mask x, (h, w) bool, that minimises -sum(unary * x) + sum(weight * [x differs across the pair]).

    ``right`` (h, w - 1) and ``down`` (h - 1, w): weights >= 0 of the pairs (a pixel, its right or lower neighbour).
    Of several optimal masks it is the smallest. Values are rounded to 0.001; keep them below 10,000.
    """
    height, width = unary.shape
    layout = _lay_out_arcs(height, width)
    pull, across, along = _quantize(unary), _quantize(right), _quantize(down)
    gain, loss, none = np.maximum(pull, 0), np.maximum(-pull, 0), np.zeros_like(pull)
    capacity = np.concatenate([across, across, along, along, gain, none, loss, none])[layout.order]
    size = (unary.size + 2, unary.size + 2)
    graph = csr_array((capacity, layout.indices, layout.indptr), shape=size)
    flow = maximum_flow(graph, unary.size, unary.size + 1, method="dinic").flow
    rest = csr_array((capacity - flow.data, layout.indices, layout.indptr), shape=size, copy=True)
    rest.eliminate_zeros()
    reached = breadth_first_order(rest, unary.size, return_predecessors=False)
    mask = np.zeros(unary.size + 2, np.bool_)
    mask[reached] = True
    return mask[: unary.size].reshape(height, width)


def compute_energy(mask: Mask, unary: Floats, right: Floats, down: Floats) -> float:
    """Evaluate what `min_cut` minimises."""
    cut_right, cut_down = mask[:, 1:] != mask[:, :-1], mask[1:] != mask[:-1]
    return float(-unary[mask].sum() + right[cut_right].sum() + down[cut_down].sum())
