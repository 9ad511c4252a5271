"""What phantoms a folder is to hold, and each of them."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ibisagent.tools.errors import InputError
from ibisagent.training.phantoms import DIFFICULTY, MODALITIES, SIZE, Phantom, draw, require_drawable

__all__ = ["ASKS", "Spec"]

ASKS = ("present", "absent", "foreign", "reasoning", "comparison")
"""What a row asks for: a target that is there; one that could be but is not; one of another modality; a target that
is described, not named, or an abnormality; one of several by comparing them."""

_ASKING = 2


@dataclass(frozen=True, slots=True)
class Spec:
    """What to write: ``n`` pictures, modalities in turn, from ``seed`` up; rows of the kinds ``asks``.

    ``one``: a single row a picture, drawn at random; ``size`` in pixels and ``difficulty``: one for all, or (smallest,
    largest) to draw each from.
    """

    n: int
    seed: int = 0
    size: int | tuple[int, int] = SIZE
    difficulty: float | tuple[float, float] = DIFFICULTY
    modalities: tuple[str, ...] = MODALITIES
    asks: tuple[str, ...] = ASKS
    one: bool = False

    def __post_init__(self) -> None:
        """Refuse with `InputError` what cannot be drawn."""
        if self.n < 1:
            raise InputError(f"got n={self.n}, expected 1 picture or more; raise it")
        for name, known in (("modalities", MODALITIES), ("asks", ASKS)):
            given = getattr(self, name)
            unknown = [each for each in given if each not in known]
            if unknown or not given:
                got = repr(unknown[0][:40]) if unknown else "none"
                raise InputError(f"got {got} among {name}, expected some of {', '.join(known)}; name those")
        for size in _ends("size", self.size):
            for difficulty in _ends("difficulty", self.difficulty):
                require_drawable(self.modalities[0], self.seed, int(size), difficulty)

    def name(self, index: int) -> str:
        """Give the name of the files of a picture, 0 to n - 1."""
        return f"{self.modalities[index % len(self.modalities)]}-{self.seed + index:08d}"

    def phantom(self, index: int) -> tuple[Phantom, np.random.Generator]:
        """Draw a picture, 0 to n - 1; what is asked of it is drawn from the generator that comes with it."""
        modality, seed = self.modalities[index % len(self.modalities)], self.seed + index
        rng = np.random.default_rng([seed, MODALITIES.index(modality), _ASKING])
        size = int(rng.integers(self.size[0], self.size[1] + 1)) if isinstance(self.size, tuple) else self.size
        hard = float(rng.uniform(*self.difficulty)) if isinstance(self.difficulty, tuple) else self.difficulty
        return draw(modality, seed, size, hard), rng

    def told(self) -> dict[str, Any]:
        """Give it JSON-plain."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


def _ends(name: str, value: float | tuple[float, float]) -> tuple[float, float]:
    low, high = value if isinstance(value, tuple) else (value, value)
    if low > high:
        raise InputError(f"got {name} from {low} to {high}, expected the smaller one first; swap them")
    return low, high
