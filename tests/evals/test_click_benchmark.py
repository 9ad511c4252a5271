"""The click benchmark: where clicks fall, what is counted, and a data set run through broken cases and deaths."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from functools import partial

import numpy as np
import pytest
from conftest import ellipse
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from support import killed_work
from support.fakes import CountingSegmenter

from ibisagent.evals.clicks import (
    compute_click_ious,
    jittered_placement,
    number_of_clicks,
    simulate_clicks,
    simulate_clicks_on_image,
)
from ibisagent.evals.clicks.bench import list_jobs, run_click_jobs, simulate_jobs
from ibisagent.evals.clicks.protocol import bounding_box_prompt
from ibisagent.evals.clicks.rows import ClickRow, read_rows
from ibisagent.evals.clicks.summary import click_metrics, compare_segmenters, summarize_clicks
from ibisagent.evals.metrics import InstanceMetrics
from ibisagent.tools.clicks import Click, Pixel, PixelBox, Similar, box_to_pixel_box
from ibisagent.tools.datasets import read_dataset
from ibisagent.tools.errors import InputError, MissingExtra
from ibisagent.tools.masks.measure import bounding_box, iou
from ibisagent.tools.segmenters import Prediction, get_segmenter
from ibisagent.tools.segmenters.disk import DiskSegmenter
from ibisagent.tools.simulator import NextClick
from ibisagent.ui.cli.click_benchmark import run_clicks

PIXELS = np.zeros((40, 60), np.uint8)


def square(top, left, size):
    mask = np.zeros(PIXELS.shape, np.bool_)
    mask[top : top + size, left : left + size] = True
    return mask


def drawn(*rows):
    return np.array([[letter == "#" for letter in row] for row in rows])


# Where clicks fall: RITM's rule on masks written out


class Saying(DiskSegmenter):
    """Answers the n-th prompt with the n-th of the masks it was given, whatever the prompt."""

    def __init__(self, *masks):
        super().__init__()
        object.__setattr__(self, "masks", masks)

    def predict(self, embedding, prompts, prior):
        return Prediction(self.masks[len(prompts) - 1], None, None)


def falls(truth, *masks, **options):
    """The prompts made while the segmenter says ``masks``; after the last one there is one more."""
    return simulate_clicks(Saying(*masks, truth), None, truth, len(masks) + 1, **options).pixel_prompts


NOTHING = drawn(".......", ".......", ".......", ".......")


@pytest.mark.parametrize(
    ("truth", "first"),
    [
        (drawn("...", ".#.", "..."), Pixel(1, 1)),
        (drawn("####", "####", "####"), Pixel(1, 1)),  # all of the picture; of two pixels equally deep the left one
        (drawn("###", "###", "###", "###"), Pixel(1, 1)),  # ... and the upper one
        (drawn("##.", "##.", "..."), Pixel(0, 0)),  # beyond the border is outside: all four are equally deep
        (drawn(".....", "#####", "#####", "#####"), Pixel(2, 1)),  # on the border less deep than beside it
        (drawn("##...", "##...", ".....", "..###", "..###", "..###"), Pixel(4, 3)),  # the deeper of two parts
        (drawn("..#", ".#.", "#.."), Pixel(0, 2)),  # of equals the upper row, before the left column
        (drawn("#"), Pixel(0, 0)),
    ],
)
def test_the_first_click_falls_on_the_deepest_pixel_of_the_truth(truth, first):
    assert falls(truth) == [NextClick(first, positive=True)]


def test_the_deeper_error_is_clicked_and_a_tie_is_positive():
    truth = drawn("###....", "###....", "###....", ".......")
    column_each = drawn("##...#.", "##...#.", "##...#.", ".......")
    deeper_spill = drawn("##..###", "##..###", "##..###", ".......")
    thin_spill = drawn("......#", "......#", "......#", ".......")
    first = NextClick(Pixel(1, 1), positive=True)
    assert falls(truth, column_each) == [first, NextClick(Pixel(0, 2), positive=True)]
    assert falls(truth, deeper_spill) == [first, NextClick(Pixel(1, 5), positive=False)]
    assert falls(truth, deeper_spill, thin_spill)[2] == NextClick(Pixel(0, 0), positive=True)


def test_no_pixel_is_clicked_twice_and_depth_is_not_changed_by_clicks():
    truth = drawn("###", "###", "###")
    nothing = np.zeros_like(truth)
    expected = [Pixel(1, 1), *(Pixel(r, c) for r in range(3) for c in range(3) if (r, c) != (1, 1))]
    assert falls(truth, *[nothing] * 8) == [NextClick(pixel, positive=True) for pixel in expected]


def test_the_run_ends_when_every_error_pixel_has_been_clicked():
    truth = drawn("#..", "#..")
    nothing = np.zeros_like(truth)
    assert simulate_clicks(Saying(*[nothing] * 5), None, truth, 5).ious == [0.0, 0.0]


def test_a_box_comes_first_counts_as_a_prompt_and_takes_no_pixel():
    truth = drawn(".......", "..###..", "..###..", "..###..")
    nothing = np.zeros_like(truth)
    box = PixelBox(top=1, left=2, bottom=3, right=4)
    assert falls(truth, nothing, box=True) == [box, NextClick(Pixel(2, 3), positive=True)]
    assert simulate_clicks(DiskSegmenter(), truth.shape, truth, 5, box=True).ious == [1.0]


@given(st.integers(1, 2000), st.integers(1, 2000), st.data())
def test_the_box_holds_the_truth_and_no_other_pixel(height, width, data):
    truth = np.zeros((height, width), np.bool_)
    for _ in range(2):
        truth[data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))] = True
    assert box_to_pixel_box(bounding_box_prompt(truth), truth.shape) == bounding_box(truth)


def test_rough_clicks_repeat_and_stay_in_the_wrong_region():
    truth, empty = square(5, 5, 21), square(0, 0, 0)
    click = NextClick(Pixel(15, 15), positive=True)
    places = [jittered_placement(0)(click, empty, truth) for _ in range(2)]
    assert places[0] == places[1] != click.pixel
    assert all(8 <= jittered_placement(seed)(click, empty, truth).row <= 22 for seed in range(20))


def test_rough_clicks_take_no_pixel_twice():
    truth = square(10, 10, 3)
    nothing = np.zeros_like(truth)
    marks = simulate_clicks(Saying(*[nothing] * 9), None, truth, 20, jittered_placement(0)).pixel_prompts
    assert sorted(mark.pixel for mark in marks) == [Pixel(r, c) for r in range(10, 13) for c in range(10, 13)]


# A run on one target


class Hearing(Saying):
    """Keeps the prompts that it was given."""

    prompts = ("point", "box", "similar")

    def predict(self, embedding, prompts, prior):
        object.__setattr__(self, "heard", prompts)
        return super().predict(embedding, prompts, prior)


def test_in_mode_similar_every_click_is_an_example_on_the_same_pixel():
    truth = drawn("###..", "###..", "###.#")
    masks = drawn("###..", "###..", "#####"), drawn("###..", "###..", "###..")
    segmenter = Hearing(*masks, truth)
    run = simulate_clicks(segmenter, None, truth, 3, similar=True)
    assert segmenter.heard == (Similar(0.3, 0.5), Similar(0.7, 5 / 6, False), Similar(0.9, 5 / 6))
    assert run.pixel_prompts == falls(truth, *masks)
    assert run.instances == InstanceMetrics(2, 2, 2, 1.0, 0.0, 1.0)


def test_row_has_the_instances_of_the_last_mask(tmp_path):
    folder = data_set(tmp_path / "data")
    jobs = list_jobs(read_dataset(folder)[:1], folder, ["geocut"], ["similar"])
    (made,) = simulate_jobs(jobs, 3, 0)
    assert made.reason is None
    assert made.mode == "similar"
    assert 0 < made.f1_50 <= 1
    assert 0 < made.panoptic_quality <= made.f1_50


def test_mode_similar_is_refused_for_a_segmenter_without_examples(tmp_path):
    folder = data_set(tmp_path / "data")
    with pytest.raises(InputError, match=r"'disk': got Similar"):
        list_jobs(read_dataset(folder)[:1], folder, ["geocut", "disk"], ["centre", "similar"])


def test_sequence_has_an_iou_for_every_click_and_rises_on_discs():
    ious = compute_click_ious(DiskSegmenter(), PIXELS, square(10, 10, 20), clicks=8)
    assert len(ious) == 8
    assert ious[-1] > ious[0] > 0


def test_first_click_is_the_deepest_point_and_embed_runs_once():
    segmenter = CountingSegmenter(radius=1 / 60)
    truth = square(10, 10, 7)
    ious = compute_click_ious(segmenter, PIXELS, truth, clicks=3)
    assert ious[0] == pytest.approx(5 / 49)
    assert segmenter.embeds == 1


def test_perfect_mask_ends_the_run_and_repeats_in_the_sequence():
    truth = square(10, 10, 1)
    assert simulate_clicks_on_image(DiskSegmenter(radius=0), PIXELS, truth).ious == [1.0]
    assert compute_click_ious(DiskSegmenter(radius=0), PIXELS, truth, clicks=4) == [1.0] * 4


@pytest.mark.parametrize(("target", "count"), [(0.5, 1), (0.8, 3), (0.95, 4)])
def test_clicks_to_counts_from_one_and_ends_at_all(target, count):
    assert number_of_clicks([0.6, 0.7, 0.9, 0.85], target) == count


def test_iou_of_two_empty_masks_is_one():
    assert iou(square(0, 0, 0), square(0, 0, 0)) == 1.0


# Figures


def row(id, image, ious, modality="", **values):
    sizes = {
        "height": 8,
        "width": 8,
        "area_px": 9,
        "pixel_prompts": ("r1c1+",) * len(ious),
        "scores": (None,) * len(ious),
    }
    known = sizes | {"ious": tuple(ious), "seconds": (0.1,) * len(ious), "encoder_seconds": 0.2} | values
    return ClickRow(id, image, "cyst", modality, "", "", "disk", "disk-1", "centre", **known)


def test_figures_follow_the_protocol():
    never, early, last = [0.1, 0.5, 0.82, 0.84, 0.7], [0.6, 0.95], [0.1, 0.2, 0.3, 0.4, 0.9]
    parts = [
        {"f1_50": f1, "count_error": error, "panoptic_quality": f1 / 2, "hd95": distance}
        for f1, error, distance in ((0.5, -0.5, 2.0), (1.0, 1.5, 4.0), (0.0, 0.0, 3.0))
    ]
    runs = (("a", "x", never), ("b", "x", early), ("c", "y", last))
    found = click_metrics([row(*run, **part) for run, part in zip(runs, parts, strict=True)], clicks=5)
    assert {name: interval.value for name, interval in found.items()} == pytest.approx(
        {
            "noc_80": (3 + 2 + 5) / 3,
            "noc_85": (5 + 2 + 5) / 3,
            "noc_90": (5 + 2 + 5) / 3,
            "nof_90": 1 / 3,
            "iou_at_end": (0.7 + 0.95 + 0.9) / 3,
            "iou_at_1": (0.1 + 0.6 + 0.1) / 3,
            "iou_at_3": (0.82 + 0.95 + 0.3) / 3,
            "iou_at_5": (0.7 + 0.95 + 0.9) / 3,
            "hd95": 3.0,
            "iou_lost": (0.14 + 0 + 0) / 3,
            "f1_50": 0.5,
            "count_error": 2 / 3,
            "panoptic_quality": 0.25,
        }
    )
    assert {(interval.n, interval.units) for interval in found.values()} == {(3, 2)}


def test_segmenters_are_compared_with_the_first_target_by_target():
    first = [row("a", "x", [0.5, 0.4], hd95=9.0), row("b", "y", [0.2]), row("c", "z", [], reason="no mask")]
    other = [row("a", "x", [0.7, 0.8], hd95=4.0), row("b", "y", [0.1]), row("c", "z", [0.9])]
    other = [each._replace(segmenter="new") for each in other]
    (found,) = compare_segmenters([*first, *other], clicks=3)
    assert (found["segmenter"], found["against"], found["mode"], found["n"]) == ("new", "disk", "centre", 2)
    assert found["iou_at_1"]["value"] == pytest.approx((0.2 - 0.1) / 2)
    assert found["iou_at_3"]["value"] == pytest.approx((0.4 - 0.1) / 2)
    assert found["iou_lost"]["value"] == pytest.approx(-0.05)
    assert (found["hd95"]["value"], found["hd95"]["n"]) == (-5.0, 1)
    assert compare_segmenters(first, clicks=3) == []


def test_run_measures_its_last_mask_in_pixels():
    truth = drawn("###..", "###..", "###..")
    off = drawn("##...", "##...", "##...")
    assert simulate_clicks(Saying(off), None, truth, 1).hd95 == 1.0
    assert simulate_clicks(Saying(np.zeros_like(truth)), None, truth, 1).hd95 is None


def test_summary_is_by_modality_and_leaves_broken_rows_out():
    rows = [row("a", "x", [0.9], "CT"), row("b", "y", [0.5], "MR"), row("c", "z", [], "MR", reason="no mask")]
    summary = summarize_clicks(rows, {"clicks": 2}, absent=4)
    told = [(each["modality"], each["n"], each["broken"], each["iou_at_1"]["value"]) for each in summary["results"]]
    assert told == [(None, 2, 1, 0.7), ("CT", 1, 0, 0.9), ("MR", 1, 1, 0.5)]
    assert summary["broken"] == [{"id": "c", "segmenter": "disk", "mode": "centre", "reason": "no mask"}]
    assert summary["absent"] == 4
    assert [len(each["curve"]) for each in summary["results"]] == [2, 0, 0]


# A data set

BROKEN = {"e missing mask", "f other shape", "g unreadable", "h no image", "i empty mask", "j faulty row"}
SIZE = (48, 64)


def picture(seed, truth):
    noise = np.random.default_rng(seed).normal(0, 12, truth.shape)
    return np.clip(60 + 90 * truth + noise, 0, 255).astype(np.uint8)


def data_set(folder):
    """Four pictures of two targets each, an absent target, and cases broken in every way."""
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    lines = ["id,image,mask,label,target,modality,present"]
    for seed, name in enumerate("abcd"):
        one, other = ellipse(SIZE, (20 + seed, 20), (9, 12)), ellipse(SIZE, (30, 48), (11 - seed, 8))
        save(folder / "images" / f"{name}.png", picture(seed, one | other))
        save(folder / "masks" / f"{name}.png", one + 2 * other.astype(np.uint8))
        modality = "CT" if seed < 2 else "MR"
        lines += [f"{name} {label},images/{name}.png,masks/{name}.png,{label},cyst,{modality}," for label in (1, 2)]
        lines += [f"{name} 3,images/{name}.png,,,spleen,{modality},0"] if name == "a" else []
    save(folder / "masks" / "small.png", np.ones((5, 5), np.uint8))
    save(folder / "masks" / "empty.png", np.zeros(SIZE, np.uint8))
    (folder / "images" / "torn.png").write_bytes((folder / "images" / "a.png").read_bytes()[:200])
    cells = ("a,none,", "a,small,", "torn,a,", "none,a,", "a,empty,", "a,a,x")
    for id, (image, mask, label) in zip(sorted(BROKEN), (cell.split(",") for cell in cells), strict=True):
        lines.append(f"{id},images/{image}.png,masks/{mask}.png,{label},cyst,CT,")
    (folder / "manifest.csv").write_text("\n".join(lines))
    return folder


def save(path, array):
    Image.fromarray(array).save(path)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return data_set(tmp_path_factory.mktemp("data") / "set")


SEGMENTERS = ("geodesic", "geocut")
OPTIONS = {"clicks": 6, "seed": 3}


@pytest.fixture(scope="module")
def unbroken(dataset, tmp_path_factory):
    out = tmp_path_factory.mktemp("unbroken")
    run_clicks(dataset, SEGMENTERS, out=out, workers=2, **OPTIONS)
    return out


def lines_of(out):
    with (out / "clicks.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def lasting(out):
    """Everything that two runs share: the table without its columns of seconds, the summary without its timing."""
    with (out / "clicks.csv").open(newline="") as file:
        table = [line[:-2] for line in csv.reader(file)]
    return table, json.loads((out / "clicks.json").read_text()) | {"timing": None}, (out / "clicks.png").read_bytes()


def plain_sequence(segmenter, pixels, truth, clicks, box):
    """The protocol once more, plainly: every distance to every pixel outside, the frame around the picture included."""
    height, width = truth.shape
    embedding, prior, mask = segmenter.embed(pixels), None, np.zeros(truth.shape, bool)
    prompts, marks, ious = [], [], []
    rows, columns = np.mgrid[-1 : height + 1, -1 : width + 1]
    for turn in range(clicks):
        best = (0.0, None, None)
        for positive, wrong in ((True, truth & ~mask), (False, mask & ~truth)):
            framed = np.pad(wrong, 1)
            for row, column in np.argwhere(wrong):
                depth = np.sqrt(((rows - row) ** 2 + (columns - column) ** 2)[~framed].min())
                if depth > best[0] and f"r{row}c{column}" not in [mark[:-1] for mark in marks]:
                    best = (depth, positive, (row, column))
        if turn == 0 and box:
            inside = np.argwhere(truth)
            (top, left), (bottom, right) = inside.min(axis=0), inside.max(axis=0)
            marks.append(f"r{top}c{left}..r{bottom}c{right}")
            prompts.append(bounding_box_prompt(truth))
        elif best[1] is None:
            break
        else:
            _, positive, (row, column) = best
            marks.append(f"r{row}c{column}{'+' if positive else '-'}")
            prompts.append(Click((column + 0.5) / width, (row + 0.5) / height, positive))
        prediction = segmenter.predict(embedding, prompts, prior)
        mask, prior = prediction.mask, prediction.prior
        ious.append((mask & truth).sum() / (mask | truth).sum())
    return marks, ious


@pytest.mark.slow
def test_whole_sequences_equal_a_plain_implementation(dataset, unbroken):
    cases = {case.id: case for case in read_dataset(dataset)}
    checked = 0
    for line in lines_of(unbroken):
        if line["status"] == "done" and line["mode"] != "jitter":
            image = cases[line["id"]].open()
            truth, segmenter = cases[line["id"]].read_truth(image), get_segmenter(line["segmenter"])
            marks, ious = plain_sequence(segmenter, image.pixels, truth, OPTIONS["clicks"], line["mode"] == "box")
            assert line["pixel_prompts"].split() == marks
            assert [float(value) for value in line["ious"].split()] == ious
            checked += 1
    assert checked == 8 * 2 * 2


def test_a_broken_case_is_a_row_with_its_reason_and_an_absent_one_none(dataset, unbroken):
    lines = lines_of(unbroken)
    assert [line["id"] for line in lines[::6]] == [f"{name} {label}" for name in "abcd" for label in (1, 2)] + sorted(
        BROKEN
    )
    assert {line["id"] for line in lines if line["status"] == "broken"} == BROKEN
    for case in read_dataset(dataset):
        if case.id in BROKEN:
            with pytest.raises(InputError) as refused:
                case.read_truth(case.open())
            assert {line["reason"] for line in lines if line["id"] == case.id} == {str(refused.value)}
    summary = json.loads((unbroken / "clicks.json").read_text())
    assert (summary["absent"], len(summary["broken"])) == (1, 6 * 6)


def test_the_table_and_its_foot_are_printed(dataset, unbroken, capsys):
    run_clicks(dataset, SEGMENTERS, out=unbroken, workers=2, **OPTIONS)
    said = capsys.readouterr().out
    assert [line.split()[:4] for line in said.splitlines() if line.startswith(" MR ")][:2] == [
        ["MR", "geodesic", "centre", "4"],
        ["MR", "geodesic", "jitter", "4"],
    ]
    assert "14 targets of 6 pictures. Left out: 1 absent targets" in said
    assert "and 36 broken rows" in said
    assert [line.split(":")[1] for line in said.splitlines() if line.startswith("broken: ")] == [
        " " + id for id in sorted(BROKEN)[:3]
    ]


@pytest.mark.slow
def test_workers_change_nothing(dataset, unbroken, tmp_path):
    run_clicks(dataset, SEGMENTERS, out=tmp_path, workers=1, **OPTIONS)
    assert lasting(tmp_path) == lasting(unbroken)


SCRIPT = """
if __name__ == "__main__":
    from pathlib import Path
    from ibisagent.ui.cli.click_benchmark import run_clicks
    run_clicks(Path({dataset!r}), {segmenters!r}, out=Path({out!r}), workers=2, **{options!r})
"""


def killed(dataset, out, lines):
    """Run in a process of its own until so many rows are kept, kill it alone, and wait for all that it started."""
    script = out.with_suffix(".py")
    script.write_text(SCRIPT.format(dataset=str(dataset), segmenters=SEGMENTERS, out=str(out), options=OPTIONS))
    process = subprocess.Popen([sys.executable, script], start_new_session=True, stderr=subprocess.DEVNULL)
    kept = out / "clicks.jsonl"
    while not kept.exists() or kept.read_bytes().count(b"\n") <= lines:
        assert process.poll() is None
        time.sleep(0.002)
    process.kill()
    process.wait()
    group_ends(process.pid)
    return kept


def group_ends(group):
    for _ in range(1000):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.01)
    os.killpg(group, signal.SIGKILL)
    raise AssertionError("processes outlived their parent")


@pytest.mark.slow
def test_a_killed_run_goes_on_where_it_was(dataset, unbroken, tmp_path):
    kept = killed(dataset, tmp_path / "out", 12)
    begun = kept.read_bytes()
    done = [line for line in begun.splitlines() if json.loads(line)["reason"] is None]
    assert 12 <= len(done) < 8 * 2 * 3
    kept.write_bytes(begun + begun.splitlines()[0][:100])
    run_clicks(dataset, SEGMENTERS, out=tmp_path / "out", workers=2, **OPTIONS)
    assert lasting(tmp_path / "out") == lasting(unbroken)
    assert kept.read_bytes().startswith(begun)
    rows = [json.loads(line) for line in kept.read_bytes().splitlines()]
    finished = [(row["id"], row["segmenter"], row["mode"]) for row in rows if row["reason"] is None]
    assert len(finished) == len(set(finished)) == 8 * 2 * 3


def test_other_settings_than_the_run_was_begun_with_are_refused(dataset, unbroken):
    before = (unbroken / "clicks.jsonl").read_bytes()
    with pytest.raises(InputError, match=r"got clicks 7 after 6, seed 4 after 3; .* another --out"):
        run_clicks(dataset, SEGMENTERS, out=unbroken, clicks=7, seed=4)
    assert (unbroken / "clicks.jsonl").read_bytes() == before


def test_rows_of_another_version_of_a_segmenter_are_refused(dataset, unbroken, tmp_path):
    settings = unbroken / "settings.json"
    (tmp_path / "settings.json").write_text(settings.read_text().replace("geocut-", "geocut-0"))
    with pytest.raises(InputError, match=r"got segmenters geocut 'geocut-\d.*' after 'geocut-0"):
        run_clicks(dataset, SEGMENTERS, out=tmp_path, **OPTIONS)


def test_a_file_of_another_kind_is_refused_and_left_alone(dataset, tmp_path):
    path = tmp_path / "clicks.jsonl"
    path.write_text("my notes\n")
    with pytest.raises(InputError, match="expected an earlier run's or a new one; choose another --out"):
        run_clicks(dataset, SEGMENTERS, out=tmp_path)
    assert path.read_text() == "my notes\n"


def test_targets_of_one_picture_share_its_embedding(dataset):
    segmenter = CountingSegmenter()
    jobs = list_jobs(read_dataset(dataset)[:3], dataset, ["disk"], ["centre", "jitter", "box"])
    rows = simulate_jobs(jobs, 4, 0, lambda _name: segmenter)
    assert [row.key for row in rows] == [job.key for job in jobs]
    assert (len(rows), segmenter.embeds) == (6, 1)
    assert all(row.image == "images/a.png" and row.reason is None for row in rows)


def test_a_segmenter_that_fails_in_the_middle_breaks_its_row_alone(dataset):
    jobs = list_jobs(read_dataset(dataset)[:3], dataset, ["disk"], ["centre"])
    rows = simulate_jobs(jobs, 4, 0, lambda _name: CountingSegmenter(fails_at=3))
    assert [row.reason for row in rows] == ["RuntimeError: out of memory second line"] * 2
    assert rows[0].ious == ()
    segmenter = CountingSegmenter(fails_at=3)
    assert [row.reason for row in simulate_jobs(jobs, 4, 0, lambda _name: segmenter)] == [rows[0].reason, None]


def test_jitter_depends_on_the_seed_and_the_case_alone(dataset):
    jobs = list_jobs(read_dataset(dataset)[:3], dataset, ["disk"], ["jitter"])
    marks = [row.pixel_prompts for row in simulate_jobs(jobs, 4, 0)]
    assert [simulate_jobs([job], 4, 0)[0].pixel_prompts for job in reversed(jobs)] == marks[::-1]
    assert [row.pixel_prompts for row in simulate_jobs(jobs, 4, 1)] != marks


@pytest.mark.slow
def test_a_case_that_kills_its_process_is_a_broken_row(dataset, tmp_path):
    cases = read_dataset(dataset)[:5]
    jobs = list_jobs(cases, dataset, ["disk"], ["centre"])
    path = tmp_path / "clicks.jsonl"
    told = []
    run_click_jobs(jobs, path, killed_work.two_clicks, {}, workers=2, on_row=lambda *row: told.append(row))
    assert sorted(row["id"] for row, _, _ in told) == ["a 1", "a 2", "b 1", "b 2"]
    assert [done_of for _, *done_of in told] == [[done, 4] for done in range(1, 5)]
    rows = read_rows(path)
    assert {id: row.reason and row.reason[:16] for (id, *_), row in rows.items() if row.reason} == {
        "a 2": "its process died"
    }
    told.clear()
    two = partial(simulate_jobs, clicks=2, seed=0)  # the row that was broken is made anew, and no other
    run_click_jobs(jobs, path, two, {}, workers=1, on_row=lambda *row: told.append(row))
    assert [(row["id"], row["reason"], done, total) for row, done, total in told] == [("a 2", None, 4, 4)]
    assert read_rows(path)["a 1", "disk", "centre"] == rows["a 1", "disk", "centre"]


def test_what_cannot_be_run_is_refused_before_anything_is_written(dataset, tmp_path, monkeypatch):
    out = tmp_path / "out"
    for options, said in (
        ({"segmenters": ["nonesuch"]}, "nonesuch"),
        ({"modes": ["circle"]}, "got mode 'circle', expected one of centre, jitter, box"),
        ({"segmenters": []}, "expected one of each"),
        ({"clicks": 0}, "got clicks=0"),
        ({"workers": -1}, "workers=-1"),
    ):
        with pytest.raises(InputError, match=said):
            run_clicks(dataset, **({"segmenters": ["disk"], "out": out} | options))
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtra, match=r"\.\[eval\]"):
        run_clicks(dataset, ["disk"], out=out)
    assert not out.exists()
