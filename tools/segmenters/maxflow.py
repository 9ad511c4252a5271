"""The exact minimum cut of a grid, or of any pairs (Greig, Porteous and Seheult 1989), on scipy's maximum flow."""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

from ibisagent.tools.segmenters.base import Mask

Floats = NDArray[np.floating]
Ints = NDArray[np.int32]
Nodes = NDArray[np.intp]
Slices = tuple[slice, slice]

__all__ = ["LENGTHS", "STEPS", "PairWeights", "compute_energy", "min_cut", "min_cut_of_pairs", "pair_slices"]

UNIT = 1000  # energies are rounded to 1 / UNIT: the flow works on whole numbers
STEPS = ((0, 1), (1, 0), (1, 1), (1, -1))  # rows and columns from a pixel to the second of its pair
LENGTHS = (0.5, 0.5, 0.354, 0.354)  # of a contour that passes between the two: the weights of an almost round metric


class PairWeights(NamedTuple):
    """Weights >= 0 of a grid's (h, w) pairs: of a pixel and its right (h, w - 1) and lower (h - 1, w) neighbour.

    ``falling`` and ``rising`` (h - 1, w - 1): of a pixel and its lower right one, and of its lower and right ones.
    """

    right: Floats
    down: Floats
    falling: Floats
    rising: Floats


def pair_slices(down: int, across: int) -> tuple[Slices, Slices]:
    """Return the parts of a grid that hold the pixels with a neighbour one of `STEPS` away, and these neighbours."""
    rows, columns = (slice(None, -1), slice(1, None)), (slice(None, -1), slice(1, None))
    one, other = (rows if down else (slice(None), slice(None))), (columns if across else (slice(None), slice(None)))
    return ((one[0], other[0]), (one[1], other[1])) if across >= 0 else ((one[0], other[1]), (one[1], other[0]))


class _Layout(NamedTuple):
    """A grid's arcs in compressed rows; ``order`` sorts capacities, one kind of arc after the other, into them."""

    heads: Ints
    ends: Ints
    order: NDArray[np.intp]


@lru_cache(maxsize=16)
def _lay_out_grid(height: int, width: int, steps: int) -> _Layout:
    ids = np.arange(height * width).reshape(height, width)
    slices = [pair_slices(*step) for step in STEPS[:steps]]
    ones, others = ([ids[pair[side]].ravel() for pair in slices] for side in (0, 1))
    tails, heads = _list_arcs(ids.size, np.concatenate(ones), np.concatenate(others))
    order = np.argsort(tails * (ids.size + 2) + heads)
    ends = np.concatenate([[0], np.cumsum(np.bincount(tails, minlength=ids.size + 2))])
    return _Layout(heads[order].astype(np.int32), ends.astype(np.int32), order)


def _list_arcs(count: int, ones: Nodes, others: Nodes) -> tuple[Nodes, Nodes]:
    """Tails and heads of both arcs of each pair, then of source-node, node-source, node-sink and sink-node arcs.

    Every arc has its reverse (of capacity 0 at the terminals), so scipy need not add any.
    """
    nodes = np.arange(count)
    source, sink = np.full_like(nodes, count), np.full_like(nodes, count + 1)
    tails = np.concatenate([ones, others, source, nodes, nodes, sink])
    return tails, np.concatenate([others, ones, nodes, source, sink, nodes])


def _list_capacities(unary: Floats, weights: Sequence[Floats]) -> Ints:
    """Capacities of these arcs, in whole units."""
    pull, *pairs = (np.rint(values.ravel() * UNIT).astype(np.int32) for values in (unary, *weights))
    none = np.zeros_like(pull)
    return np.concatenate([*pairs, *pairs, np.maximum(pull, 0), none, np.maximum(-pull, 0), none])


def min_cut(unary: Floats, weights: Sequence[Floats]) -> Mask:
    """Return the mask x, (h, w) bool, that minimises -sum(unary * x) + sum(weight * [x differs across the pair]).

    ``weights``: `PairWeights`, or the first two of them alone for a grid of four neighbours.
    Of several optimal masks it is the smallest. Values are rounded to 0.001; keep them below 10,000.
    """
    layout = _lay_out_grid(*unary.shape, len(weights))
    size = (unary.size + 2, unary.size + 2)
    capacity = _list_capacities(unary, weights)[layout.order]
    return _cut(csr_array((capacity, layout.heads, layout.ends), shape=size)).reshape(unary.shape)


def min_cut_of_pairs(unary: Floats, pairs: tuple[Nodes, Nodes], weights: Floats) -> Mask:
    """Return x, (n,) bool, as `min_cut` does, for any pairs of nodes.

    ``unary`` (n,), at least one; ``pairs``: the nodes on either side, each (m,), no pair twice; ``weights`` (m,) >= 0.
    """
    size = (unary.size + 2, unary.size + 2)
    arcs = [ends.astype(np.int32) for ends in _list_arcs(unary.size, *pairs)]
    return _cut(csr_array((_list_capacities(unary, [weights]), tuple(arcs)), shape=size))


def _cut(graph: csr_array) -> Mask:
    """Nodes, (n,) bool, that the source (node n) still reaches at the greatest flow to the sink (node n + 1)."""
    count = graph.shape[0] - 2
    flow = maximum_flow(graph, count, count + 1, method="dinic").flow
    rest = csr_array((graph.data - flow.data, graph.indices, graph.indptr), shape=graph.shape, copy=True)
    rest.eliminate_zeros()
    reached = breadth_first_order(rest, count, return_predecessors=False)
    mask = np.zeros(count + 2, np.bool_)
    mask[reached] = True
    return mask[:count]


def compute_energy(mask: Mask, unary: Floats, weights: PairWeights) -> float:
    """Evaluate what `min_cut` minimises."""
    energy = -float(unary[mask].sum())
    for step, weight in zip(STEPS, weights, strict=True):
        here, there = pair_slices(*step)
        energy += float(weight[mask[here] != mask[there]].sum())
    return energy
