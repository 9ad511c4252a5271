"""Which masks can be asked for: crumbs, tiny targets and what is out of view."""

import numpy as np

from ibisagent.training.phantoms.visible_targets import find_absent, keep_visible


def test_crumbs_go_and_tiny_masks_with_them():
    mask, tiny = np.zeros((100, 100), bool), np.zeros((100, 100), bool)
    mask[:40, :40] = mask[60:64, 60:64] = mask[90, 90] = tiny[5, 5] = True
    kept = keep_visible({"target": mask, "tiny": tiny})
    assert list(kept) == ["target"]
    assert (int(kept["target"].sum()), bool(kept["target"][90, 90])) == (1616, False)


def test_crumbs_are_measured_by_the_largest_piece():
    mask = np.zeros((100, 100), bool)
    mask[10, 10:31] = mask[50, 50:55] = mask[90, 90:94] = True  # 21, 5 and 4 of the 12 pixels that can be asked for
    sizes = {crumb: int(keep_visible({"line": mask}, crumb=crumb)["line"].sum()) for crumb in (1, 5)}
    assert sizes == {1: 21, 5: 26}


def test_what_is_out_of_view_is_missing_and_what_is_tiny_is_not():
    masks = {"left": np.zeros((10, 10), bool), "tiny": np.zeros((10, 10), bool)}
    masks["left"][:, :3] = masks["tiny"][5, 8] = True
    view = np.zeros((10, 10), bool)
    view[:, 5:] = True
    assert find_absent(("left", "tiny", "other"), masks, view) == ("left", "other")
    assert find_absent(("left", "tiny", "other"), masks) == ("other",)
