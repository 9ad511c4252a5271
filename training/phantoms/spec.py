"""The specification of a folder of phantoms."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ibisagent.tools.errors import InputError
from ibisagent.training.phantoms import DIFFICULTY, KINDS, MODALITIES, SIZE, Phantom, draw, require_drawable

__all__ = ["REQUEST_KINDS", "PhantomDatasetSpec"]

REQUEST_KINDS = ("present", "absent", "foreign", "reasoning", "comparison")
"""The kinds of requests: a target that is there; one that could be but is not; one of another modality; a target that
is described, not named, or an abnormality; one of several by comparing them."""

_REQUEST_STREAM = 2


@dataclass(frozen=True, slots=True)
class PhantomDatasetSpec:
    """What to write: ``count`` pictures, modalities in turn, from ``seed`` up; rows of ``request_kinds``.

    ``single_row``: one row a picture, drawn at random; ``size`` in pixels and ``difficulty``: one for all, or
    (smallest, largest) to draw each from.
    """

    count: int
    seed: int = 0
    size: int | tuple[int, int] = SIZE
    difficulty: float | tuple[float, float] = DIFFICULTY
    modalities: tuple[str, ...] = MODALITIES
    request_kinds: tuple[str, ...] = REQUEST_KINDS
    single_row: bool = False

    def __post_init__(self) -> None:
        """Refuse with `InputError` what cannot be drawn."""
        if self.count < 1:
            raise InputError(f"got count={self.count}, expected 1 picture or more; raise it")
        for name, known in (("modalities", KINDS), ("request_kinds", REQUEST_KINDS)):
            given = getattr(self, name)
            unknown = [each for each in given if each not in known]
            if unknown or not given:
                got = repr(unknown[0][:40]) if unknown else "none"
                raise InputError(f"got {got} among {name}, expected some of {', '.join(known)}; name those")
        for size in _bounds("size", self.size):
            for difficulty in _bounds("difficulty", self.difficulty):
                require_drawable(self.modalities[0], self.seed, int(size), difficulty)

    def file_name(self, index: int) -> str:
        """Return the name of the files of a picture, 0 to count - 1."""
        return f"{self.modalities[index % len(self.modalities)]}-{self.seed + index:08d}"

    def draw_phantom(self, index: int) -> tuple[Phantom, np.random.Generator]:
        """Draw a picture, 0 to count - 1, with the random generator that its requests are drawn from."""
        modality, seed = self.modalities[index % len(self.modalities)], self.seed + index
        rng = np.random.default_rng([seed, KINDS.index(modality), _REQUEST_STREAM])
        size = int(rng.integers(self.size[0], self.size[1] + 1)) if isinstance(self.size, tuple) else self.size
        hard = float(rng.uniform(*self.difficulty)) if isinstance(self.difficulty, tuple) else self.difficulty
        return draw(modality, seed, size, hard), rng

    def to_json(self) -> dict[str, Any]:
        """Return the specification as plain JSON."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


def _bounds(name: str, value: float | tuple[float, float]) -> tuple[float, float]:
    low, high = value if isinstance(value, tuple) else (value, value)
    if low > high:
        raise InputError(f"got {name} from {low} to {high}, expected the smaller one first; swap them")
    return low, high
