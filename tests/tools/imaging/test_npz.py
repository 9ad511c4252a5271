"""NPZ files of the CVPR MedSAM challenges: pictures, frames, labels and prompts, and those that lie."""

import io
import pickle
import zipfile

import numpy as np
import pytest
from support.image_fixtures import COLOUR, GREY

from ibisagent.tools.errors import InputError
from ibisagent.tools.export import save_mask
from ibisagent.tools.imaging.grids import Spacing
from ibisagent.tools.imaging.npz import read_prompts
from ibisagent.tools.imaging.open_image import open_image
from ibisagent.tools.imaging.window import apply_window, parse_window
from ibisagent.tools.masks.label_maps import count_label_areas
from ibisagent.tools.masks.reading import read_mask

FRAMES = np.stack([GREY, GREY[::-1], GREY[:, ::-1], 255 - GREY])
GTS = np.zeros(FRAMES.shape, np.uint8)
GTS[1, 1:3, 2:5], GTS[2, 0, 0], GTS[2, 3, 3:5] = 1, 1, 4


def archive(path, compressed=True, **arrays):
    (np.savez_compressed if compressed else np.savez)(path, **arrays)
    return path


def volume(path, **more):
    return archive(path, imgs=FRAMES, gts=GTS, **{"spacing": (0.5, 0.75, 3.0)} | more)


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("order", ["C", "F"])
def test_frames_open_by_number_and_the_middle_one_by_default(tmp_path, compressed, order):
    path = archive(tmp_path / "a.npz", compressed, imgs=np.asarray(FRAMES, order=order), spacing=[0.5, 0.75, 3])
    images = [open_image(path, slice=str(number)) for number in range(4)]
    assert np.array_equal([image.pixels for image in images], FRAMES)
    assert {image.spacing for image in images} == {Spacing(row=0.75, column=0.5)}
    middle = open_image(path)
    assert (middle.slice, middle.sha, middle.values, middle.modality) == ("2", images[2].sha, None, None)
    assert open_image(middle.uri, slice=middle.slice).sha == middle.sha


def test_colour_picture_and_colour_frames(tmp_path):
    picture = open_image(archive(tmp_path / "a.npz", imgs=COLOUR).rename(tmp_path / "a.NPZ"))
    assert np.array_equal(picture.pixels, COLOUR)
    assert (picture.slice, picture.spacing) == (None, None)
    frames = archive(tmp_path / "b.npz", imgs=np.stack([COLOUR, COLOUR[::-1]]))
    assert np.array_equal(open_image(frames, slice="0").pixels, COLOUR)
    assert np.array_equal(open_image(archive(tmp_path / "c.npz", imgs=GREY)).pixels, GREY)


def test_window_of_a_grey_frame(tmp_path):
    path = volume(tmp_path / "a.npz")
    shown = open_image(path, slice="0", window="100,50")
    assert np.array_equal(
        shown.pixels, apply_window(GREY.astype(np.float32), parse_window("100,50", "", hounsfield=False))
    )
    for target, window in ((path, "liver"), (archive(tmp_path / "b.npz", imgs=COLOUR), "100,50")):
        with pytest.raises(InputError, match="window"):
            open_image(target, window=window)


@pytest.mark.parametrize("spacing", [None, (1, 0, 1), (1.0, np.nan, 1.0), 3.0, [], ["a", "b"]], ids=str)
def test_unsound_spacing_is_unknown(tmp_path, spacing):
    assert open_image(volume(tmp_path / "a.npz", spacing=spacing)).spacing is None


@pytest.mark.parametrize("wanted", ["4", "-1", "axial:1", "middle:"])
def test_wrong_frame_lists_the_range(tmp_path, wanted):
    with pytest.raises(InputError, match="a number from 0 to 3"):
        open_image(volume(tmp_path / "a.npz"), slice=wanted)


def test_mask_is_the_image_s_frame_of_the_labels(tmp_path):
    path = volume(tmp_path / "a.npz")
    images = [open_image(path, slice=str(number)) for number in range(4)]
    assert np.array_equal([read_mask(path, image) for image in images], GTS > 0)
    assert [int(read_mask(path, images[2], values=values).sum()) for values in (1, 4, (1, 4))] == [1, 2, 3]
    assert count_label_areas(path) == {"0": {}, "1": {1: 6}, "2": {1: 1, 4: 2}, "3": {}}
    flat = archive(tmp_path / "b.npz", imgs=COLOUR, gts=GTS[2].astype(np.int64))
    assert np.array_equal(read_mask(flat, open_image(flat), values=4), GTS[2] == 4)
    assert count_label_areas(flat) == {None: {1: 1, 4: 2}}


def test_mask_of_an_npz_picture_saves_as_png(tmp_path):
    image = open_image(volume(tmp_path / "a.npz"), slice="1")
    save_mask(tmp_path / "m.png", GTS[1] > 0, image)
    assert np.array_equal(read_mask(tmp_path / "m.png", image), GTS[1] > 0)


MISFITS = [GTS.astype(np.float32), GTS[:, :2], GTS[:1, :1], GTS[..., None]]


@pytest.mark.parametrize("gts", MISFITS, ids=lambda gts: f"{gts.dtype}{gts.shape}")
def test_labels_that_do_not_fit_are_refused(tmp_path, gts):
    path = archive(tmp_path / "a.npz", imgs=FRAMES, gts=gts)
    with pytest.raises(InputError, match="got"):
        read_mask(path, open_image(path))


# Prompts


def prompted(path, said, protocol=None):
    """Write ``text_prompts`` as NumPy does, whose pickles have differed over the years."""
    volume(path, text_prompts=np.array(said, dtype=object))
    if protocol is not None:
        with zipfile.ZipFile(path, "w") as archive, archive.open("text_prompts.npy", "w") as stream:
            np.lib.format.write_array_header_1_0(stream, {"descr": "|O", "fortran_order": False, "shape": ()})
            stream.write(pickle.dumps(np.array(said, dtype=object), protocol))
    return path


SAID = {"1": "the liver", "4": "the liver", "11": "Gefäß", "instance_label": 0}


@pytest.mark.parametrize("protocol", [None, 2, 3, 4, 5])
def test_prompts_are_read_whatever_the_pickle_s_protocol(tmp_path, protocol):
    assert read_prompts(prompted(tmp_path / "a.npz", SAID, protocol)) == SAID


@pytest.mark.parametrize("said", [{}, None, "text", 3, ["a"], {"1": ["a", "b"]}, {1: "a"}, {"1": None}], ids=str)
def test_other_prompts_are_none(tmp_path, said):
    assert read_prompts(prompted(tmp_path / "a.npz", said)) == {}
    assert read_prompts(volume(tmp_path / "b.npz")) == {}


class _Trap:
    def __reduce__(self):
        return open, ("sprung", "w")


def test_pickles_are_never_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trap = np.array({"1": _Trap()}, dtype=object)
    path = archive(tmp_path / "a.npz", imgs=FRAMES, gts=np.array([_Trap()]), spacing=trap, text_prompts=trap)
    assert read_prompts(path) == {}
    assert open_image(path).spacing is None
    with pytest.raises(InputError, match="gts of object"):
        read_mask(path, open_image(path))
    (tmp_path / "b.npz").write_bytes(pickle.dumps(_Trap()))
    with pytest.raises(InputError):
        open_image(tmp_path / "b.npz")
    assert not (tmp_path / "sprung").exists()


# Hostile files


def claiming(shape, body=b"\0" * 100, dtype="|u1", compression=zipfile.ZIP_DEFLATED, name="imgs.npy"):
    """An archive whose array claims ``shape`` and holds ``body``."""
    buffer, member = io.BytesIO(), io.BytesIO()
    np.lib.format.write_array_header_1_0(member, {"descr": dtype, "fortran_order": False, "shape": shape})
    with zipfile.ZipFile(buffer, "w", compression) as made:
        made.writestr(name, member.getvalue() + body)
    return buffer.getvalue()


def swollen():
    """An archive that claims to unpack to gigabytes."""
    content = bytearray(claiming((2**16, 2**15)))
    place = content.rindex(b"PK\x01\x02") + 24
    content[place : place + 4] = (2**31).to_bytes(4, "little")
    return bytes(content)


def whole(**arrays):
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


HOSTILE = {
    "empty": b"",
    "text": b"no archive",
    "half": whole(imgs=np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8))[:2000],
    "no imgs": whole(gts=GTS),
    "no array": claiming((), name="imgs.txt"),
    "more than held": claiming((1000, 1000)),
    "less than held": claiming((2, 2)),
    "swollen": swollen(),
    "negative": claiming((-10, -10)),
    "objects": claiming((10,), dtype="|O"),
    "texts": claiming((25,), dtype="<U1"),
    "fields": whole(imgs=np.zeros((2, 2), [("a", "u1")])),
    "floats": whole(imgs=GREY / 255),
    "flat": whole(imgs=GREY[0]),
    "4-D": whole(imgs=np.zeros((2, 3, 4, 2), np.uint8)),
    "5-D": whole(imgs=np.zeros((1, 1, 3, 4, 3), np.uint8)),
    "no pixels": whole(imgs=np.zeros((0, 4), np.uint8)),
    "no frames": whole(imgs=np.zeros((0, 4, 5), np.uint8)),
    "large": whole(imgs=np.zeros((10_000, 10_000), np.uint8)),
    "bzip2": claiming((10, 10), compression=zipfile.ZIP_BZIP2),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_archive_is_refused_in_one_line(tmp_path, name):
    path = tmp_path / "a.npz"
    path.write_bytes(HOSTILE[name])
    for read in (open_image, lambda path: read_mask(path, open_image(GREY))):
        if name == "no imgs" and read is not open_image:
            continue
        with pytest.raises(InputError) as caught:
            read(path)
        assert str(caught.value).isprintable()
        assert "a.npz" in str(caught.value)


def test_large_picture_is_named_by_its_size(tmp_path):
    (tmp_path / "a.npz").write_bytes(HOSTILE["large"])
    with pytest.raises(InputError, match="10000 x 10000"):
        open_image(tmp_path / "a.npz")


def test_zip_under_another_name_is_no_picture(tmp_path):
    (tmp_path / "a.zip").write_bytes(whole(imgs=FRAMES))
    with pytest.raises(InputError, match="without DICOM pictures"):
        open_image(tmp_path / "a.zip")
