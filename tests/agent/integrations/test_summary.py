"""What is told of a mask: only what is known, in words that a language model can use."""

import re
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.errors import GraphRecursionError
from support.fakes import STOP, positive, script

import ibisagent.agent.integrations as embedding
from ibisagent.agent import Click, build_graph
from ibisagent.agent.integrations import summarize, summarize_result, user_message
from ibisagent.agent.threads import intervene
from ibisagent.tools.errors import InputError, MissingExtra, StoreError
from ibisagent.tools.imaging.open_image import open_image
from ibisagent.tools.masks.measure import measure_on_image
from ibisagent.tools.masks.rle import decode, encode, rle_key

ONCE = script(positive(0.5, 0.4), STOP)


def run(image, policy=ONCE, segmenter="disk"):
    graph = build_graph(policy, segmenter)
    return graph, graph.invoke({"image": image, "request": "x"})


@pytest.fixture
def ct(tmp_path, truth):
    """An axial CT slice, 1.5 x 2 mm a pixel, its picture's left the patient's right."""
    volume = np.where(truth, 60, -40).astype(np.int16)[::-1].T[..., None]  # (x, y, z) of RAS, columns towards the left
    nib.save(nib.Nifti1Image(volume[::-1], np.diag([1.5, 2.0, 5.0, 1.0])), tmp_path / "ct.nii.gz")
    return open_image(tmp_path / "ct.nii.gz")


def told_of(mask, image, **known):
    return summarize_result(
        {"mask": encode(mask), "stop": "terminated", "score": 0.75, **known}, image, calibrated=True
    )


def test_spacing_gives_mm_and_geometry_the_patient_s_side(ct, truth):
    mask = truth.copy()
    mask[:, 64:] = False
    told = told_of(mask, ct)
    assert f"area {mask.sum() * 3:,} mm²" in told.text
    assert "patient's right" in told.text
    assert f"{mask.sum():,} of the picture's 128 x 96 px" in told.text
    assert told.measurements == measure_on_image(mask, ct)


def test_without_geometry_neither_mm_nor_sides_are_told(pixels, truth):
    told = told_of(truth, open_image(pixels))
    assert "mm" not in told.text
    assert "patient" not in told.text
    assert "in the middle of the picture" in told.text


def test_confidence_is_told_only_where_it_means_something(pixels):
    for segmenter, calibrated in (("geocut", True), ("disk", False), ("geodesic", False)):
        graph, ended = run(pixels, segmenter=segmenter)
        told = summarize(graph, ended)
        assert ("Confidence" in told.text) == (told.confidence is not None) == calibrated
    assert summarize_result(ended, open_image(pixels)).confidence is None


def test_the_box_holds_the_mask_and_no_more(pixels, truth):
    told = told_of(truth, open_image(pixels))
    x0, y0, x1, y1 = np.multiply(told.box, [128, 96, 128, 96])
    rows, columns = np.nonzero(truth)
    assert (x0, y0, x1, y1) == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    assert (told.mask_key, told.found) == (rle_key(encode(truth)), True)


@pytest.mark.parametrize(
    ("place", "words"),
    [((0, 0), "upper left"), ((95, 127), "lower right"), ((0, 60), "upper middle"), ((50, 5), "in the left of")],
)
def test_the_part_of_the_picture_is_named(place, words, pixels):
    mask = np.zeros(pixels.shape, bool)
    mask[place] = True
    assert words in told_of(mask, open_image(pixels)).text


def test_an_empty_mask_is_not_called_absent_when_something_failed(pixels):
    image, nothing = open_image(pixels), np.zeros(pixels.shape, bool)
    assert told_of(nothing, image, stop="target_absent").text.startswith("Not found.")
    failed = told_of(nothing, image, stop="policy_error", error="APIConnectionError: http://10.0.0.7/DOE: /data/DOE")
    assert failed.text.startswith("There is no mask. The clicking model failed (APIConnectionError);")
    assert "DOE" not in failed.text
    assert (failed.found, failed.box, failed.confidence) == (False, None, None)


def test_a_long_answer_is_cut_and_stays_one_line(pixels, truth):
    told = told_of(truth, open_image(pixels), answer="so\n" * 1000)
    assert len(told.text) < 800
    assert "\n" not in told.text


def test_a_run_that_waits_is_measured_as_it_is_now(pixels):
    thread = {"configurable": {"thread_id": "1"}}
    graph = build_graph(script(positive(0.5, 0.4), STOP, STOP), "disk", checkpointer=InMemorySaver())
    graph.invoke({"image": pixels, "request": "x"}, thread)
    intervene(graph, thread, Click(0.9, 0.9), interrupt_before=["reason"])
    told = summarize(graph, graph.get_state(thread).values)
    assert told.measurements["area_px"] == decode(told.rle).sum() > 200
    assert (told.stop, "The run waits" in told.text) == ("", True)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            InputError("/data/DOE JANE.png: got a path with no file, expected one; check it"),
            "the file: got a path with",
        ),
        (InputError("a: got b.dcm: got a folder, expected a file"), "the file: got a folder"),
        (InputError("image 7 DOE.png: got an empty file, expected one"), "the file: got an empty file"),
        (InputError("request: got nothing, expected words"), "request: got nothing, expected words"),
        (InputError("policy 'hf:/data/DOE': got no folder"), "policy 'hf:...': got no folder"),
        (MissingExtra.of("torch", "models"), "pip install -e '.[models]'"),
        (StoreError("run store: /data/DOE"), "could not be stored"),
        (TimeoutError("/data/DOE"), "did not answer in time"),
        (ConnectionRefusedError("/data/DOE"), "cannot be reached"),
        (PermissionError(13, "Permission denied", "/data/DOE"), "(Permission denied)"),
        (GraphRecursionError("/data/DOE"), "are spent"),
        (ZeroDivisionError("/data/DOE\nTraceback"), "something inside failed (ZeroDivisionError)"),
    ],
)
def test_an_apology_is_a_line_without_names(error, words):
    said = user_message(error)
    assert said.startswith("Error: ")
    assert words in said
    assert "DOE" not in said
    assert "\n" not in said


def test_what_the_caller_named_stands_for_the_file():
    fault = InputError("/data/DOE.png: got an empty file, expected a readable file; check the path")
    assert (
        user_message(fault, "scan 1") == "Error: scan 1: got an empty file, expected a readable file; check the path."
    )


@pytest.mark.parametrize("given", ["scan 1", "/pictures/a b: c, (2).png", r"C:\\scans\\a b.dcm"])
def test_what_the_caller_named_is_told_whole(given):
    fault = InputError("/data/DOE.png: got /data/x, expected a readable file; check the path")
    assert user_message(fault, given) == f"Error: {given}: got ..., expected a readable file; check the path."


def faults():
    """The heads of errors that begin with a word and go on as those of a file do."""
    root = Path(embedding.__file__).parents[2]
    for path in (
        path for folder in ("agent", "tools", "ui/mcp", "ui/sessions") for path in (root / folder).rglob("*.py")
    ):
        yield from re.findall(r"""InputError\(f?["']([a-z ]+): (?:got|could not be|not a)""", path.read_text())


def test_an_argument_s_fault_is_not_told_of_a_file():
    heads = set(faults())
    assert {"image", "request", "targets", "label map"} <= heads
    for head in heads - {"path"}:
        assert (
            user_message(InputError(f"{head}: got x, expected y"), "scan.png") == f"Error: {head}: got x, expected y."
        )


def test_every_public_name_can_be_had_and_others_cannot():
    assert all(getattr(embedding, name) is not None for name in embedding.__all__)
    with pytest.raises(AttributeError, match="no attribute 'segment'"):
        _ = embedding.segment


def test_the_loop_does_not_import_what_embeds_it():
    code = (
        "import sys, ibisagent.agent; print([name for name in sys.modules if name.startswith('ibisagent.agent.emb')])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize("stop", ["terminated", "settled", "max_steps", "budget"])
def test_an_empty_mask_is_nothing_to_be_content_with_or_to_refine(stop, pixels):
    said = told_of(np.zeros(pixels.shape, bool), open_image(pixels), stop=stop).text
    assert said.startswith("There is no mask. The run")
    assert not {"content", "refine", "changed"} & set(said.replace(",", " ").split())
