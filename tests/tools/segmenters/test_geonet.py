"""Geonet: views of a picture, what the network sees in them, its file of weights, and its share in the cut."""

import numpy as np
import pytest
import torch
from conftest import ellipse

from ibisagent.tools.clicks import Box, Click, Pixel, PixelBox
from ibisagent.tools.errors import InputError
from ibisagent.tools.segmenters import get_segmenter
from ibisagent.tools.segmenters.features import extract_features
from ibisagent.tools.segmenters.geocut import GeocutSegmenter
from ibisagent.tools.segmenters.geodesic import CERTAIN_ENERGY, MaskPrior
from ibisagent.tools.segmenters.geonet.inputs import CHANNELS, make_inputs
from ibisagent.tools.segmenters.geonet.network import GeonetNetwork, load_network, save_network
from ibisagent.tools.segmenters.geonet.segmenter import GeonetSegmenter, join_energies
from ibisagent.tools.segmenters.geonet.view import SIDE, SquareView, find_view
from ibisagent.tools.segmenters.registry import recorded_segmenter_name
from ibisagent.tools.segmenters.working_grid import GridClick, GridPrompts, to_grid_prompts

WORK = (100, 200)
CLICK = GridClick(Pixel(30, 150), positive=True)


def channel(inputs, name):
    return inputs[CHANNELS.index(name)]


def centre_of(field):
    rows, columns = np.nonzero(field > 0.5)
    return rows.mean(), columns.mean()


@pytest.fixture
def own_weights(tmp_path):
    torch.manual_seed(3)
    network = GeonetNetwork()
    torch.nn.init.normal_(network.head[1].weight, std=2.0)
    save_network(network, tmp_path / "own.safetensors")
    return tmp_path / "own.safetensors"


def test_the_first_view_holds_the_whole_picture_and_a_later_one_mask_clicks_and_box():
    assert find_view(WORK, None, [CLICK], None) == SquareView(-50, 0, 200)
    assert find_view(WORK, np.zeros(WORK, np.bool_), [CLICK], None) == SquareView(-50, 0, 200)
    mask = ellipse(WORK, (40, 100), (10, 10))
    near = find_view(WORK, mask, [CLICK], None)
    box = find_view(WORK, None, [], PixelBox(60, 20, 79, 39))
    assert near.side == round(1.5 * 60)  # columns 91 to 150
    assert near.top <= 30
    assert near.left <= 90
    assert near.left + near.side > 150
    assert (box.side, box.top + 15, box.left + 15) == (30, 70, 30)
    speck = np.zeros(WORK, np.bool_)
    speck[50, 50] = True
    assert find_view(WORK, speck, [], None).side == 0.12 * 200


@pytest.mark.parametrize("view", [SquareView(-50, 0, 200), SquareView(0, 130, 64), SquareView(-20, 150, 90)])
def test_what_a_view_shows_lies_where_it_was_and_comes_back_there(view):
    mask = ellipse(WORK, (30, 160), (9, 14))
    seen = view.look(mask.astype(np.float32), WORK)
    row, column = centre_of(seen)
    scale = SIDE / view.side
    assert row == pytest.approx((30.5 - view.top) * scale - 0.5, abs=1.5)
    assert column == pytest.approx((160.5 - view.left) * scale - 0.5, abs=1.5)
    back = view.put_back(2 * seen - 1, np.full(WORK, -1, np.float32)) > 0
    assert np.count_nonzero(back ^ mask) <= 0.12 * np.count_nonzero(mask)


def test_a_view_beside_the_picture_shows_nothing_and_changes_nothing():
    view, field = SquareView(300, 0, 50), np.ones(WORK, np.float32)
    assert not view.look(field, WORK).any()
    assert np.array_equal(view.put_back(np.zeros((SIDE, SIDE), np.float32), field), field)


@pytest.mark.parametrize("colour", [False, True])
def test_the_network_sees_colours_clicks_mask_box_and_energy_at_their_places(colour):
    shape = (150, 300)  # larger than the working grid
    pixels = np.where(ellipse(shape, (45, 240), (20, 30)), 200, 40).astype(np.uint8)
    pixels = np.stack([pixels, pixels // 2, 255 - pixels], axis=2) if colour else pixels
    features = extract_features(pixels, 200)
    before = ellipse(WORK, (30, 160), (6, 9))
    prompts = (Box(0.7, 0.1, 0.9, 0.5), Click(0.8, 0.3), Click(0.2, 0.8, positive=False))
    grid_prompts = to_grid_prompts(prompts, features.grid, has_mask=True)
    energy = np.where(before, np.float32(CERTAIN_ENERGY), np.float32(-3))
    view = find_view(WORK, before, grid_prompts.clicks, grid_prompts.box)
    inputs = make_inputs(features, view, grid_prompts, before, energy)
    scale = SIDE / view.side

    def place(row, column):
        return pytest.approx(((row + 0.5 - view.top) * scale - 0.5, (column + 0.5 - view.left) * scale - 0.5), abs=1.5)

    bright = 1 if colour else 0.5
    assert centre_of(channel(inputs, "first colour") > bright) == place(30, 160)
    assert centre_of(channel(inputs, "positive discs")) == place(30, 160)
    assert centre_of(channel(inputs, "negative discs")) == place(80, 40)
    assert np.array_equal(channel(inputs, "latest disc"), channel(inputs, "negative discs"))
    assert centre_of(channel(inputs, "mask so far")) == place(30, 160)
    assert centre_of(channel(inputs, "box")) == place(29.5, 159.5)
    assert centre_of(channel(inputs, "energy")) == place(30, 160)
    assert np.abs(channel(inputs, "energy")).max() == 1.0
    within = channel(inputs, "within the picture") > 0.5
    inside = channel(inputs, "mask so far") > 0.9
    assert channel(inputs, "unlike positive")[inside].max() < 0.5 < channel(inputs, "unlike negative")[inside].min()
    assert not channel(inputs, "unlike positive")[~within].any()


def test_a_picture_of_one_colour_gives_finite_inputs():
    features = extract_features(np.full((40, 30), 128, np.uint8), 256)
    inputs = make_inputs(
        features, SquareView(-5, 0, 40), GridPrompts([], None, False), None, np.zeros((40, 30), np.float32)
    )
    assert np.isfinite(inputs).all()


def test_energies_are_joined_by_the_share_and_clicks_stay_certain():
    energy = np.full(WORK, -2.0, np.float32)
    energy[CLICK.pixel] = CERTAIN_ENERGY
    seen, view = np.full((SIDE, SIDE), 4.0, np.float32), SquareView(0, 100, 100)
    joined = join_energies(energy, seen, view, 0.75)
    assert joined[CLICK.pixel] == CERTAIN_ENERGY
    assert joined[50, 120] == pytest.approx(0.25 * -2 + 0.75 * 4)
    assert joined[50, 50] == -2


def test_weights_survive_their_file_as_float16(own_weights):
    network = load_network(own_weights).network
    assert network.head[1].weight.std() > 1
    assert not network.training
    assert own_weights.stat().st_size < 6e6
    inputs = torch.randn(1, len(CHANNELS), SIDE, SIDE)
    assert network(inputs).shape == (1, SIDE, SIDE)


def test_files_that_hold_no_such_weights_are_refused(tmp_path):
    (tmp_path / "text.safetensors").write_text("no weights")
    with pytest.raises(InputError, match=r"could not be read .* expected weights of geonet"):
        GeonetSegmenter(weights=tmp_path / "text.safetensors")
    with pytest.raises(InputError, match="got no file, expected geonet:FILE; name the weights"):
        get_segmenter("geonet:")
    with pytest.raises(InputError, match="could not be read"):
        get_segmenter(f"geonet:{tmp_path / 'missing.safetensors'}")
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match="got weights of 'something else'"):
        GeonetSegmenter(weights=tmp_path / "other.safetensors")


def test_own_weights_have_their_fingerprint_and_are_not_opened_by_a_record(own_weights):
    segmenter = get_segmenter(f"geonet:{own_weights}")
    assert load_network(own_weights).digest in segmenter.fingerprint
    assert segmenter.name != "geonet"
    with pytest.raises(InputError, match="name its weights"):
        recorded_segmenter_name(segmenter.name)


def test_without_a_share_the_mask_of_a_compact_object_is_geocuts(own_weights):
    truth = ellipse((120, 160), (50, 90), (20, 30))
    pixels = np.where(truth, 170, 60).astype(np.uint8)
    click = (Click(90.5 / 160, 50.5 / 120),)
    both = (GeocutSegmenter(), GeonetSegmenter(weights=own_weights, share=0.0))
    masks = [each.predict(each.embed(pixels), click, None).mask for each in both]
    assert np.array_equal(*masks)


def test_the_networks_opinion_reaches_the_mask(own_weights):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (120, 160), dtype=np.uint8)
    click = (Click(0.5, 0.5),)
    masks = []
    for share in (0.0, 1.0):
        segmenter = GeonetSegmenter(weights=own_weights, share=share)
        masks.append(segmenter.predict(segmenter.embed(pixels), click, None).mask)
    assert not np.array_equal(*masks)


def test_a_prediction_depends_on_embedding_prompts_and_prior_alone(own_weights):
    truth = ellipse((90, 110), (40, 60), (15, 20))
    pixels = np.where(truth, 150, 70).astype(np.uint8)
    segmenter = GeonetSegmenter(weights=own_weights)
    embedding = segmenter.embed(pixels)
    prompts = (Click(0.55, 0.45), Click(0.1, 0.1, positive=False))
    first = segmenter.predict(embedding, prompts[:1], None)
    again = [segmenter.predict(segmenter.embed(pixels), prompts, first.prior).mask for _ in range(2)]
    assert isinstance(first.prior, MaskPrior)
    assert np.array_equal(*again)
