"""The kinds that are nearer to scans: every one is drawn, the same by its seed, with masks that tell the truth."""

from importlib import import_module

import numpy as np
import pytest

from ibisagent.tools.masks.measure import iou
from ibisagent.tools.vocabulary.words import VOCABULARY
from ibisagent.training.phantoms import KINDS, MODALITIES, SCANS, draw
from ibisagent.training.phantoms.request_rows import build_request_rows
from ibisagent.training.phantoms.visible_targets import tell_lesions

SEEDS = range(12)
SIDES = {
    "ct_trunk": [("right kidney", "left kidney"), ("liver", "spleen"), ("inferior vena cava", "aorta")],
    "ct_lung": [("right lung", "left lung"), ("right lung", "heart")],
    "heart_mr": [("right ventricle", "left ventricle")],
    "heart_ct": [("right atrium", "left ventricle"), ("right ventricle", "left ventricle")],
}
"""What lies on the picture's left, and what on its right, as a radiologist reads it."""
INSIDE = {
    "ct_trunk": [("liver tumour", "liver")],
    "ct_lung": [("lung nodule", "lungs"), ("lung infection", "lungs")],
    "prostate_mr": [("prostate lesion", "prostate"), ("peripheral zone", "prostate"), ("transition zone", "prostate")],
    "glioma_mr": [("enhancing tumour", "brain tumour"), ("tumour core", "brain tumour"), ("brain tumour", "brain")],
    "retina_oct": [("intraretinal fluid", "retina")],
}
APART = {
    "ct_trunk": [("liver", "stomach"), ("liver", "right kidney"), ("aorta", "vertebra"), ("spleen", "left kidney")],
    "ct_lung": [("lungs", "heart"), ("lungs", "pleural effusion"), ("aorta", "vertebra")],
    "heart_mr": [("left ventricle", "myocardium"), ("right ventricle", "myocardium")],
    "heart_ct": [("left atrium", "left ventricle"), ("left ventricle", "myocardium")],
    "prostate_mr": [("peripheral zone", "transition zone"), ("prostate", "rectum")],
    "glioma_mr": [("brain tumour", "ventricles")],
    "retina_oct": [("retina", "subretinal fluid"), ("retina", "pigment epithelial detachment")],
}


@pytest.fixture(scope="module")
def sample():
    """Small phantoms of every kind."""
    return {kind: [draw(kind, seed, 80, 0.3) for seed in SEEDS] for kind in SCANS}


def pairs(sample, table):
    """Masks of two names, from the pictures that show both whole enough to compare."""
    for kind, names in table.items():
        for first, second in names:
            found = [
                (one.masks[first], one.masks[second]) for one in sample[kind] if {first, second} <= one.masks.keys()
            ]
            assert found, (kind, first, second)
            yield from ((kind, first, second, *masks) for masks in found)


def middle(mask):
    """The column in the middle of a mask."""
    return np.nonzero(mask)[1].mean()


def test_the_default_mix_and_its_seeds_are_those_of_before():
    assert KINDS[: len(MODALITIES)] == MODALITIES
    assert not set(SCANS) & set(MODALITIES)


@pytest.mark.parametrize("kind", SCANS)
def test_a_seed_is_a_picture_at_every_size(kind):
    first, again, other = (draw(kind, seed, 128) for seed in (3, 3, 4))
    assert first.image.tobytes() == again.image.tobytes()
    assert first.absent == again.absent
    assert all((first.masks[name] == again.masks[name]).all() for name in first.masks)
    assert np.abs(first.image.astype(float).mean() - other.image.astype(float).mean()) > 0.01
    fine = draw(kind, 3, 256)
    assert fine.absent == first.absent
    for name in fine.masks.keys() & first.masks.keys():
        small = fine.masks[name].reshape(128, 2, 128, 2).mean(axis=(1, 3)) > 0.5
        assert iou(small, first.masks[name]) > (0.75 if small.sum() > 120 else 0.5), name


def test_masks_are_inside_large_enough_and_in_the_vocabulary(sample):
    for kind, phantoms in sample.items():
        assert {name for one in phantoms for name in one.masks}, kind
        for one in phantoms:
            assert one.image.shape[:2] == (80, 80)
            assert one.image.std() > 5
            for mask in one.masks.values():
                assert (mask.shape, mask.dtype) == ((80, 80), np.bool_)
                assert 0.0012 <= mask.mean() < 1
            assert {*one.masks, *one.absent} <= set(VOCABULARY.names)


def test_what_is_absent_is_not_there(sample):
    for phantoms in sample.values():
        for one in phantoms:
            assert not one.masks.keys() & set(one.absent)
            assert set(one.lesions) <= one.masks.keys() | set(one.absent)


def test_patients_right_is_on_the_pictures_left(sample):
    for kind, first, second, left, right in pairs(sample, SIDES):
        assert middle(left) < middle(right), (kind, first, second)


def test_lesions_lie_in_their_organs(sample):
    for kind, inner, outer, small, large in pairs(sample, INSIDE):
        assert (small & ~large).sum() <= 0.02 * small.sum(), (kind, inner, outer)


@pytest.mark.parametrize("kind", APART)
def test_neighbours_share_no_pixel(kind):
    """Before the acquisition: a frame put around a picture resamples the masks, and both may take a pixel."""
    generator = import_module(f"ibisagent.training.phantoms.generators.{kind}")
    drawn = [generator.generate(np.random.default_rng(seed), 64, 0.2).masks for seed in SEEDS]
    for first, second in APART[kind]:
        together = [masks[first] & masks[second] for masks in drawn if {first, second} <= masks.keys()]
        assert together, (first, second)
        assert not np.any(together), (first, second)


@pytest.mark.parametrize(
    ("masks", "absent", "other", "told"),
    [
        ({"cyst": None}, ("mass",), False, ("cyst", "mass")),
        ({}, ("cyst", "mass"), False, ("cyst", "mass")),
        ({}, ("mass",), False, ()),  # a cyst too small to be seen
        ({}, ("cyst", "mass"), True, ()),
    ],
)
def test_lesions_are_told_only_where_nothing_else_is_abnormal(masks, absent, other, told):
    assert tell_lesions(("cyst", "mass"), masks, absent, other=other) == told


def test_foreign_requests_ask_for_what_no_such_picture_shows(sample):
    for phantoms in sample.values():
        for one in phantoms:
            rows = list(build_request_rows(one, np.random.default_rng(one.seed)))
            assert sum(row["kind"] == "foreign" for row in rows) == 1
            assert all(row["present"] == (row["target"] in one.masks) for row in rows)
