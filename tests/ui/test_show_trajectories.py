"""Recorded runs as a data table, worked out by hand, and as step sheets.

The pictures are 20 x 20; the truth is a square of 100 pixels, rows and columns 5 to 14. The disk segmenter's click is a
plus of 5 pixels, its box a rectangle.
"""

import csv
import gc
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from support.fakes import STOP, positive, script
from support.image_fixtures import RAS, write_nifti

from ibisagent.agent import build_graph
from ibisagent.agent.trajectory import Trajectory, build_trajectory
from ibisagent.agent.trajectory_files import write_trajectory
from ibisagent.evals.contact_sheets import contact_sheet_of
from ibisagent.tools.errors import InputError
from ibisagent.tools.imaging.open_image import open_image
from ibisagent.ui.cli.show_trajectories import show_sheets, show_stats
from ibisagent.ui.cli.trajectory_files import map_records

TRUTH = np.zeros((20, 20), bool)
TRUTH[5:15, 5:15] = True
BOX = "<think>All of it.</think>\n<action>Box (0.25, 0.25, 0.65, 0.75)</action>"  # rows 5 to 14, columns 5 to 12
INSIDE, OUTSIDE = positive(7.5 / 20, 7.5 / 20), positive(2.5 / 20, 2.5 / 20)
FIELDS = ["samples", "states", "mean_length", "mean_iou", "median_iou", "mean_dice", "median_dice", "click_hit_rate"]


def record_of(*replies, image, truth=TRUTH, folder=None):
    graph = build_graph(script(*replies), "disk")
    return build_trajectory(graph, graph.invoke({"image": image, "request": "Segment."}), truth=truth, folder=folder)


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """A folder with a picture and the records of three runs, one of them in a run folder; the working folder's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    Path("runs/c").mkdir(parents=True)
    Image.fromarray(np.arange(400, dtype=np.uint8).reshape(20, 20)).save("scan.png")
    for name, *replies in (("a", BOX, STOP), ("b", INSIDE, STOP), ("c/trajectory", OUTSIDE, INSIDE, STOP)):
        path = Path(f"runs/{name}.json")
        write_trajectory(path, record_of(*replies, image=Path("scan.png"), folder=path.parent))
    return Path("runs")


def table_of(capsys):
    """Return the printed table's lines below its rule as lists of words."""
    lines = capsys.readouterr().out.splitlines()
    rule = next(number for number, line in enumerate(lines) if "───" in line)
    return [line.split() for line in lines[rule + 1 :] if line.strip()]


def line_of(path):
    return json.dumps(json.loads(path.read_text())) + "\n"


def test_the_data_table_by_modality(runs, capsys):
    Path("set").mkdir()
    Path("set/manifest.csv").write_text("id,target,modality\na,lesion,MR\nb,lesion,CT\nc,lesion,MR\nd,lesion,US\n")
    show_stats([runs], dataset=Path("set"), csv_file=Path("table.csv"))
    assert table_of(capsys) == [
        ["CT", "1", "2", "1.000", "0.050", "0.050", "0.095", "0.095", "1.000"],
        ["MR", "2", "5", "1.500", "0.424", "0.424", "0.490", "0.490", "0.667"],
        ["all", "3", "7", "1.333", "0.299", "0.050", "0.358", "0.095", "0.750"],
    ]
    with Path("table.csv").open(newline="") as file:
        head, *rows = csv.reader(file)
    assert head == ["modality", *FIELDS]
    ious = {"a": 0.8, "b": 5 / 100, "c": 5 / 105}  # c's mask: 5 pixels inside, 5 outside
    dices = {name: 2 * value / (1 + value) for name, value in ious.items()}
    expected = {
        "CT": [1, 2, 1, ious["b"], ious["b"], dices["b"], dices["b"], 1],
        "MR": [2, 5, 1.5, *2 * [(ious["a"] + ious["c"]) / 2], *2 * [(dices["a"] + dices["c"]) / 2], 2 / 3],
        "all": [3, 7, 4 / 3, sum(ious.values()) / 3, ious["b"], sum(dices.values()) / 3, dices["b"], 3 / 4],
    }
    assert [name for name, *_ in rows] == ["CT", "MR", "all"]
    for name, *figures in rows:
        assert list(map(float, figures)) == pytest.approx(expected[name])


@pytest.mark.parametrize(
    ("by", "names"),
    [
        (None, ["all"]),
        ("all", ["all"]),
        ("policy", ["scripted", "all"]),
        ("segmenter", ["disk-1 radius=0.05", "all"]),
        ("stop", ["terminated", "unfinished", "all"]),
    ],
)
def test_a_row_for_each_and_one_for_all(runs, by, names):
    path = runs / "b.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"stop": None}))
    show_stats([runs], by, csv_file=Path("table.csv"))
    with Path("table.csv").open(newline="") as file:
        _, *rows = csv.reader(file)
    assert [row[0] for row in rows] == names
    assert rows[-1][1:3] == ["3", "7"]


def test_what_a_data_set_does_not_tell_is_unknown(runs, capsys):
    Path("set").mkdir()
    Path("set/manifest.csv").write_text("id,target,modality\na,lesion,MR\nb,lesion,\n")
    show_stats([runs], dataset=Path("set"))
    assert [row[:2] for row in table_of(capsys)] == [["MR", "1"], ["unknown", "2"], ["all", "3"]]


def test_without_a_truth_a_dash_and_an_empty_cell_stand_for_no_figure(runs, capsys):
    path = runs / "a.json"
    path.write_text(json.dumps(with_target_fields(json.loads(path.read_text()), truth=None)))
    show_stats([path], csv_file=Path("table.csv"))
    assert table_of(capsys) == [["all", "1", "2", "1.000", "-", "-", "-", "-", "-"]]
    assert Path("table.csv").read_text().splitlines()[1] == "all,1,2,1.0,,,,,"


def with_target_fields(record, **fields):
    """A plain record of one target with other fields of it."""
    return record | {"targets": [record["targets"][0] | fields]}


def broken(name, record):
    """Return the text of a broken record, made from a valid one."""
    truth = record["targets"][0]["truth"] | {"size": [10, 40]}
    texts = {
        "mask": json.dumps(with_target_fields(record, mask=7)),
        "size": json.dumps(with_target_fields(record, truth=truth)),
        "steps": json.dumps(record | {"steps": [1]}),
        "version": json.dumps(record | {"version": 1}),
        "torn": json.dumps(record)[:200],
        "deep": "[" * 100_000,
        "empty": "",
        "latin": '{"a": "é"}',
    }
    return texts[name].encode("latin-1")


@pytest.mark.parametrize("act", [show_stats, lambda paths: show_sheets(*paths)])
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("mask", "not a trajectory of version 2: 'int' object is not subscriptable"),
        ("size", ""),  # in a sheet another line
        ("steps", "not a trajectory of version 2: 'int' object is not subscriptable"),
        ("version", "trajectory version 1: this package reads version 2"),
        ("torn", "got no JSON ("),
        ("deep", "got no JSON ("),
        ("empty", "got no JSON ("),
        ("latin", "could not be read as text (UnicodeDecodeError), expected .json or .jsonl records; name those"),
    ],
)
def test_a_broken_file_is_a_line_and_not_the_end(runs, capsys, name, said, act):
    (runs / "[b].json").write_bytes(broken(name, json.loads((runs / "a.json").read_text())))
    act([runs])
    shown = capsys.readouterr()
    line, last = shown.err.splitlines()
    assert line.startswith(f"runs/[b].json: {said}")
    assert last == "left out: 0 JSON of another kind, 1 broken"
    assert shown.out


def test_a_broken_line_is_told_and_other_json_is_counted_by_files(runs, capsys):
    whole = line_of(runs / "a.json")
    (runs / "many.jsonl").write_text(f"{whole}\nhm\n{whole}{whole[:99]}")
    (runs / "other.json").write_text('{"steps": 3}')
    (runs / "rows.jsonl").write_text("[1]\n[2]\n")
    (runs / "picture.png").write_text("hm")
    (runs / ".hidden.json").write_text("hm")
    (runs / "folder.json").mkdir()
    show_stats([runs], csv_file=Path("table.csv"))
    first, second, last = capsys.readouterr().err.splitlines()
    assert first.startswith("runs/many.jsonl, record 2: got no JSON")
    assert second.startswith("runs/many.jsonl, record 4: got no JSON")
    assert last == "left out: 2 JSON of another kind, 2 broken"
    assert Path("table.csv").read_text().splitlines()[1].startswith("all,5,11,")  # a, b, c, and a twice


def test_a_file_named_twice_counts_once(runs, capsys):
    show_stats([runs, runs / "a.json", Path("runs/../runs/b.json").resolve(), runs / "c"])
    assert table_of(capsys)[0][:2] == ["all", "3"]


@pytest.mark.parametrize(
    ("paths", "options", "said"),
    [
        (["none"], {}, "none: got a path with no file"),
        (["scan.png"], {}, "got no trajectory (0 JSON of another kind, 1 broken)"),
        (["empty"], {}, "empty: got no trajectory (0 JSON of another kind, 0 broken), expected .json or .jsonl"),
        (["runs"], {"by": "hospital"}, "got by='hospital', expected one of modality, policy, segmenter, stop, all"),
        (["runs"], {"by": "modality"}, "add --dataset"),
        (["runs"], {"dataset": Path("none")}, "none: got no folder, expected a data set's"),
        (["runs"], {"csv_file": Path("none/table.csv")}, "no such folder"),
    ],
)
def test_a_wrong_argument_is_told_in_a_line(runs, capsys, paths, options, said):
    Path("empty").mkdir()
    with pytest.raises(InputError) as caught:
        show_stats(list(map(Path, paths)), **options)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert capsys.readouterr().out == ""


@pytest.mark.slow
def test_records_are_held_one_at_a_time(runs):
    (runs / "many.jsonl").write_text(8 * line_of(runs / "a.json"))

    def alive(_place, _record):
        return sum(type(each) is Trajectory for each in gc.get_objects())

    before = alive(None, None)
    made = list(map_records([runs], alive, Console(stderr=True), "Reading"))
    names = ["runs/a.json", "runs/b.json", "runs/c/trajectory.json"]
    assert [str(place) for place, _ in made] == names + [f"runs/many.jsonl, record {n}" for n in range(1, 9)]
    assert max(count - before for _, count in made) <= 2


def test_a_record_is_drawn_beside_its_file_and_its_steps_are_printed(runs, capsys):
    Image.new("L", (3, 3)).save(runs / "c/trajectory.png")
    before = {each: each.read_bytes() for each in runs.rglob("*") if each.is_file()}
    show_sheets(runs / "c/trajectory.json")
    record = Trajectory.from_json(json.loads((runs / "c/trajectory.json").read_text()))
    drawn = np.asarray(Image.open(runs / "c/trajectory.steps.png"))
    assert np.array_equal(drawn, np.asarray(contact_sheet_of(record, open_image("scan.png"))))
    assert {each: each.read_bytes() for each in before} == before
    shown = capsys.readouterr()
    assert shown.err == ""
    seconds = [f"{sum(step.seconds.values()):.2f}" for step in record.steps]
    assert [" ".join(line.split()) for line in shown.out.splitlines() if line.strip()][2:] == [
        f"1 Positive Point (0.1250, 0.1250) Here. 0.000 5 {seconds[0]}",
        f"2 Positive Point (0.3750, 0.3750) Here. 0.048 10 {seconds[1]}",
        f"3 Terminate It fits. 0.048 10 {seconds[2]}",
        "wrote runs/c/trajectory.steps.png",
    ]


def test_steps_tell_whose_they_are_what_they_undid_and_what_failed(runs, capsys):
    path = runs / "c/trajectory.json"
    plain = json.loads(path.read_text())
    plain["steps"][0] |= {"actor": "person", "score": 0.5}
    plain["steps"][1] |= {"action": {"type": "backtrack"}, "actor": "guard", "reverts": 1}
    plain["steps"][2] |= {"action": None, "outcome": "unparseable", "error": "no action", "thought": ""}
    first, *rest = plain["steps"]
    redo = rest[0] | {"index": 4, "action": {"type": "redo"}, "actor": "person", "reverts": None, "restores": 1}
    initial = redo | {"index": 5, "action": {"type": "backtrack"}, "reverts": 0, "restores": None}
    path.write_text(json.dumps(with_target_fields(plain, truth=None) | {"steps": [first, *rest, redo, initial]}))
    show_sheets(path, Path("out"))
    rows = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines() if line.strip()][2:]
    assert [row.rpartition(" ")[0] for row in rows] == [
        "1 Positive Point (0.1250, 0.1250); by person Here. 0.50 5",
        "2 Backtrack; by guard; undoes 1 Here. 10",
        "3 unreadable; no action 10",
        "4 Redo; by person; brings back 1 Here. 10",
        "5 Backtrack; by person; undoes the initial mask Here. 10",
        "wrote",
    ]


def test_a_folder_s_records_are_drawn_as_they_lie(runs, capsys):
    (runs / "many.jsonl").write_text(2 * line_of(runs / "a.json") + "hm\n")
    (runs / "x.json").write_text("{}")
    show_sheets(runs, Path("out"))
    names = ["a.steps.png", "b.steps.png", "c/trajectory.steps.png", "many.0001.steps.png", "many.0002.steps.png"]
    assert sorted(path.relative_to("out").as_posix() for path in Path("out").rglob("*.*")) == names
    assert Path("out/a.steps.png").read_bytes() == Path("out/many.0001.steps.png").read_bytes()
    shown = capsys.readouterr()
    assert shown.out == "wrote 5 step sheets in out\n"
    assert shown.err.splitlines()[0].startswith("runs/many.jsonl, record 3: got no JSON")
    assert shown.err.splitlines()[1:] == ["left out: 1 JSON of another kind, 1 broken"]


REMEDY = "bring it back, or name its folder with --root"
PLACE = f"in a folder that may be read, expected it in the record's own or a named one; {REMEDY}"


def changed_image():
    Image.new("L", (20, 20)).save("scan.png")
    return f"scan.png: its pixels differ from those recorded; {REMEDY}"


def missing_image():
    Path("scan.png").unlink()
    return f"scan.png: got no such image {PLACE}"


def nameless_image():
    path = Path("runs/a.json")
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"image": record["image"] | {"uri": None}}))
    return f"got a run on an image without a file {PLACE}"


@pytest.mark.parametrize("harm", [changed_image, missing_image, nameless_image])
def test_without_its_image_a_record_is_drawn_on_grey_and_that_is_told(runs, capsys, harm):
    said = harm()
    show_sheets(runs / "a.json")
    record = Trajectory.from_json(json.loads((runs / "a.json").read_text()))
    grey = open_image(np.full((20, 20), 128, np.uint8))
    assert np.array_equal(np.asarray(Image.open(runs / "a.steps.png")), np.asarray(contact_sheet_of(record, grey)))
    assert capsys.readouterr().err == f"runs/a.json: drawn on grey: {said}\n"


def test_a_slice_is_opened_as_it_was_recorded_and_without_it_the_spacing_stays(runs, capsys):
    write_nifti(Path("volume.nii.gz"))
    image = open_image("volume.nii.gz", slice="axial:1", window="150,200")
    assert image.shape == RAS.shape[1::-1]
    record = record_of(INSIDE, STOP, image=image, truth=None, folder="runs")
    write_trajectory(runs / "s.json", record)
    show_sheets(runs / "s.json", Path("out"))
    assert capsys.readouterr().err == ""
    assert np.array_equal(np.asarray(Image.open("out/s.steps.png")), np.asarray(contact_sheet_of(record, image)))
    Path("volume.nii.gz").unlink()
    show_sheets(runs / "s.json", Path("out"))
    grey = replace(open_image(np.full(image.shape, 128, np.uint8)), spacing=image.spacing)
    assert np.array_equal(np.asarray(Image.open("out/s.steps.png")), np.asarray(contact_sheet_of(record, grey)))


def test_a_picture_outside_is_drawn_on_grey_unless_its_folder_is_named(runs, capsys, monkeypatch):
    """Beside the record, below the named folder, below the current one, or below a root."""
    Path("inner").mkdir()
    record = json.loads((runs / "a.json").read_text())
    bundle = Path("bundle/records")
    bundle.mkdir(parents=True)
    (bundle / "a.json").write_text(json.dumps(record | {"image": record["image"] | {"uri": "../scan.png"}}))
    Path("scan.png").rename("bundle/scan.png")
    monkeypatch.chdir("inner")
    show_sheets(Path("../bundle/records/a.json"), Path("out"))
    assert "drawn on grey: scan.png: got no such image" in capsys.readouterr().err
    show_sheets(Path("../bundle"), Path("out"))
    show_sheets(Path("../bundle/records/a.json"), Path("out"), [Path("../bundle")])
    assert capsys.readouterr().err == ""
    with pytest.raises(InputError, match=r"--root .*inner/none: got no folder"):
        show_sheets(Path("../bundle"), Path("out"), [Path("none")])


def test_texts_of_a_record_are_shown_as_texts(runs, capsys):
    path = runs / "a.json"
    plain = json.loads(path.read_text())
    plain["policy"] = "[red]a\x1b[2J\ud800b"
    plain["steps"][0] |= {"thought": "[bold]x\x1b[2J\ny\ud800", "error": "\x1b[1m[/]"}
    path.write_text(json.dumps(plain))
    show_stats([path], "policy", csv_file=Path("table.csv"))
    show_sheets(path)
    shown = capsys.readouterr()
    assert shown.err == ""
    assert "\x1b" not in shown.out
    assert "[red]a [2J b" in shown.out
    assert "[bold]x [2J y" in shown.out
    assert Path("table.csv").read_text(encoding="utf-8").splitlines()[1].startswith("[red]a [2J b,1,")


def test_a_sheet_s_folder_in_the_way_is_told(runs):
    Path("out").write_text("in the way")
    with pytest.raises(InputError, match="out: cannot be created"):
        show_sheets(runs, Path("out"))
