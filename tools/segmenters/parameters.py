"""The numbers that tune the embedded segmenters, in one frozen value."""

from dataclasses import dataclass

__all__ = ["Parameters"]


@dataclass(frozen=True, slots=True)
class Parameters:
    """Lengths are in working pixels, colours in units of the picture's grey range, energies in log odds.

    Chosen on synthetic pictures and a few real slices (EXPERIMENTS.md).
    """

    side: int = 256  # the working picture's longer side, at most
    # geodesic maps: what a step costs, plain, in another colour and across an edge
    step: float = 0.02
    colour_cost: float = 8.0
    edge_cost: float = 6.0
    tolerance: float = 0.04
    # where a click's object ends: how little the candidates' merits are believed (temperature of their softmax); the
    # merit of holding a click of the same or the other sign, and of being far larger than `ample` times the disc that
    # reaches the nearest click of the other sign
    doubt: float = 2.0
    wide: float = 0.5  # positive clicks so far apart, in picture sides, may mean an object along the picture's border
    agree: float = 0.5
    clash: float = 5.0
    close: float = 5.0
    ample: float = 0.3
    # a correction reaches over this share of the mask so far, or so many times what is seen to be wrong
    reach: float = 0.35
    widen: float = 2.0
    # the mask so far: its weight, how much it silences the clicks, how fast it is distrusted when a correction is
    # large beside it, and how that distrust fades with each click
    weight_old: float = 2.4
    fade: float = 0.6
    trust: float = 0.25
    grow: float = 1.0
    # the latest click rules within `near` corrections, `local` object sizes, at least `least`; or `along` its own map
    near: float = 3.0
    local: float = 0.5
    least: float = 6.0
    along: float = 0.6
    # around the latest click, a disc of this share of the correction is taken to be wrong
    disc: float = 0.8
    weight_disc: float = 3.0
    # a click adds or removes at most so many discs that reach from it to the contour of the mask so far; it adds at
    # most so many times that mask, or this share of the picture, divided by the number of prompts before it
    most_added: float = 8.0
    most_removed: float = 10.0
    outgrow: float = 8.0
    least_added: float = 0.12
    # geocut alone: colour likelihoods, and the pair weights of the cut
    weight_colour: float = 0.5
    smoothness: float = 6.0
    floor: float = 0.1
