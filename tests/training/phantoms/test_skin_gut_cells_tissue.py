"""Pictures of skin, gut, nuclei and tissue: names by place are true, and what lies in front hides the rest."""

import numpy as np
import pytest

from ibisagent.training.phantoms.generators import dermoscopy, endoscopy, fluorescence, histology
from ibisagent.training.phantoms.scatter import stamp_ellipses, stamp_strokes
from ibisagent.training.phantoms.visible_targets import name_by_quadrant

SEEDS = range(40)
SIZE = 64


def drawings(generator, difficulty=0.5):
    return [generator.generate(np.random.default_rng(seed), SIZE, difficulty) for seed in SEEDS]


def test_a_mask_is_named_by_its_quarter_when_it_is_alone_and_whole_there():
    masks = [np.eye(4, dtype=bool) * shift for shift in (1, 0, 1, 0)]
    alone, first, second, across = (-0.5, -0.5, 0.3), (-0.6, 0.3, 0.2), (-0.6, 0.8, 0.2), (0.2, -0.5, 0.3)
    named = name_by_quadrant(masks, [alone, first, second, across], "gland")
    assert list(named) == ["upper left gland"]
    assert named["upper left gland"] is masks[0]


def test_every_quarter_has_its_name():
    corners = [(x, y, 0.2) for y in (-0.5, 0.5) for x in (-0.5, 0.5)]
    assert list(name_by_quadrant([np.ones((4, 4), bool)] * 4, corners, "nucleus")) == [
        f"{place} nucleus" for place in ("upper left", "upper right", "lower left", "lower right")
    ]


@pytest.mark.parametrize("generator", [fluorescence, histology])
def test_what_is_named_by_place_lies_in_that_quarter(generator):
    seen = set()
    for drawing in drawings(generator):
        for name, mask in drawing.masks.items():
            if name.startswith(("upper", "lower")):
                half = slice(0, SIZE // 2), slice(SIZE // 2, SIZE)
                quarter = mask[half[name.startswith("lower")], half[" right " in name]]
                assert quarter.sum() > 0.97 * mask.sum()
                seen.add(name)
    assert len(seen) == 4


def test_nuclei_hold_every_nucleus_and_the_dividing_cell():
    together = [drawing.masks for drawing in drawings(fluorescence) if "nuclei" in drawing.masks]
    assert len(together) > 10
    assert all((masks["nuclei"] >= mask).all() for masks in together for mask in masks.values())


def test_an_instrument_hides_the_polyp_behind_it():
    both = [drawing.masks for drawing in drawings(endoscopy) if len(drawing.masks) == 2]
    assert len(both) > 3
    assert not any((masks["polyp"] & masks["instrument"]).any() for masks in both)


def test_structures_of_tissue_do_not_share_a_pixel():
    for drawing in drawings(histology):
        assert sum(mask.astype(int) for mask in drawing.masks.values()).max() <= 1


def test_a_lesion_is_in_a_picture_or_said_to_be_absent():
    for generator, lesion in ((dermoscopy, "skin lesion"), (endoscopy, "polyp"), (histology, "tumour nest")):
        drawn = drawings(generator)
        assert all((lesion in drawing.masks) != (lesion in drawing.absent) for drawing in drawn)
        assert 0.4 < np.mean([lesion in drawing.masks for drawing in drawn]) < 0.95


def test_stamped_ellipses_cover_their_area_and_their_place():
    covered = stamp_ellipses(SIZE, ([-0.5, 0.5], [0.5, -0.5]), 0.3, 0.1, [0, np.pi / 2], [1, 0.5])
    assert covered[: SIZE // 2, SIZE // 2 :].max() == 0.5
    assert covered[SIZE // 2 :].sum() == pytest.approx(np.pi * 0.3 * 0.1 * (SIZE / 2) ** 2, rel=0.1)
    assert not covered[: SIZE // 2, : SIZE // 2].any()
    assert np.allclose(2 * covered[: SIZE // 2, SIZE // 2 :], covered[SIZE // 2 :, : SIZE // 2].T, atol=1e-4)


def test_stamps_out_of_the_picture_leave_no_trace():
    assert not stamp_ellipses(SIZE, ([-3, 0], [0, 5]), 0.2).any()
    assert not stamp_ellipses(SIZE, ([], []), 0.2).any()


def test_a_stroke_is_as_wide_as_it_was_asked_for():
    line = np.linspace(-0.8, 0.8, 200)[None]
    across = stamp_strokes(256, (line, 0 * line), 0.1)[:, 128]
    assert across.sum() == pytest.approx(0.1 * 256, abs=1)
