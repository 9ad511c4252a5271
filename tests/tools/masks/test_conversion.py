"""A mask in every form that a caller may have it in, and what only looks like one."""

import base64
import io
import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco
from support.fakes import STOP, script
from support.geometry_fixtures import LETTER, PICTURE

from ibisagent.agent import build_graph
from ibisagent.agent.policies import OraclePolicy
from ibisagent.tools.errors import InputError
from ibisagent.tools.export import save_mask
from ibisagent.tools.imaging.open_image import open_image
from ibisagent.tools.masks.conversion import as_mask
from ibisagent.tools.masks.reading import read_mask
from ibisagent.tools.masks.rle import encode

GREY = LETTER.astype(np.uint8)


def runs(mask):
    flat = np.concatenate([[False], mask.T.ravel()])
    ends = np.flatnonzero(np.diff(flat)) if flat.any() else np.array([], int)
    return np.diff([0, *ends, mask.size]).tolist()


def url(picture):
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def palette(colours):
    picture = Image.frombytes("P", LETTER.shape[::-1], GREY.tobytes())
    picture.putpalette(colours)
    return picture


THEIRS = coco.encode(np.asfortranarray(GREY))
SIZE = list(LETTER.shape)
FORMS = {
    "bool": LETTER,
    "0 and 255": GREY * 255,
    "floats": LETTER.astype(np.float32),
    "nothing else than NaN": np.where(LETTER, 1.0, np.nan),
    "a first axis": LETTER[None],
    "a last axis": LETTER[..., None],
    "lists": LETTER.tolist(),
    "tuples of numbers": tuple(tuple(row) for row in (GREY * 7).tolist()),
    "counts as text": encode(LETTER),
    "counts as bytes": THEIRS,
    "counts as a list": {"size": SIZE, "counts": runs(LETTER)},
    "counts as an array": {"size": np.array(SIZE), "counts": np.array(runs(LETTER))},
    "counts as floats": {"size": tuple(SIZE), "counts": [float(run) for run in runs(LETTER)]},
    "PIL 1": Image.fromarray(LETTER),
    "PIL L": Image.fromarray(GREY),
    "PIL RGBA by its alpha": Image.fromarray(np.dstack([GREY * 0 + 255] * 3 + [GREY * 255])),
    "PIL RGBA of one colour": Image.fromarray(np.dstack([GREY * 0 + 200, GREY * 0, GREY * 0, GREY * 128])),
    "PIL RGBA by a black one's alpha": Image.fromarray(np.dstack([GREY * 0] * 3 + [GREY * 255])),
    "PIL LA by its alpha": Image.fromarray(np.dstack([GREY * 0 + 255, GREY * 255])),
    "PIL RGBA by its colour": Image.fromarray(np.dstack([GREY * 200, GREY * 0, GREY * 0, GREY * 0])),
    "counts in a view": {"size": SIZE, "counts": memoryview(THEIRS["counts"])},
    "PIL P": palette([0, 0, 0, 128, 0, 0]),
    "PIL P without colours": Image.frombytes("P", LETTER.shape[::-1], GREY.tobytes()),
    "PIL RGB": Image.fromarray(np.dstack([GREY * 0, GREY * 200, GREY * 3])),
    "PIL LA": Image.fromarray(GREY).convert("LA"),
    "PIL F": Image.fromarray(LETTER.astype(np.float32)),
    "PIL I;16": Image.fromarray(GREY.astype(np.uint16) * 999),
    "data URL": url(Image.fromarray(GREY * 255)),
}


def tensors():
    torch = pytest.importorskip("torch")
    mask = torch.from_numpy(LETTER)
    kinds = ["bool", "uint8", "int64", "float16", "bfloat16", "float32", "float64"]
    return [mask.to(getattr(torch, kind)) for kind in kinds] + [mask[None, None], mask.float().requires_grad_()]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_the_same_mask_at_every_door(form, tmp_path):
    given = FORMS[form]
    assert np.array_equal(as_mask(given), LETTER)
    assert np.array_equal(read_mask(given, PICTURE), LETTER)
    ended = build_graph(script(STOP), "disk").invoke({"image": PICTURE, "request": "x", "initial_mask": given})
    assert ended["mask"] == encode(LETTER)
    for truth in (given, {PICTURE.sha: given}):
        ended = build_graph(OraclePolicy(truth), "disk").invoke(
            {"image": PICTURE, "request": "x", "initial_mask": LETTER}
        )
        assert (ended["stop"], len(ended["steps"])) == ("terminated", 1)
    save_mask(tmp_path / "m.png", given, PICTURE)
    assert np.array_equal(read_mask(tmp_path / "m.png", PICTURE), LETTER)


def test_a_picture_of_one_colour_that_is_clear_all_over_is_an_empty_mask():
    clear = Image.fromarray(np.dstack([GREY * 0 + 255] * 3 + [GREY * 0]))
    assert not as_mask(clear).any()
    clear.putalpha(255)
    assert as_mask(clear).all()
    soft = Image.fromarray(np.dstack([GREY * 0 + 255] * 3 + [GREY * 255]))
    soft.putpixel((5, 4), (255, 255, 255, 90))
    with pytest.raises(InputError, match="got 3 values"):
        as_mask(soft)


def test_a_mask_of_several_pages_belongs_to_no_picture_of_one(tmp_path):
    pages = [Image.fromarray(np.zeros_like(GREY)), Image.fromarray(GREY)]
    pages[0].save(tmp_path / "m.tif", save_all=True, append_images=pages[1:])
    with pytest.raises(InputError, match=r"m\.tif: got a mask of several pages for a picture of one"):
        read_mask(tmp_path / "m.tif", PICTURE)
    assert np.array_equal(read_mask(tmp_path / "m.tif", open_image(tmp_path / "m.tif", slice="1")), LETTER)


def test_a_coco_result_is_not_taken_for_a_mask(tmp_path):
    found = [{"image_id": 1, "category_id": 1, "segmentation": encode(LETTER), "score": 0.9}]
    (tmp_path / "m.json").write_text(json.dumps(found))
    for given in (found, tmp_path / "m.json"):
        with pytest.raises(InputError, match=r"as COCO annotations and results are.*give the segmentation of one"):
            read_mask(given, PICTURE)


def test_a_tensor_of_any_kind_is_a_mask():
    for given in tensors():
        assert np.array_equal(as_mask(given), LETTER)


def test_a_tensor_on_a_device_is_brought_here():
    class Tensor:  # what of a CUDA tensor's methods this needs, in their order
        def __init__(self, calls=()):
            self.calls = calls

        def detach(self):
            return Tensor((*self.calls, "detach"))

        def cpu(self):
            return Tensor((*self.calls, "cpu"))

        def is_floating_point(self):
            return False

        def __array__(self, *_args, **_kwargs):
            raise TypeError("can't convert cuda:0 device type tensor to numpy")

        def numpy(self):
            assert self.calls == ("detach", "cpu")
            return LETTER

    assert np.array_equal(as_mask(Tensor()), LETTER)


def test_a_torch_cuda_tensor_is_a_mask():
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("no device")
    assert np.array_equal(as_mask(torch.from_numpy(LETTER).cuda().half()), LETTER)


SOFT = np.where(LETTER, 0.9, np.linspace(0, 0.3, LETTER.size).reshape(LETTER.shape))
NO_MASKS = {
    "a soft mask": (SOFT, r"got \d+ values, expected two \(0 and another\); threshold it"),
    "several labels": (GREY * np.arange(1, 6, dtype=np.uint8)[:, None], r"got 6 values, expected two .*label"),
    "two values and no 0": (GREY + 1, r"got 2 values, none of them 0, expected two"),
    "a grey picture": (Image.fromarray((SOFT * 255).astype(np.uint8)), r"got \d+ values, expected two"),
    "a palette of labels": (Image.fromarray(GREY * 2 + GREY.T[:5, :1]).convert("P"), r"got \d values, expected two"),
    "another size": (LETTER.T, r"got a mask of \(6, 5\), expected the image's \(5, 6\)"),
    "many channels": (np.zeros((5, 6, 3)), r"got a mask of \(5, 6, 3\), expected the image's"),
    "ragged lists": ([[1, 0], [1]], "got list without numbers in rows"),
    "text": ([["a"]], "expected bool or numbers"),
    "nothing": (None, "expected bool or numbers|without numbers"),
    "an object": (object(), "expected bool or numbers|without numbers"),
    "bytes": (b"\x89PNG", "got bytes, expected an array"),
    "runs that are short": ({"size": SIZE, "counts": [3, 4]}, "run lengths that do not fit"),
    "runs below zero": ({"size": SIZE, "counts": [-3, 33]}, "run lengths that do not fit"),
    "runs of no whole number": ({"size": SIZE, "counts": [3.5, 26.5]}, "run lengths that do not fit"),
    "runs of texts": ({"size": SIZE, "counts": ["30"]}, "run lengths that do not fit"),
    "runs of a picture too large": ({"size": [10**6, 10**6], "counts": [10**12]}, "run lengths that do not fit"),
    "bytes that are none": ({"size": SIZE, "counts": b"\xff"}, "run lengths that do not fit"),
    "an empty object": ({}, "run lengths that do not fit"),
}


@pytest.mark.parametrize("name", NO_MASKS)
def test_what_is_no_mask_is_refused_in_one_line(name):
    given, says = NO_MASKS[name]
    with pytest.raises(InputError, match=says) as caught:
        read_mask(given, PICTURE)
    assert str(caught.value).isprintable()


def test_an_oracle_s_truth_is_held_to_the_same():
    for given in (SOFT, "truth.png", LETTER[0]):
        with pytest.raises(InputError, match="oracle: true mask: got"):
            OraclePolicy(given)


def test_labels_are_picked_out_of_any_form():
    labels = GREY * 2 + np.arange(6, dtype=np.uint8)
    for given in (labels, labels.tolist(), Image.fromarray(labels), url(Image.fromarray(labels))):
        assert np.array_equal(read_mask(given, PICTURE, values=(2, 3)), np.isin(labels, (2, 3)))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("form", ["lists", "counts as text", "counts as a list"])
def test_a_json_mask_is_read_with_any_mark_at_its_start(form, encoding, tmp_path):
    (tmp_path / "m.json").write_text(json.dumps(FORMS[form]), encoding)
    assert np.array_equal(read_mask(tmp_path / "m.json", PICTURE), LETTER)


def photo(tmp_path, kind):
    rows, columns = np.mgrid[:96, :128]
    grey = (127 + 60 * np.sin(rows / 9) * np.cos(columns / 11)).astype(np.uint8)
    Image.fromarray(grey).save(tmp_path / f"p.{kind}")
    return tmp_path / f"p.{kind}", open_image(np.zeros(grey.shape, np.uint8))


@pytest.mark.parametrize("kind", ["png", "jpg", "webp", "tif", "bmp"])
def test_a_photograph_is_no_mask_in_any_format(kind, tmp_path):
    path, image = photo(tmp_path, kind)
    with Image.open(path) as opened:
        for given in (path, opened, url(opened)):
            with pytest.raises(InputError, match=r"got \d+ values.*expected two \(0 and another\); threshold it"):
                read_mask(given, image)


@pytest.mark.parametrize("quality", [30, 75, 95])
@pytest.mark.parametrize("kind", ["jpg", "webp"])
def test_a_lossy_mask_is_cut_in_the_middle_also_in_memory(kind, quality, tmp_path):
    mask = np.kron(LETTER, np.ones((16, 16), bool))
    image = open_image(np.zeros(mask.shape, np.uint8))
    Image.fromarray(mask.astype(np.uint8) * 255).save(tmp_path / f"m.{kind}", quality=quality)
    with Image.open(tmp_path / f"m.{kind}") as opened:
        for given in (tmp_path / f"m.{kind}", opened):
            assert np.array_equal(read_mask(given, image), mask)


def test_levels_that_a_jpeg_cannot_keep_are_refused(tmp_path):
    mask = np.kron(LETTER, np.ones((16, 16), np.uint8))
    mask[3::7, 2::5] ^= 1
    image = open_image(np.zeros(mask.shape, np.uint8))
    for level in (20, 128):
        Image.fromarray(mask * level).save(tmp_path / "m.jpg")
        with pytest.raises(InputError, match="threshold it and save it as PNG"):
            read_mask(tmp_path / "m.jpg", image)


def test_a_mask_that_exif_turns_is_turned_in_memory_as_in_a_file(tmp_path):
    stored = Image.fromarray(np.rot90(GREY).copy() * 255)
    exif = stored.getexif()
    exif[0x0112] = 6
    stored.save(tmp_path / "m.png", exif=exif)
    with Image.open(tmp_path / "m.png") as opened:
        assert np.array_equal(read_mask(opened, PICTURE), LETTER)
    assert np.array_equal(read_mask(tmp_path / "m.png", PICTURE), LETTER)


def test_torch_is_not_asked_for():
    used = "from ibisagent.tools.masks.reading import as_mask; as_mask([[1, 0]])"
    code = f"import sys; {used}; assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (
            {"images": [], "annotations": [], "categories": []},
            "got a COCO annotation file, .*; read it with a category",
        ),
        ({"segmentation": [[0, 0, 2, 0, 2, 2]], "bbox": [0, 0, 2, 2]}, "got a COCO annotation, .*; save its segm"),
        ({"size": SIZE, "counts": [3, 4]}, "got run lengths that do not fit"),
        ({"size": SIZE, "counts": "rubbish"}, "got run lengths that do not fit"),
    ],
)
def test_a_json_file_that_holds_no_mask_is_named_with_what_it_holds(content, says, tmp_path):
    (tmp_path / "m.json").write_text(json.dumps(content))
    for given, name in ((tmp_path / "m.json", "m.json"), (content, "mask")):
        with pytest.raises(InputError, match=f"^{name}: {says}") as caught:
            read_mask(given, PICTURE)
        assert str(caught.value).isprintable()
