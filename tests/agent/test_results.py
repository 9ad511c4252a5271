"""The result of a run: the current mask, the best-scored one only if so configured and calibrated."""

import numpy as np
import pytest
from support.fakes import STOP, UNDO, CountingSegmenter, positive, script

from ibisagent.agent import ImageStore, LoopConfig, build_graph
from ibisagent.agent.limits import reached_limit
from ibisagent.tools.errors import InputError
from ibisagent.tools.imaging.grids import Grid, Spacing
from ibisagent.tools.imaging.medical_image import MedicalImage
from ibisagent.tools.masks.rle import decode
from ibisagent.tools.segmenters import Prediction


class FallingScoreSegmenter(CountingSegmenter):
    """Scores the first click best; ``calibrated``: whether its score is."""

    def __init__(self, calibrated):
        super().__init__()
        self.calibrated = calibrated

    def predict(self, embedding, prompts, prior):
        found = super().predict(embedding, prompts, prior)
        return Prediction(found.mask, 0.9 / len(prompts), found.prior)


@pytest.mark.parametrize(("calibrated", "pick_best", "count"), [(True, True, 1), (False, True, 2), (True, False, 2)])
def test_the_best_scored_mask_only_if_asked_and_calibrated(calibrated, pick_best, count, pixels):
    segmenter = FallingScoreSegmenter(calibrated)
    graph = build_graph(
        script(positive(0.2, 0.5), positive(0.8, 0.5), STOP), segmenter, LoopConfig(pick_best=pick_best)
    )
    ended = graph.invoke({"image": pixels, "request": "Segment."})
    assert ended["score"] == pytest.approx(0.9 / count)
    assert ended["mask"]["counts"] == graph.components.store.get_mask(ended["steps"][count - 1]["mask"])["counts"]


def test_an_undone_step_is_never_the_best(pixels):
    graph = build_graph(
        script(positive(0.2, 0.5), UNDO, positive(0.8, 0.5), STOP),
        FallingScoreSegmenter(True),
        LoopConfig(pick_best=True),
    )
    ended = graph.invoke({"image": pixels, "request": "Segment."})
    assert ended["mask"]["counts"] == graph.components.store.get_mask(ended["steps"][2]["mask"])["counts"]


def test_measurements_are_those_of_the_mask(pixels):
    ended = build_graph(script(positive(0.5, 0.5), STOP), "disk").invoke({"image": pixels, "request": "Segment."})
    mask = decode(ended["mask"])
    rows, columns = np.nonzero(mask)
    assert ended["measurements"]["area_px"] == mask.sum()
    assert ended["measurements"]["bbox"] == [rows.min(), columns.min(), rows.max(), columns.max()]


@pytest.mark.parametrize("wrong", [{"max_steps": 0}, {"patience": 0}, {"max_parse_failures": -1}])
def test_settings_that_cannot_run_are_refused(wrong):
    with pytest.raises(InputError, match="from 1 up"):
        LoopConfig(**wrong)


def test_super_steps_running_out_is_a_budget():
    run = {"seconds": 0.0, "tokens": 0, "first_step": 0, "active": "it"}
    state = {"run": run, "target_states": [{"name": "it", "start": "a"}], "steps": [], "remaining_steps": 5}
    assert reached_limit(state, LoopConfig()) == "budget"
    assert reached_limit(state | {"remaining_steps": 6}, LoopConfig()) is None


def test_pictures_that_look_the_same_keep_their_own_spacing(pixels, tmp_path):
    images = ImageStore(tmp_path / "images")
    areas = []
    for spacing in (None, Spacing(1.0, 1.0), Spacing(0.5, 2.0), Spacing(0.5, 0.5)):
        image = MedicalImage(pixels, Grid(pixels.shape), spacing=spacing)
        graph = build_graph(script(positive(0.5, 0.5), STOP), "disk", images=images)
        ended = graph.invoke({"image": image, "request": "Segment."})
        areas.append(ended["measurements"]["area_mm2"])
        later = ImageStore(tmp_path / "images").open(ended["image"])
        assert (later.sha, later.spacing) == (image.sha, spacing)
    assert areas == [None, areas[1], areas[1], areas[1] / 4]
