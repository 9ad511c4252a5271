"""Pictures with the target that is to be clicked: drawn from data sets, cut out, and changed as scanners differ."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import ndimage
from skimage.segmentation import felzenszwalb

from ibisagent.tools.datasets import Case, read_dataset
from ibisagent.tools.datasets.sampling import ALL_CASES, CaseFilter
from ibisagent.tools.errors import InputError
from ibisagent.tools.imaging.grids import Mask
from ibisagent.tools.masks.measure import bounding_box
from ibisagent.tools.segmenters.base import Pixels
from ibisagent.training.segmenter.picture_changes import change_colours, fill_with_texture, resize, turn

__all__ = ["SampleSource", "TargetPicture"]

LONGER_SIDE = (140, 384)  # pixels of a picture that is brought to another size
LEAST_PIXELS = 25  # of a target
ONE_PART = 0.2  # how often one of several parts is the target
REGION = 0.1  # how often the target is a region that the picture's own edges enclose
TEXTURE = 0.12  # how often the target is filled with another picture's texture
CUT_OUT = 0.6  # how often only a part of the picture is shown
_TRIES = 30


class TargetPicture(NamedTuple):
    """A picture, (H, W) or (H, W, 3) uint8, and its target, (H, W) bool."""

    picture: Pixels
    truth: Mask


class SampleSource:
    """Draws samples: a folder with even chances, a source within it by the root of its number of targets."""

    def __init__(self, folders: Sequence[Path], part: CaseFilter = ALL_CASES) -> None:
        """Read the data sets' rows of split train or of none, of these those of ``part``.

        `InputError` for a folder without such a row, and for a source or a modality in no folder.
        """
        self._groups: list[tuple[list[list[Case]], list[float]]] = []
        every: list[Case] = []
        for folder in folders:
            rows = [case for case in read_dataset(folder) if case.present and case.split in ("", "train")]
            every += rows
            by_source: dict[str, list[Case]] = {}
            for case in filter(part.takes, rows):
                by_source.setdefault(case.source, []).append(case)
            if not by_source:
                raise InputError(f"{folder}: got no target to train on, expected rows of split train; check the folder")
            roots = [len(cases) ** 0.5 for cases in by_source.values()]
            self._groups.append((list(by_source.values()), [root / sum(roots) for root in roots]))
        part.require_known(every)

    @property
    def cases(self) -> list[Case]:
        """Return all cases that are drawn from."""
        return [case for sources, _ in self._groups for cases in sources for case in cases]

    def draw(self, rng: np.random.Generator) -> TargetPicture:
        """Draw a sample whose target is neither a speck nor nearly everything."""
        for _ in range(_TRIES):
            sample = _change(self._open(rng), self._open(rng), rng)
            count = int(np.count_nonzero(sample.truth))
            if LEAST_PIXELS <= count <= 0.9 * sample.truth.size:
                return sample
        raise InputError(f"got no usable target in {_TRIES} draws, expected larger ones; check the data")

    def _open(self, rng: np.random.Generator) -> TargetPicture:
        sources, chances = self._groups[int(rng.integers(len(self._groups)))]
        cases = sources[int(rng.choice(len(sources), p=chances))]
        case = cases[int(rng.integers(len(cases)))]
        image = case.open()
        return TargetPicture(image.pixels, np.asarray(case.read_truth(image)))


def _change(sample: TargetPicture, other: TargetPicture, rng: np.random.Generator) -> TargetPicture:
    picture, truth = sample
    if rng.random() < ONE_PART:
        truth = _choose_part(truth, rng)
    if rng.random() < CUT_OUT:
        picture, truth = _cut_out(picture, truth, rng)
    longer = max(truth.shape)
    wanted = int(rng.integers(*LONGER_SIDE)) if rng.random() < 0.5 else longer
    picture, truth = resize(picture, truth, min(wanted, LONGER_SIDE[1], round(1.5 * longer)))
    picture, truth = turn(picture, truth, rng)
    if rng.random() < REGION:
        truth = _find_region(picture, rng)
    elif rng.random() < TEXTURE and truth.any():
        picture = fill_with_texture(picture, truth, other.picture, rng)
    return TargetPicture(change_colours(picture, rng), truth)


def _choose_part(truth: Mask, rng: np.random.Generator) -> Mask:
    """Return one component of a mask, of those that are no speck."""
    parts, _ = ndimage.label(truth)
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    large = np.flatnonzero(sizes >= LEAST_PIXELS)
    return truth if large.size < 2 else np.asarray(parts == rng.choice(large))


def _cut_out(picture: Pixels, truth: Mask, rng: np.random.Generator) -> tuple[Pixels, Mask]:
    """Return a random part of a picture, in which some of the target lies."""
    box = bounding_box(truth)
    if box is None:
        return picture, truth
    spans = []
    for whole, low, high in ((truth.shape[0], box.top, box.bottom), (truth.shape[1], box.left, box.right)):
        length = max(min(whole, 48), round(whole * rng.uniform(0.35, 1.0)))
        inside = int(rng.integers(low, high + 1))
        start = int(np.clip(inside - rng.integers(length + 1), 0, whole - length))
        spans.append(slice(start, start + length))
    return picture[tuple(spans)], truth[tuple(spans)]


def _find_region(picture: Pixels, rng: np.random.Generator) -> Mask:
    """Return a region, (H, W) bool, that edges enclose; empty where none is large and distinct enough."""
    levels = felzenszwalb(picture, scale=float(np.exp(rng.uniform(np.log(80), np.log(900)))), sigma=0.8, min_size=60)
    sizes = np.bincount(levels.ravel())
    fitting = np.flatnonzero((sizes >= 0.004 * levels.size) & (sizes <= 0.35 * levels.size))
    if not fitting.size:
        return np.zeros(levels.shape, np.bool_)
    region = ndimage.binary_fill_holes(ndimage.binary_opening(levels == rng.choice(fitting), iterations=1))
    ring = ndimage.binary_dilation(region, iterations=4) & ~region
    if not region.any() or not ring.any():
        return np.zeros(levels.shape, np.bool_)
    inner, outer = picture[region].astype(np.float32), picture[ring].astype(np.float32)
    step = np.abs(inner.mean(axis=0) - outer.mean(axis=0)).max()
    return np.asarray(region) if step > 0.6 * inner.std(axis=0).max() + 4 else np.zeros(levels.shape, np.bool_)
