"""A reader that takes one of several for the user says so wherever notes are told, and is silent where one is named."""

import base64

import numpy as np
import pytest
from PIL import Image
from support.command_line import call
from support.dicom_series_fixtures import VOLUME, write_enhanced, write_series
from support.fakes import STOP, positive, script
from support.image_fixtures import GREY, write_dicom, write_nifti, write_png

from ibisagent.agent.integrations import segmentation_tool
from ibisagent.tools.errors import InputError
from ibisagent.tools.imaging.open_image import open_image


def tiff(folder):
    pages = [Image.fromarray(GREY + number) for number in range(3)]
    return write_png(GREY, folder / "a.tif", save_all=True, append_images=pages[1:])


def npz(folder):
    np.savez(folder / "a.npz", imgs=np.stack([GREY] * 5))
    return folder / "a.npz"


def loose(folder):
    for number in range(3):
        write_dicom(folder / f"{number}.dcm", GREY.astype(np.int16), InstanceNumber=number, SeriesInstanceUID="1.2")
    return folder


def stack(folder):
    write_series(folder)
    return folder


SOURCES = {
    "nifti": (lambda folder: write_nifti(folder / "a.nii.gz"), "slice: took the middle one, axial:2 of 0..4"),
    "npz": (npz, "slice: took the middle one, 2 of 0..4"),
    "dicom series": (stack, "slice: took the middle one, axial:2 of 0..4"),
    "dicom without places": (loose, "slice: took the middle one, 1 of 0..2"),
    "enhanced dicom": (lambda folder: write_enhanced(folder / "a.dcm"), "slice: took the middle one, axial:2 of 0..4"),
    "tiff": (tiff, "page: took the first one, 0, of several"),
}


@pytest.mark.parametrize("kind", SOURCES)
def test_what_was_taken_is_said_unless_it_was_named(kind, tmp_path):
    make, said = SOURCES[kind]
    path = make(tmp_path)
    taken = open_image(path)
    assert taken.notes[0] == f"{said}; choose with slice (--slice)"
    named = open_image(path, slice=taken.slice)
    assert named.sha == taken.sha
    assert named.notes == taken.notes[1:]


def test_of_one_there_is_nothing_to_choose(tmp_path):
    write_nifti(tmp_path / "thin.nii.gz", volume=np.ones((5, 6, 1), np.int16))
    np.savez(tmp_path / "one.npz", imgs=GREY[None])
    (tmp_path / "one").mkdir()
    write_series(tmp_path / "one", VOLUME[:1])
    for name in ("thin.nii.gz", "one.npz", "one"):
        assert not [note for note in open_image(tmp_path / name).notes if "took" in note]
    assert open_image(write_png(GREY, tmp_path / "a.png")).notes == ()


def test_a_picture_of_a_data_url_and_a_series_among_others(tmp_path):
    url = f"data:image/tiff;base64,{base64.b64encode(tiff(tmp_path).read_bytes()).decode()}"
    assert open_image(url).notes == ("page: took the first one, 0, of several; choose with slice (--slice)",)
    assert open_image(url, slice="1").notes == ()
    write_series(tmp_path / "a", SeriesNumber=4)
    write_series(tmp_path / "b", SeriesNumber=5, Modality="SEG")
    said = "series: took 4 (CT, 5 pictures of 6 x 7), the only one of pictures among 2; choose with slice=NUMBER/..."
    assert said in open_image(tmp_path).notes
    assert not [note for note in open_image(tmp_path, slice="4/axial:1").notes if "took" in note]


def test_the_command_line_and_the_tool_say_it(tmp_path):
    write_nifti(tmp_path / "a.nii.gz", volume=np.full((16, 18, 9), 7, np.int16))
    said = "slice: took the middle one, axial:4 of 0..8; choose with slice (--slice)"
    command = ["segment", "a.nii.gz", "Segment it.", "--policy", "centre", "--segmenter", "disk", "--out", "o"]
    assert said in call(*command, cwd=tmp_path).stdout
    assert "took" not in call(*command, "--slice", "axial:4", cwd=tmp_path).stdout
    tool = segmentation_tool(script(positive(0.5, 0.5), STOP), "disk", root=tmp_path)
    for named, told in (("axial:4", False), (None, True), ("axial:4", False)):
        asked = {"image": "a.nii.gz", "request": "Segment it.", "slice": named}
        message = tool.invoke({"name": tool.name, "args": asked, "id": "1", "type": "tool_call"})
        assert (f"Note: {said}." in message.content) == told


@pytest.mark.parametrize("number", [2, np.int64(2)])
def test_a_number_is_taken_as_its_text(tmp_path, number):
    for source in (tiff(tmp_path), write_enhanced(tmp_path / "a.dcm")):
        image, named = open_image(source, slice=number), open_image(source, slice="2")
        assert (image.slice, image.sha) == ("2", named.sha)
        assert open_image(image, slice=number) is image


@pytest.mark.parametrize("argument", ["slice", "window"])
@pytest.mark.parametrize("given", [1.5, True, ["middle"], (40, 400)])
def test_another_type_is_refused_with_what_is_taken(tmp_path, argument, given):
    says = f"^{argument}: got {type(given).__name__}, expected .*text such as"
    for source in (tiff(tmp_path), write_enhanced(tmp_path / "a.dcm")):
        with pytest.raises(InputError, match=says):
            open_image(source, **{argument: given})
