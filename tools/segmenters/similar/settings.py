"""The numbers that tune "all like this", in one frozen value."""

from dataclasses import dataclass

__all__ = ["SimilarSettings"]


@dataclass(frozen=True, slots=True)
class SimilarSettings:
    """Lengths are in pixels of a picture of at most 384, energies in log odds.

    Chosen on the training split of real pictures (EXPERIMENTS.md).
    """

    window: int = 160  # the square around an example in which its object is looked for
    # the first example's object: up to this share of its geodesic level; what surrounds it: beyond that share of it
    core: float = 0.8
    beyond: float = 1.15
    largest: float = 0.3  # share of the window that an example's object may fill
    ring: float = 1.0  # width of what surrounds it, in radii of the object
    trims: int = 2  # times that pixels around it which look like it are taken out of the counterexamples
    # the classifier: its penalty, the weight of unlabelled pixels, rounds of expectation and maximisation
    ridge: float = 0.9
    unlabelled: float = 0.3
    rounds: int = 2
    threshold: float = 0.5  # how far the decision moves towards Otsu's threshold
    # a later example: pixels around it, weights at which the classifier is fitted anew
    seed_radius: float = 3.0
    reach: float = 0.7
    seed_weight: float = 10.0
    anchor: float = 400.0
    change_ridge: float = 0.05
    weights: tuple[float, ...] = (0.1, 0.3, 1.0, 3.0, 10.0)
    most_growth: float = 1.0
    against: float = 0.15
    # the cut: scale and bound of the log odds, weight and floor of the pairs
    scale: float = 1.05
    bound: float = 4.0
    smoothness: float = 1.0
    floor: float = 0.1
    disc: float = 2.0  # radius of the disc that an example settles
