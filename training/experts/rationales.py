"""Rationales: sentences about what the picture and its green mask show, and about nothing else."""

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
from ibisagent.tools.vocabulary.words import verb_of

__all__ = ["RationaleKind", "RationaleStyle", "click_kind", "describe_position", "write_answer", "write_rationale"]

RationaleKind = Literal["first", "false_negative", "false_positive", "undo", "drop", "fits", "absent"]
"""A first click, a missed part, a part too much, a wrong click to undo, a wrong initial mask, a stop, a refusal."""
RationaleStyle = Literal["short", "full"]

_ACROSS, _DOWN = ("left", "centre", "right"), ("upper", "middle", "lower")
_AROUND = 2  # pixels: how far a look at the brightness goes
_DARK, _BRIGHT = 30, 70  # percentiles of the picture


def describe_position(x: float, y: float) -> str:
    """Name the ninth of the picture that holds unit ``x``, ``y``.

    >>> describe_position(0.1, 0.9), describe_position(0.5, 0.5)
    ('lower left', 'middle centre')
    """
    return f"{_DOWN[min(2, int(y * 3))]} {_ACROSS[min(2, int(x * 3))]}"


def click_kind(positive: bool, marked: bool) -> RationaleKind:
    """Return what a click is for, by its sign and by whether anything is marked."""
    return "false_positive" if not positive else "false_negative" if marked else "first"


def write_rationale(
    kind: RationaleKind,
    target: str,
    observation: Observation,
    click: Click | None,
    style: RationaleStyle,
    rng: np.random.Generator,
) -> str:
    """Write the thought before an action; ``click``: the one that follows, if any.

    ``short`` is one fixed sentence or two a kind, ``full`` two to four that vary.
    """
    words = {"target": target, "is": verb_of(target)}
    if style == "short":
        return _fill(
            _read_templates()["short"][kind], words | ({"place": describe_position(click.x, click.y)} if click else {})
        )
    sentences = [_choose(choices, rng) for choices in _read_templates()["full"][kind]]
    if click is not None and observation.undone:
        sentences[0] = _choose(_read_templates()["full"]["again"]["words"], rng)
    return _fill(" ".join(sentences), words | (_describe_view(observation, click) if click else {}))


def write_answer(kind: RationaleKind, target: str, style: RationaleStyle, rng: np.random.Generator) -> str | None:
    """Write the answer of a stop; None for any other kind."""
    choices = _read_templates()[style]["answers"].get(kind)
    if choices is None:
        return None
    return _fill(
        choices if isinstance(choices, str) else _choose(choices, rng), {"target": target, "is": verb_of(target)}
    )


def _describe_view(observation: Observation, click: Click) -> dict[str, str]:
    where = describe_position(click.x, click.y)
    return {
        "place": "centre" if where == "middle centre" else where,
        "side": _find_side(observation.mask, click),
        "look": _describe_brightness(observation, click),
    }


def _find_side(mask: Mask, click: Click) -> str:
    """Return on which side of the middle of the mask, (H, W) bool, a click lies."""
    rows, columns = np.nonzero(mask)
    if rows.size == 0:
        return "outer"
    down = click.y * mask.shape[0] - (rows.mean() + 0.5)
    across = click.x * mask.shape[1] - (columns.mean() + 0.5)
    if abs(down) > abs(across):
        return "upper" if down < 0 else "lower"
    return "left" if across < 0 else "right"


def _describe_brightness(observation: Observation, click: Click) -> str:
    """Return how bright it is around a click, compared with the rest of the picture."""
    height, width = observation.picture.shape[:2]
    row, column = min(int(click.y * height), height - 1), min(int(click.x * width), width - 1)
    grey = observation.picture[..., 1]
    low, high = np.percentile(grey[::4, ::4], (_DARK, _BRIGHT))
    around = grey[max(0, row - _AROUND) : row + _AROUND + 1, max(0, column - _AROUND) : column + _AROUND + 1].mean()
    return "bright" if around > high else "dark" if around < low else "grey"


def _fill(template: str, words: dict[str, str]) -> str:
    return Template(template).substitute(words)


def _choose(choices: Sequence[str], rng: np.random.Generator) -> str:
    return choices[int(rng.integers(len(choices)))]


@cache
def _read_templates() -> dict[str, Any]:
    return tomllib.loads(files("ibisagent.training.experts").joinpath("rationales.toml").read_text(encoding="utf-8"))
