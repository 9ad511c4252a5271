"""Phantoms of every modality: the same by seed and at every size, exact masks, honest difficulty, acquisition."""

from collections import Counter

import numpy as np
import pytest

from ibisagent.agent import LoopConfig, build_graph
from ibisagent.agent.policies import OraclePolicy
from ibisagent.tools.errors import InputError
from ibisagent.tools.masks.measure import iou
from ibisagent.tools.masks.rle import decode
from ibisagent.training.phantoms import MODALITIES, draw
from ibisagent.training.phantoms.acquisition import simulate

SEEDS = range(30)


@pytest.fixture(scope="module")
def sample():
    """Small phantoms of every modality."""
    return {modality: [draw(modality, seed, 64) for seed in SEEDS] for modality in MODALITIES}


def everything(sample):
    return [phantom for phantoms in sample.values() for phantom in phantoms]


def grey(phantom):
    return phantom.image.reshape(*phantom.image.shape[:2], -1).mean(axis=2)


def middle(mask):
    """The column in the middle of a mask."""
    return np.nonzero(mask)[1].mean()


@pytest.mark.parametrize("modality", MODALITIES)
def test_a_seed_is_a_picture_and_another_seed_another(modality):
    first, again, other = (draw(modality, seed, 96, 0.4) for seed in (5, 5, 6))
    assert first.image.tobytes() == again.image.tobytes()
    assert {name: mask.tobytes() for name, mask in first.masks.items()} == {
        name: mask.tobytes() for name, mask in again.masks.items()
    }
    assert (first.absent, first.lesions) == (again.absent, again.lesions)
    assert np.abs(grey(first) - grey(other)).mean() > 5


@pytest.mark.parametrize("modality", MODALITIES)
def test_every_size_shows_the_same_targets_in_the_same_places(modality):
    for seed in (2, 4):
        fine = draw(modality, seed, 512)
        for size in (64, 128):
            coarse = draw(modality, seed, size)
            assert (coarse.absent, coarse.lesions) == (fine.absent, fine.lesions)
            for name in fine.masks.keys() | coarse.masks.keys():
                whole, small = fine.masks.get(name), coarse.masks.get(name)
                if whole is None or small is None:  # at the border of what is too small to be asked for
                    assert (small if whole is None else whole).mean() < 0.002
                    continue
                reduced = whole.reshape(size, 512 // size, size, 512 // size).mean(axis=(1, 3)) > 0.5
                assert iou(reduced, small) > (0.8 if reduced.sum() > 100 else 0.55), (seed, size, name)


def test_masks_fit_their_picture_and_are_large_enough_to_be_asked_for(sample):
    for phantom in everything(sample):
        assert phantom.image.shape in ((64, 64), (64, 64, 3))
        assert phantom.image.dtype == np.uint8
        for mask in phantom.masks.values():
            assert (mask.shape, mask.dtype) == ((64, 64), np.bool_)
            assert 0.0012 <= mask.mean() < 1


def test_what_is_absent_is_not_there(sample):
    for phantom in everything(sample):
        assert not phantom.masks.keys() & set(phantom.absent)
        assert len(set(phantom.absent)) == len(phantom.absent)


def test_there_are_many_targets_and_some_in_every_modality(sample):
    names = {modality: {name for one in phantoms for name in one.masks} for modality, phantoms in sample.items()}
    assert len(set().union(*names.values())) >= 40
    assert all(names.values())


def test_lesions_are_there_as_often_as_a_refusal_can_be_learned_from(sample):
    there, asked = Counter(), Counter()
    for phantom in everything(sample):
        for name in phantom.lesions:
            asked[name] += name in phantom.masks or name in phantom.absent
            there[name] += name in phantom.masks
    assert asked.keys() == {
        *("liver tumour", "kidney cyst", "lung nodule", "pleural effusion", "brain tumour", "cyst", "mass"),
        *("skin lesion", "polyp", "haemorrhage", "tumour nest"),
    }
    assert all(0.1 < there[name] / asked[name] < 0.9 for name in asked)
    assert 0.45 < sum(there.values()) / sum(asked.values()) < 0.75


@pytest.mark.parametrize(("modality", "organ"), [("ct_abdomen", "kidney"), ("chest_xray", "lung")])
def test_left_organs_are_on_the_pictures_right(sample, modality, organ):
    names = f"right {organ}", f"left {organ}"
    pairs = [[one.masks[name] for name in names] for one in sample[modality] if one.masks.keys() >= {*names}]
    assert len(pairs) > 5
    assert all(middle(right) < middle(left) for right, left in pairs)


def contrast(phantom):
    """How far the targets' grey is from that of all else, on average, in deviations of the picture."""
    seen = grey(phantom)
    return np.mean([abs(seen[mask].mean() - seen[~mask].mean()) for mask in phantom.masks.values()]) / (seen.std() + 1)


def test_the_harder_the_lower_the_contrast_of_targets():
    easy, hard = (
        [draw(modality, seed, 64, difficulty) for modality in MODALITIES for seed in range(8)] for difficulty in (0, 1)
    )
    means = [np.mean([contrast(one) for one in some if one.masks]) for some in (easy, hard)]
    assert means[1] < 0.9 * means[0]


def reached(size, seeds, difficulty):
    """The mean IoU of the oracle's six clicks with geocut on one target a picture."""
    ious = []
    for modality in MODALITIES:
        for seed in seeds:
            phantom = draw(modality, seed, size, difficulty)
            if phantom.masks:
                truth = phantom.masks[sorted(phantom.masks)[seed % len(phantom.masks)]]
                graph = build_graph(OraclePolicy(truth, target_iou=0.95), "geocut", LoopConfig(max_steps=6))
                ious.append(iou(decode(graph.invoke({"image": phantom.image, "request": "x"})["mask"]), truth))
    return np.mean(ious)


@pytest.mark.slow
def test_difficulty_is_honest_to_an_oracle_that_clicks():
    easy, default, hard = (reached(128, range(100, 110), difficulty) for difficulty in (0.0, 0.5, 1.0))
    assert 0.7 < default < 0.85
    assert easy > default > hard


@pytest.fixture(scope="module")
def target():
    """An ellipse's mask, and a picture that shows it bright."""
    y, x = np.mgrid[:96, :96]
    mask = (y - 40) ** 2 / 20**2 + (x - 55) ** 2 / 14**2 < 1
    return mask, np.where(mask, 200.0, 70.0)


@pytest.mark.parametrize("channels", [1, 3])
def test_masks_follow_their_picture_through_the_acquisition(target, channels):
    mask, image = target
    image = image if channels == 1 else np.repeat(image[..., None], 3, axis=2)
    boxed = inverted = 0
    for seed in range(150):
        picture, masks = simulate(np.random.default_rng(seed), image, {"target": mask}, 0.5)
        shown, grey = masks["target"], picture.reshape(96, 96, -1).mean(axis=2)
        rows, columns = (np.flatnonzero(shown.any(axis=axis)) for axis in (1, 0))
        around = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        inside, outside = grey[around][shown[around]], grey[around][~shown[around]]
        bright = grey[around] > (inside.mean() + outside.mean()) / 2
        inverted += inside.mean() < outside.mean()
        assert iou(bright == (inside.mean() > outside.mean()), shown[around]) > 0.9
        assert (picture.dtype, picture.shape) == (np.uint8, image.shape)
        boxed += (shown != mask).any()
    assert 8 <= boxed <= 30
    assert (inverted > 0) == (channels == 1)


def test_the_acquisition_keeps_the_masks_that_it_was_given(target):
    mask, image = target
    before = mask.copy()
    for seed in range(30):
        simulate(np.random.default_rng(seed), image, {"target": mask}, 1.0)
    np.testing.assert_array_equal(mask, before)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("mri", 0), "got modality 'mri', expected one of ct_abdomen, "),
        (("../acquisition", 0), "got modality '../acquisition'"),
        (("fundus", -1), "got seed=-1"),
        (("fundus", 0, 31), "got size=31, expected 32 to 4096 pixels"),
        (("fundus", 0, 4097), "got size=4097"),
        (("fundus", 0, 64, -0.1), "got difficulty=-0.1"),
        (("fundus", 0, 64, 1.5), "got difficulty=1.5, expected a number from 0 to 1"),
        (("fundus", 0, 64, float("nan")), "got difficulty=nan"),
    ],
)
def test_what_cannot_be_drawn_is_refused(arguments, said):
    with pytest.raises(InputError) as refused:
        draw(*arguments)
    assert said in str(refused.value)


@pytest.mark.parametrize("modality", MODALITIES)
def test_the_smallest_pictures_and_the_ends_of_difficulty_can_be_drawn(modality):
    for difficulty in (0, 1):
        phantom = draw(modality, 2**40, 32, difficulty)
        assert phantom.image.shape[:2] == (32, 32)
        assert phantom.image.std() > 1


@pytest.mark.parametrize(("modality", "seed"), [("fundus", 1_009_105), ("fluorescence", 2_009_691)])
def test_a_rare_seed_is_drawn_too(modality, seed):
    """A vessel too short to branch where it wants to; a nucleus that fills the picture."""
    assert draw(modality, seed, 112, 0.1).masks
