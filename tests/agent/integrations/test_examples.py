"""The examples: each under 70 lines, each runs, and the clinical one writes what it says."""

import json
import runpy
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command
from PIL import Image
from pydicom.uid import generate_uid
from support.dicom_series_fixtures import write_series
from support.fakes import STOP, script
from support.parents import ScriptedChatModel

from ibisagent.agent import build_graph
from ibisagent.agent.integrations import ImageCatalog
from ibisagent.tools.masks.rle import decode

EXAMPLES = Path(__file__).parents[3] / "examples"
THREAD = {"configurable": {"thread_id": "1"}}
QUESTION = "Is the liver enlarged?"


@pytest.fixture
def study(tmp_path, pixels):
    """A folder of studies: a DICOM series of a patient's and a NIfTI volume, the same three slices."""
    slices = np.stack([pixels.astype(np.int16) - 100 + level for level in range(3)])
    write_series(tmp_path / "studies" / "DOE JANE", slices, StudyInstanceUID=generate_uid())
    volume = nib.Nifti1Image(slices.transpose(2, 1, 0), np.diag([1.5, 1.5, 5.0, 1.0]))
    nib.save(volume, tmp_path / "studies" / "head.nii.gz")
    (tmp_path / "out").mkdir()
    return tmp_path


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_an_example_is_short_and_runs(path, study, monkeypatch, capsys):
    assert len(path.read_text().splitlines()) < 70
    arguments = [str(study / "studies"), "head.nii.gz", str(study / "out")] if path.stem == "clinical" else []
    monkeypatch.setattr("sys.argv", [str(path), *arguments])
    runpy.run_path(str(path), run_name="__main__")
    assert bool(capsys.readouterr().out) == (path.stem != "scripted")


@pytest.mark.parametrize(
    ("stem", "arguments", "line"),
    [
        ("clinical", [], "got 0 arguments, expected 3: clinical.py ROOT STUDY OUT"),
        ("clinical", ["studies", "none.nii.gz", "out"], "none.nii.gz: got a path with no file"),
        ("clinical", ["studies", "head.nii.gz", "none"], "none: got no such folder"),
        ("clinical", ["studies", "../head.nii.gz", "out"], "head.nii.gz: got one outside the folders"),
        *[(path.stem, ["x"], "got 1 arguments, expected 0: ") for path in EXAMPLES.glob("[!cs]*.py")],
        ("supervisor", ["x"], "got 1 arguments, expected 0: "),
    ],
)
def test_a_wrong_command_line_is_one_line(stem, arguments, line, study, monkeypatch, capsys):
    monkeypatch.chdir(study)
    monkeypatch.setattr("sys.argv", [f"{stem}.py", *arguments])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(EXAMPLES / f"{stem}.py"), run_name="__main__")
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert said.count("\n") == 1
    assert line in said


def test_a_picture_without_a_place_is_written_as_one(study, pixels):
    Image.fromarray(pixels).save(study / "studies" / "scan.png")
    graph = clinical(study, PLAN, "As usual.")
    graph.invoke({"study": "scan.png", "question": QUESTION}, THREAD)
    ended = graph.invoke(Command(resume="accept"), THREAD)
    for target, file in ended["finding"]["files"].items():
        written = np.asarray(Image.open(study / "out" / file)) > 0
        assert np.array_equal(written, decode(ended["labels"]["rles"][target]))


def clinical(study, *replies, policy="centre"):
    made = runpy.run_path(str(EXAMPLES / "clinical.py"))["build_clinical_graph"]
    loop = build_graph(policy, "geocut", images=ImageCatalog(study / "studies"))
    return made(
        ScriptedChatModel(replies=[AIMessage(said) for said in replies]),
        loop,
        study / "out",
        checkpointer=InMemorySaver(),
    )


PLAN = json.dumps({"slice": "middle", "targets": {"liver": "Segment the liver.", "lesion": "Segment the lesion."}})


@pytest.mark.parametrize(("name", "ending"), [("DOE JANE", ".dcm"), ("head.nii.gz", ".nii.gz")])
def test_a_study_goes_in_and_confirmed_files_and_a_report_come_out(name, ending, study):
    graph = clinical(study, PLAN, "Of usual size.")
    waiting = graph.invoke({"study": name, "question": QUESTION}, THREAD)
    (asked,) = waiting["__interrupt__"]
    assert asked.value["found"]["liver"].startswith("area ")
    assert asked.value["impression"] == "Of usual size."
    assert not list((study / "out").iterdir())  # nothing is written before a person says so

    ended = graph.invoke(Command(resume={"impression": "Enlarged, as I see it."}), THREAD)
    report = json.loads((study / "out" / "report.json").read_text())
    assert report == ended["finding"]
    assert report["impression"] == "Enlarged, as I see it."
    assert report["files"] == {name: f"{name}{ending}" for name in ("lesion", "liver")}
    for target, file in report["files"].items():
        expected = decode(ended["labels"]["rles"][target])
        assert written(study / "out" / file).sum() == expected.sum()


def written(path):
    return pydicom.dcmread(path).pixel_array if path.suffix == ".dcm" else np.asanyarray(nib.load(path).dataobj)


def test_what_is_not_found_is_reported_and_not_written(study):
    graph = clinical(study, '{"slice": "middle", "targets": ["cyst"]}', "No cyst.", policy=script(STOP))
    graph.invoke({"study": "head.nii.gz", "question": QUESTION}, THREAD)
    finding = graph.invoke(Command(resume="accept"), THREAD)["finding"]
    assert finding == {"found": {"cyst": "empty"}, "impression": "No cyst.", "files": {}}
    assert [path.name for path in (study / "out").iterdir()] == ["report.json"]
