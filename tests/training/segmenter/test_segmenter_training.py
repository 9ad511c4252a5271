"""Training of geonet: samples stay aligned with their masks, runs place clicks, and a stopped training goes on."""

import json

import numpy as np
import pytest
from conftest import ellipse
from support.dataset_fixtures import write_organ_dataset

from ibisagent.tools.clicks import Box, click_to_pixel
from ibisagent.tools.datasets.sampling import CaseFilter
from ibisagent.tools.errors import InputError
from ibisagent.tools.segmenters.geonet.network import WEIGHTS, load_network
from ibisagent.training.segmenter import run as training
from ibisagent.training.segmenter.interactive_runs import UncutGeocut, begin_run, stack
from ibisagent.training.segmenter.picture_changes import change_colours, fill_with_texture, resize, turn
from ibisagent.training.segmenter.run import SegmenterTraining, train_segmenter
from ibisagent.training.segmenter.samples import SampleSource, TargetPicture

TINY = SegmenterTraining(rounds=3, steps=2, batch=2, pool=3)
TRUTH = ellipse((70, 90), (25, 60), (14, 9))
PICTURE = np.where(TRUTH, 200, 40).astype(np.uint8)


def read_curve(out):
    """Return the logged rounds without their seconds."""
    rows = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


@pytest.fixture
def data(tmp_path):
    (tmp_path / "data").mkdir()
    return write_organ_dataset(tmp_path / "data", 4, "source", lambda number, _: "one" if number % 2 else "two")


@pytest.mark.parametrize("seed", range(12))
def test_picture_and_mask_are_turned_and_resized_alike(seed):
    rng = np.random.default_rng(seed)
    picture, truth = turn(PICTURE, TRUTH, rng)
    picture, truth = resize(picture, truth, 128)
    assert max(truth.shape) == 128
    assert np.count_nonzero((picture > 120) ^ truth) < 0.08 * np.count_nonzero(truth)


@pytest.mark.parametrize("colour", [False, True])
def test_colours_change_and_stay_a_picture(colour):
    picture = np.stack([PICTURE, PICTURE // 2, 255 - PICTURE], axis=2) if colour else PICTURE
    changed = [change_colours(picture, np.random.default_rng(seed)) for seed in range(20)]
    assert {(each.dtype, each.shape) for each in changed} == {(np.dtype(np.uint8), picture.shape)}
    assert len({each.tobytes() for each in changed}) == 20


def test_a_texture_fills_the_target_alone():
    other = np.random.default_rng(0).integers(0, 256, (40, 40), dtype=np.uint8)
    filled = fill_with_texture(PICTURE, TRUTH, other, np.random.default_rng(1))
    far = ~ellipse((70, 90), (25, 60), (22, 17))
    assert np.array_equal(filled[far], PICTURE[far])
    assert filled[TRUTH].std() > 5


def test_drawn_targets_are_no_specks(data):
    source, rng = SampleSource([data]), np.random.default_rng(0)
    samples = [source.draw(rng) for _ in range(40)]
    assert all(sample.picture.shape[:2] == sample.truth.shape for sample in samples)
    assert min(np.count_nonzero(sample.truth) for sample in samples) >= 25


def test_sources_can_be_left_out(data):
    assert {case.source for case in SampleSource([data], CaseFilter(without=["two"])).cases} == {"one"}
    with pytest.raises(InputError, match=r"got --without 'three', expected a source of the data: one, two"):
        SampleSource([data], CaseFilter(without=["three"]))
    with pytest.raises(InputError, match="got no target to train on"):
        SampleSource([data], CaseFilter(without=["one", "two"]))


def test_a_run_clicks_where_its_mask_is_wrong_until_it_ends():
    rng = np.random.default_rng(4)
    runs = [begin_run(UncutGeocut(), TargetPicture(PICTURE, TRUTH), np.random.default_rng(seed)) for seed in range(30)]
    assert sum(isinstance(run.prompts[0], Box) for run in runs) in range(1, 12)
    run = next(run for run in runs if run.prior is None and not isinstance(run.prompts[0], Box))
    assert run.truth[click_to_pixel(run.prompts[0], run.truth.shape)]
    state = run.look()
    everything = np.full(state.truth.shape, 9.0, np.float32)
    run.rng = rng
    while not run.advance(run.look(), everything):  # a run may end by chance
        run.prompts[1:], run.prior = [], None
    assert not run.prompts[1].positive
    assert not run.truth[click_to_pixel(run.prompts[1], run.truth.shape)]


def test_states_are_stacked_with_their_own_truth():
    run = begin_run(UncutGeocut(), TargetPicture(PICTURE, TRUTH), np.random.default_rng(0))
    inputs, truths, within = stack([run.look(), run.look()])
    assert inputs.shape[0] == truths.shape[0] == 2
    assert truths.shape == within.shape
    assert set(np.unique(within.numpy())) <= {0.0, 1.0}


@pytest.mark.slow
def test_a_stopped_training_goes_on_to_the_same_weights(data, tmp_path, monkeypatch):
    def stop(figures, done, total):
        raise KeyboardInterrupt

    whole = train_segmenter(TINY, [data], tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train_segmenter(TINY, [data], tmp_path / "part", on_round=stop)
    assert not (tmp_path / "part" / "geonet.safetensors").exists()
    resumed = train_segmenter(TINY, [data], tmp_path / "part")
    assert resumed.read_bytes() == whole.read_bytes()
    curves = [read_curve(tmp_path / name) for name in ("whole", "part")]
    assert curves[0] == curves[1]
    assert len(curves[0]) == 3
    assert load_network(resumed).network
    monkeypatch.setattr(training._Trainer, "run_round", None)
    assert train_segmenter(TINY, [data], tmp_path / "part") == resumed  # finished: nothing is trained


def test_other_settings_or_data_in_the_same_folder_are_refused(data, tmp_path):
    train_segmenter(SegmenterTraining(rounds=1, steps=1, batch=2, pool=2), [data], tmp_path / "out")
    with pytest.raises(InputError, match=r"settings\.batch 3 after 2"):
        train_segmenter(SegmenterTraining(rounds=1, steps=1, batch=3, pool=2), [data], tmp_path / "out")
    with pytest.raises(InputError, match="other data than before"):
        train_segmenter(
            SegmenterTraining(rounds=1, steps=1, batch=2, pool=2),
            [data],
            tmp_path / "out",
            part=CaseFilter(without=["one"]),
        )


def test_a_folder_of_something_else_and_wrong_data_leave_nothing_behind(data, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mask.png").write_bytes(b"")
    with pytest.raises(InputError, match="got a folder that holds something else"):
        train_segmenter(TINY, [data], tmp_path / "run")
    with pytest.raises(InputError, match="got --without"):
        train_segmenter(TINY, [data], tmp_path / "new", part=CaseFilter(without=["three"]))
    assert not (tmp_path / "new").exists()


def test_a_training_begins_from_given_weights_and_says_so_in_its_settings(data, tmp_path):
    still = SegmenterTraining(rounds=1, steps=1, batch=2, pool=2, learning_rate=0.0)
    begun = load_network(train_segmenter(still, [data], tmp_path / "begun", start=WEIGHTS)).network
    for name, value in load_network(WEIGHTS).network.named_parameters():
        assert np.array_equal(begun.get_parameter(name).numpy(), value.numpy()), name
    with pytest.raises(InputError, match="start"):
        train_segmenter(still, [data], tmp_path / "begun")
