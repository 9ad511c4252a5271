"""The click benchmark on discs: its counting, its rows, and what it refuses."""

import numpy as np
import pytest
from fakes import Counting
from PIL import Image
from typer.testing import CliRunner

from ibisagent.evals.clicks import click_run, click_sequence, clicks_to, main, rough
from ibisagent.tools.clicks import Pixel
from ibisagent.tools.errors import InputError
from ibisagent.tools.measure import iou
from ibisagent.tools.segmenters.disk import DiskSegmenter
from ibisagent.tools.simulator import NextClick

PIXELS = np.zeros((40, 60), np.uint8)


def square(top, left, size):
    mask = np.zeros(PIXELS.shape, np.bool_)
    mask[top : top + size, left : left + size] = True
    return mask


def folder(tmp_path, masks):
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    for index, mask in enumerate(masks):
        Image.fromarray(PIXELS).save(tmp_path / "images" / f"{index}.png")
        Image.fromarray(mask.astype(np.uint8) * 255).save(tmp_path / "masks" / f"{index}.png")
    return tmp_path


def run(*arguments):
    import typer

    app = typer.Typer()
    app.command()(main)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_sequence_has_an_iou_for_every_click_and_rises_on_discs():
    ious = click_sequence(DiskSegmenter(), PIXELS, square(10, 10, 20), clicks=8)
    assert len(ious) == 8
    assert ious[-1] > ious[0] > 0


def test_first_click_is_the_deepest_point_and_embed_runs_once():
    segmenter = Counting(radius=1 / 60)
    truth = square(10, 10, 7)
    ious = click_sequence(segmenter, PIXELS, truth, clicks=3)
    assert ious[0] == pytest.approx(5 / 49)
    assert segmenter.embeds == 1


def test_perfect_mask_ends_the_run_and_repeats_in_the_sequence():
    truth = square(10, 10, 1)
    assert click_run(DiskSegmenter(radius=0), PIXELS, truth).ious == [1.0]
    assert click_sequence(DiskSegmenter(radius=0), PIXELS, truth, clicks=4) == [1.0] * 4


@pytest.mark.parametrize(("target", "count"), [(0.5, 1), (0.8, 3), (0.95, 4)])
def test_clicks_to_counts_from_one_and_ends_at_all(target, count):
    assert clicks_to([0.6, 0.7, 0.9, 0.85], target) == count


def test_iou_of_two_empty_masks_is_one():
    assert iou(square(0, 0, 0), square(0, 0, 0)) == 1.0


def test_rough_clicks_repeat_and_stay_in_the_wrong_region():
    truth, empty = square(5, 5, 21), square(0, 0, 0)
    click = NextClick(Pixel(15, 15), positive=True)
    places = [rough(0)(click, empty, truth) for _ in range(2)]
    assert places[0] == places[1] != click.pixel
    assert all(8 <= rough(seed)(click, empty, truth).row <= 22 for seed in range(20))


def test_command_prints_a_row_for_each_segmenter(tmp_path):
    path = folder(tmp_path, [square(10, 10, 20), square(5, 30, 9), square(0, 0, 0)])
    result = run(path, "--segmenter", "disk", "--segmenter", "geodesic", "--clicks", "5", "--jitter")
    assert result.exit_code == 0, result.output
    rows = [line.split() for line in result.output.splitlines() if line.startswith(("disk", "geodesic"))]
    assert [(row[:2], len(row)) for row in rows][-2:] == [(["disk", "2"], 11), (["geodesic", "2"], 11)]


def test_command_refuses_an_unknown_segmenter_and_an_empty_folder(tmp_path):
    assert isinstance(run(tmp_path, "--segmenter", "nonesuch").exception, InputError)
    assert isinstance(run(tmp_path).exception, InputError)
