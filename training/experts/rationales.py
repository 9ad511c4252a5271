"""What a teacher thinks: sentences about what the picture and its green mask show, and about nothing else."""

import tomllib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from string import Template
from typing import Any, Literal

import numpy as np

from ibisagent.agent.policies.base import Observation
from ibisagent.tools.clicks import Click
from ibisagent.tools.imaging.grids import Mask
from ibisagent.training.requests.words import verb_of

__all__ = ["Kind", "Style", "answer", "kind_of_click", "place", "think"]

Kind = Literal["first", "miss", "spill", "undo", "drop", "fits", "absent"]
"""What is thought about: a first click, a missed part, a spill, a wrong click or start, a stop, a refusal."""
Style = Literal["short", "full"]

_ACROSS, _DOWN = ("left", "centre", "right"), ("upper", "middle", "lower")
_AROUND = 2  # pixels: how far a look at the brightness goes
_DARK, _BRIGHT = 30, 70  # percentiles of the picture


def place(x: float, y: float) -> str:
    """Name the ninth of the picture that holds unit ``x``, ``y``.

    >>> place(0.1, 0.9), place(0.5, 0.5)
    ('lower left', 'middle centre')
    """
    return f"{_DOWN[min(2, int(y * 3))]} {_ACROSS[min(2, int(x * 3))]}"


def kind_of_click(positive: bool, marked: bool) -> Kind:
    """Tell what a click is for: the sign, and whether anything is marked, show it."""
    return "spill" if not positive else "miss" if marked else "first"


def think(
    kind: Kind, target: str, observation: Observation, click: Click | None, style: Style, rng: np.random.Generator
) -> str:
    """Write the thought before an action; ``click``: the one that follows, if one does.

    ``short`` is one fixed sentence or two a kind, ``full`` two to four that vary.
    """
    words = {"target": target, "is": verb_of(target)}
    if style == "short":
        return _filled(_words()["short"][kind], words | ({"place": place(click.x, click.y)} if click else {}))
    said = [_drawn(choices, rng) for choices in _words()["full"][kind]]
    if click is not None and observation.undone:
        said[0] = _drawn(_words()["full"]["again"]["words"], rng)
    return _filled(" ".join(said), words | (_seen(observation, click) if click else {}))


def answer(kind: Kind, target: str, style: Style, rng: np.random.Generator) -> str | None:
    """Write the answer of a stop; None for what is no stop."""
    choices = _words()[style]["answers"].get(kind)
    if choices is None:
        return None
    return _filled(
        choices if isinstance(choices, str) else _drawn(choices, rng), {"target": target, "is": verb_of(target)}
    )


def _seen(observation: Observation, click: Click) -> dict[str, str]:
    where = place(click.x, click.y)
    return {
        "place": "centre" if where == "middle centre" else where,
        "side": _side(observation.mask, click),
        "look": _look(observation, click),
    }


def _side(mask: Mask, click: Click) -> str:
    """Say on which side of the mask's middle a click lies, (H, W) bool."""
    rows, columns = np.nonzero(mask)
    if rows.size == 0:
        return "outer"
    down = click.y * mask.shape[0] - (rows.mean() + 0.5)
    across = click.x * mask.shape[1] - (columns.mean() + 0.5)
    if abs(down) > abs(across):
        return "upper" if down < 0 else "lower"
    return "left" if across < 0 else "right"


def _look(observation: Observation, click: Click) -> str:
    """Say how bright it is around a click, against the rest of the picture."""
    height, width = observation.picture.shape[:2]
    row, column = min(int(click.y * height), height - 1), min(int(click.x * width), width - 1)
    grey = observation.picture[..., 1]
    low, high = np.percentile(grey[::4, ::4], (_DARK, _BRIGHT))
    around = grey[max(0, row - _AROUND) : row + _AROUND + 1, max(0, column - _AROUND) : column + _AROUND + 1].mean()
    return "bright" if around > high else "dark" if around < low else "grey"


def _filled(template: str, words: dict[str, str]) -> str:
    return Template(template).substitute(words)


def _drawn(choices: Sequence[str], rng: np.random.Generator) -> str:
    return choices[int(rng.integers(len(choices)))]


@cache
def _words() -> dict[str, Any]:
    return tomllib.loads(files("ibisagent.training.experts").joinpath("rationales.toml").read_text(encoding="utf-8"))
