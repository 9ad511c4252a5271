"""Policies with a fault each that a mean IoU on clean data does not show, beside sound ones, and their data."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ibisagent.agent.actions import Terminate, write_reply
from ibisagent.agent.policies import SyncPolicy
from ibisagent.agent.policies.base import Completion, Observation
from ibisagent.tools.clicks import Click, Pixel, pixel_to_click
from ibisagent.tools.segmenters.geodesic import GeodesicSegmenter
from ibisagent.tools.simulator import next_click

SHAPE, RADIUS = (64, 96), 13
_LEFT, _RIGHT = 200, 130  # grey levels of the two kidneys; the patient's left is at the viewer's right


def write_kidneys(folder: Path, pictures: int = 4, *, absent: int = 0) -> Path:
    """Write pictures of two kidneys each, a row for either, and ``absent`` rows a picture for what is not there."""
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    rng = np.random.default_rng(0)
    lines = ["id,image,mask,target,modality,source,present"]
    for number in range(pictures):
        rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
        discs = {
            side: (rows - 30 - number) ** 2 + (columns - column - number) ** 2 < RADIUS**2
            for side, column in (("right", 22), ("left", 68))
        }
        pixels = 60 + (_LEFT - 60) * discs["left"] + (_RIGHT - 60) * discs["right"] + rng.normal(0, 3, SHAPE)
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(folder / f"images/{number}.png")
        group = f"{'CT' if number % 2 else 'MR'},{'north' if number % 2 else 'south'}"
        for side, mask in discs.items():
            Image.fromarray(mask).save(folder / f"masks/{number}-{side}.png")
            files = f"images/{number}.png,masks/{number}-{side}.png"
            lines.append(f"{number}-{side},{files},{side} kidney,{group},1")
        lines += [f"{number}-none-{each},images/{number}.png,,polyp,{group},0" for each in range(absent)]
    (folder / "manifest.csv").write_text("\n".join(lines))
    return folder


class _Clicker(SyncPolicy):
    """Clicks once, on the deepest pixel of the truth, then stops."""

    name = "clicker"

    def __init__(self, truth: NDArray[np.bool_]) -> None:
        self.truth = truth

    def act(self, observation: Observation) -> Completion:
        click = self.choose(observation) if observation.step == 0 else None
        answer = "It is segmented." if observation.mask.any() or observation.step else "The target is not visible."
        return Completion(write_reply("I look.", click or Terminate(), answer, observation.frame), model=self.name)

    def choose(self, observation: Observation) -> Click | None:
        found = next_click(np.zeros_like(self.truth), self.truth)
        return None if found is None else pixel_to_click(found.pixel, self.truth.shape)


class Sound(_Clicker):
    """Has no fault."""

    name = "sound"


class Shifted(_Clicker):
    """Clicks ten pixels beside the middle of its target."""

    name = "shifted"

    def choose(self, observation: Observation) -> Click | None:
        found = next_click(np.zeros_like(self.truth), self.truth)
        if found is None:
            return None
        return pixel_to_click(Pixel(found.pixel.row, found.pixel.column + 10), self.truth.shape)


class ByHeart(_Clicker):
    """Knows one wording of a request alone."""

    name = "by heart"

    def choose(self, observation: Observation) -> Click | None:
        return super().choose(observation) if observation.request.startswith("Segment the ") else None


class Trusting(_Clicker):
    """Keeps whatever mask it is given."""

    name = "trusting"

    def choose(self, observation: Observation) -> Click | None:
        return None if observation.mask.any() else super().choose(observation)


class Dropping(_Clicker):
    """Clicks on what the given mask misses, and beside its target on what it has too much."""

    name = "dropping"

    def act(self, observation: Observation) -> Completion:
        found = next_click(observation.mask, self.truth) if observation.step < 4 else None
        click = None if found is None else pixel_to_click(found.pixel, self.truth.shape, found.positive)
        return Completion(write_reply("I look.", click or Terminate(), "Done.", observation.frame), model=self.name)


class Gambler(_Clicker):
    """Clicks on the target by the toss of a coin, else in a corner."""

    name = "gambler"

    def __init__(self, truth: NDArray[np.bool_], seed: int) -> None:
        super().__init__(truth)
        self.lucky = seed % 2 == 0

    def choose(self, observation: Observation) -> Click | None:
        return super().choose(observation) if self.lucky else Click(0.01, 0.99)


class AlwaysRefuses(_Clicker):
    """Calls everything absent."""

    name = "refuses"

    def choose(self, observation: Observation) -> Click | None:
        return None


class AlwaysSegments(SyncPolicy):
    """Clicks on the brightest thing, whatever is asked for."""

    name = "segments"

    def act(self, observation: Observation) -> Completion:
        click = _on_level(observation, _LEFT) if observation.step == 0 else Terminate()
        return Completion(write_reply("I look.", click, "It is segmented.", observation.frame), model=self.name)


class ByLook(SyncPolicy):
    """Knows the left kidney by its brightness and not by its side."""

    name = "by look"

    def act(self, observation: Observation) -> Completion:
        level = _LEFT if "left" in observation.request else _RIGHT
        click = _on_level(observation, level) if observation.step == 0 else Terminate()
        return Completion(write_reply("I look.", click, "It is segmented.", observation.frame), model=self.name)


def _on_level(observation: Observation, level: int) -> Click:
    """Click in the middle of what has about this grey level."""
    rows, columns = np.nonzero(np.abs(observation.picture[..., 1].astype(int) - level) < 20)
    return pixel_to_click(Pixel(int(np.median(rows)), int(np.median(columns))), observation.mask.shape)


class Renamed(GeodesicSegmenter):
    """Passes for another segmenter, and is the same."""

    is_local = True

    def __init__(self) -> None:
        super().__init__()
