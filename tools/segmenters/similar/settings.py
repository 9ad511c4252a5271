"""The numbers that tune "all like this", in one frozen value."""

from dataclasses import dataclass

__all__ = ["SimilarSettings"]


@dataclass(frozen=True, slots=True)
class SimilarSettings:
    """Lengths are in pixels of a picture of at most 384, energies in log odds.

    Chosen on the training split of real pictures (EXPERIMENTS.md).
    """

    window: int = 256  # the square around an example in which its object is looked for
    # the first example's object: up to this share of its geodesic level; what surrounds it: beyond that share of it
    core: float = 0.8
    beyond: float = 1.15
    largest: float = 0.3  # share of the window that an example's object may fill
    ring: float = 1.0  # width of what surrounds it, in radii of the object
    trims: int = 2  # times that pixels around it which look like it are taken out of the counterexamples
    # the classifier: its penalty, the weight of unlabelled pixels where that of the first object is 100, rounds of
    # expectation and maximisation, and how far the decision moves to Otsu's threshold
    ridge: float = 0.9
    unlabelled: float = 120.0
    rounds: int = 2
    threshold: float = 1.0
    guard: float = 0.5
    # negative examples before the first positive one: the radius that each speaks for, and its weight
    seed_radius: float = 3.0
    seed_weight: float = 10.0
    # a correction is learned from when more is wrong than this share of an object's radius; it speaks for this share
    # of what is wrong; spread added to its own when likeness to it is measured
    shallow: float = 0.65
    reach: float = 0.7
    likeness: float = 0.3
    # weights of a correction, tried in this order, that of a pixel of it, the weight of the answers so far, the penalty
    weights: tuple[float, ...] = (0.1, 0.3, 1.0, 3.0, 10.0)
    seed_pixel: float = 0.3
    anchor: float = 400.0
    change_ridge: float = 0.05
    # what a correction must not exceed, in shares of the mask: growth, loss, and change against its direction
    most_growth: float = 1.5
    most_loss: float = 0.8
    against: float = 0.15
    # the cut: scale and bound of the log odds, weight and floor of the pairs
    scale: float = 1.05
    bound: float = 4.0
    smoothness: float = 1.0
    floor: float = 0.1
    disc: float = 2.0  # radius of the disc that an example settles
