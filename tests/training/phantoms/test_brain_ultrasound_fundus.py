"""Heads, ultrasound scenes and eyes: how their targets lie to one another, and grain of any size."""

import numpy as np
import pytest

from ibisagent.training.phantoms.generators import brain_mr, fundus, ultrasound
from ibisagent.training.phantoms.noise import gaussian_noise

SIZE = 64


@pytest.fixture(scope="module")
def heads():
    return [brain_mr.generate(np.random.default_rng(seed), SIZE, 0.5) for seed in range(40)]


@pytest.fixture(scope="module")
def eyes():
    return [fundus.generate(np.random.default_rng(seed), SIZE, 0.2) for seed in range(40)]


@pytest.fixture(scope="module")
def scenes():
    return [ultrasound.generate(np.random.default_rng(seed), SIZE, 0.2) for seed in range(60)]


def with_targets(drawings, *names):
    found = [drawing for drawing in drawings if all(name in drawing.masks for name in names)]
    assert len(found) >= 5
    return found


@pytest.mark.parametrize("inner", ["brain tumour", "ventricles", "cerebellum"])
def test_what_belongs_to_the_brain_lies_in_it(heads, inner):
    for head in with_targets(heads, "brain", inner):
        assert not (head.masks[inner] & ~head.masks["brain"]).any()


def test_a_tumour_in_front_takes_its_place_from_the_ventricles(heads):
    for head in with_targets(heads, "brain tumour", "ventricles"):
        assert not (head.masks["brain tumour"] & head.masks["ventricles"]).any()


def test_the_cup_lies_in_the_disc_and_is_brighter_than_the_ground(eyes):
    for eye in with_targets(eyes, "optic disc", "optic cup"):
        disc, cup = eye.masks["optic disc"], eye.masks["optic cup"]
        assert not (cup & ~disc).any()
        assert eye.image[cup].mean() > eye.image[~disc].mean()


def test_the_macula_lies_off_the_disc_to_the_side_and_both_sides_are_drawn(eyes):
    gaps = []
    for eye in with_targets(eyes, "optic disc", "macula"):
        (disc_y, disc_x), (macula_y, macula_x) = (
            np.argwhere(eye.masks[name]).mean(axis=0) for name in ("optic disc", "macula")
        )
        assert abs(macula_x - disc_x) > 2 * abs(macula_y - disc_y)
        gaps.append(macula_x - disc_x)
    assert min(gaps) < 0 < max(gaps)


@pytest.mark.parametrize("hollow", ["cyst", "blood vessel"])
def test_fluid_is_darker_than_what_is_around_it(scenes, hollow):
    for scene in with_targets(scenes, hollow):
        assert np.median(scene.image[scene.masks[hollow]]) < np.median(scene.image[scene.image > 5])


def test_scenes_ask_only_for_what_such_a_scene_can_show(scenes):
    kinds = {frozenset((*scene.masks, *scene.absent)) for scene in scenes}
    assert kinds <= {
        frozenset(names) for names in (("cyst", "mass"), ("cyst",), ("fetal head",), ("blood vessel", "nerve"))
    }


@pytest.mark.parametrize("drawings", ["heads", "eyes", "scenes"])
def test_lesions_are_in_about_half_or_more_of_the_pictures_that_could_show_one(drawings, request):
    could = [one for one in request.getfixturevalue(drawings) if one.lesions]
    has = [one for one in could if any(name in one.masks for name in one.lesions)]
    assert 0.4 < len(has) / len(could) < 0.8


def test_grain_of_one_seed_is_the_same_at_every_size():
    coarse, fine = (gaussian_noise(np.random.default_rng(3), size, 30, 20) for size in (64, 256))
    assert np.corrcoef(coarse.ravel(), fine.reshape(64, 4, 64, 4).mean(axis=(1, 3)).ravel())[0, 1] > 0.98
    assert coarse.std() == pytest.approx(1, abs=0.15)
