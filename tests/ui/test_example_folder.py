"""The example's pictures: written whole or not at all, and the quickstart's commands do on them what it says."""

import json

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from ibisagent.tools.datasets import read_dataset
from ibisagent.tools.errors import InputError
from ibisagent.tools.imaging.open_image import open_image
from ibisagent.tools.masks.measure import iou
from ibisagent.tools.masks.reading import read_mask
from ibisagent.ui.cli.app import app
from ibisagent.ui.example_folder import write_example

PICTURES = {"scan.png": "truth.png", "spleen.png": "spleen-truth.png", "mri.dcm": "mri-truth.png"}
PICTURES |= {"nuclei.png": "nuclei-truth.png"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("example")
    write_example(folder)
    return folder


def test_every_picture_has_its_mask_and_the_data_set_reads(folder):
    for picture, truth in PICTURES.items():
        assert read_mask(folder / truth, open_image(folder / picture)).any()
    there = {case.id: bool(case.read_truth(case.open()).any()) for case in read_dataset(folder / "dataset")}
    assert there == {"scan": True, "spleen": True, "polyp": False}


def test_it_is_written_again_but_over_no_other_file(folder, tmp_path):
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    write_example(folder)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    (tmp_path / "truth.png").write_text("mine")
    with pytest.raises(InputError, match=r"truth.png: got another file of this name, expected none"):
        write_example(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["truth.png"]


@pytest.mark.parametrize(
    ("image", "request_", "options", "stop", "least"),
    [
        ("spleen.png", "Segment the spleen.", (), "terminated", 0.6),
        ("polyp.png", "Segment the polyp.", (), "target_absent", None),
        ("scan.png", "Segment the liver lesion.", ("--click", "+0.285,0.415"), "terminated", 0.95),
    ],
)
def test_the_lead_examples_do_what_the_quickstart_says(folder, tmp_path, image, request_, options, stop, least):
    given = ["segment", str(folder / image), request_, *options, "--out", str(tmp_path / "o")]
    assert CliRunner().invoke(app, given).exit_code == 0
    record = json.loads((tmp_path / "o/trajectory.json").read_text())
    mask = np.asarray(Image.open(tmp_path / "o/mask.png")) > 0
    assert record["stop"] == stop
    if least is None:
        assert not mask.any()
    else:
        assert iou(mask, read_mask(folder / PICTURES[image], open_image(folder / image))) >= least
