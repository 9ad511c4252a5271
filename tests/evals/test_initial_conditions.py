"""Evaluations with initial conditions: equal for every policy, and reported in rows, summary and report."""

import csv
import json
import re

import numpy as np
import pytest
from support.dataset_fixtures import write_organ_dataset

from ibisagent.agent.actions import Backtrack, Terminate, write_reply
from ibisagent.agent.policies import Completion, SyncPolicy
from ibisagent.agent.trajectory_files import read_trajectories
from ibisagent.evals.initial_conditions import build_initial_input
from ibisagent.evals.report import write_report
from ibisagent.evals.runner import run_eval
from ibisagent.tools.clicks import click_to_pixel
from ibisagent.tools.datasets import read_dataset
from ibisagent.tools.errors import InputError
from ibisagent.tools.masks.measure import iou
from ibisagent.tools.masks.rle import decode


class Still(SyncPolicy):
    """Takes whatever it meets; with ``drops`` it drops that first."""

    def __init__(self, drops):
        self.drops, self.name = drops, "dropping" if drops else "still"

    def act(self, observation):
        there = observation.prompts or observation.has_initial_mask
        action = Backtrack() if self.drops and there else Terminate()
        answer = "There it is." if there else "There is none."
        return Completion(
            write_reply("So it is.", action, None if action == Backtrack() else answer, observation.frame)
        )


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Two pictures with a liver, a spleen, and a polyp that is absent."""
    folder = tmp_path_factory.mktemp("data")
    return write_organ_dataset(folder, 2, "source", lambda _, target: "not there" if target == "polyp" else "there")


POLICIES = ["oracle", Still(drops=True), Still(drops=False)]


def evaluated(dataset, out, start, **settings):
    run_eval(read_dataset(dataset), POLICIES, ["geodesic"], out, max_steps=6, start=start, **{"workers": 1} | settings)
    with (out / "results.csv").open(newline="") as file:
        return {(row["policy"], row["id"]): row for row in csv.DictReader(file)}


def told(out, policy):
    summary = json.loads((out / "summary.json").read_text())
    (run,) = [run for run in summary["runs"] if run["policy"] == policy]
    return {name: found["value"] for name, found in run["overall"].items()}


def records(out, policy):
    return {path.stem: next(read_trajectories(path)) for path in out.glob(f"trajectories/{policy}/geodesic/*.json")}


@pytest.mark.slow
def test_a_perturbed_mask_is_refined_and_an_absent_target_has_none(dataset, tmp_path):
    rows = evaluated(dataset, tmp_path, "perturbed_mask")
    for (policy, id), row in rows.items():
        if "polyp" in id:
            assert (row["start"], row["start_iou"], row["start_undone"]) == ("", "", "")
        else:
            assert row["start"] == "perturbed_mask"
            assert 0.3 <= float(row["start_iou"]) <= 0.8
            assert (row["start_undone"] == "True") == (policy == "dropping")
    same = [{id: record.start for id, record in records(tmp_path, policy).items()} for policy in ("oracle", "still")]
    assert same[0] == same[1]
    still, oracle = told(tmp_path, "still"), told(tmp_path, "oracle")
    assert (
        still["start_iou"]
        == oracle["start_iou"]
        == pytest.approx(np.mean([float(rows["still", id]["iou"]) for _, id in rows if "polyp" not in id]))
    )
    assert (still["improved"], still["start_undone"], still["recovered"]) == (0.0, 0.0, None)
    assert (oracle["improved"], oracle["refusal_rate"]) == (1.0, 1.0)


@pytest.mark.slow
def test_a_foreign_mask_is_to_be_dropped_however_the_run_is_made(dataset, tmp_path):
    out, again = tmp_path / "out", tmp_path / "again"
    rows = evaluated(dataset, out, "foreign_mask")
    cases = {case.id: case for case in read_dataset(dataset)}
    for id, record in records(out, "still").items():
        truth = cases[id].read_truth(cases[id].open())
        assert record.has_initial_mask
        assert iou(decode(record.start), truth) == float(rows["still", id]["start_iou"]) < 0.1
    dropping, still = told(out, "dropping"), told(out, "still")
    assert (dropping["start_undone"], dropping["refusal_rate"], dropping["false_refusal_rate"]) == (1.0, 1.0, 1.0)
    assert (still["start_undone"], still["refusal_rate"], still["false_refusal_rate"]) == (0.0, 0.0, 0.0)
    again.mkdir()
    for name in ("settings.json", "rows.jsonl"):
        (again / name).write_text(
            "".join((out / name).read_text().splitlines(keepends=True)[: 40 if "s.j" in name else 5])
        )
    resumed = evaluated(dataset, again, "foreign_mask", workers=2)
    timeless = [
        {key: {n: v for n, v in row.items() if "seconds" not in n} for key, row in each.items()}
        for each in (rows, resumed)
    ]
    assert timeless[0] == timeless[1]


@pytest.mark.slow
def test_a_run_recovers_from_undoes_or_keeps_a_distractor_click(dataset, tmp_path):
    rows = evaluated(dataset, tmp_path, "distractor_click")
    cases = {case.id: case for case in read_dataset(dataset)}
    for (policy, id), row in rows.items():
        record = records(tmp_path, policy)[id]
        planted, truth = record.steps[0], cases[id].read_truth(cases[id].open())
        assert (planted.actor, planted.action["type"], planted.action["positive"]) == ("experiment", "point", True)
        x, y = planted.action["x"], planted.action["y"]
        assert not truth[int(y * 64), int(x * 64)]
        assert float(row["start_iou"]) == iou(decode(planted.mask), truth)
        if policy != "oracle":
            assert row["start_undone"] == str(policy == "dropping")
    assert {rows["dropping", id]["stop"] for id in cases} == {"target_absent"}
    shares = {policy: told(tmp_path, policy)["recovered"] for policy in ("oracle", "dropping", "still")}
    assert (shares["dropping"], shares["still"]) == (1.0, 0.0)
    assert shares["oracle"] > 0.5
    page = write_report(tmp_path).read_text(encoding="utf-8")
    assert "A positive click outside the target." in page
    recovered = re.findall(r'data-column="recovered" data-value="([\d.]+)"', page.partition('<table id="starts"')[2])
    assert [float(value) for value in recovered] == list(shares.values())
    with pytest.raises(
        InputError, match=r"got start 'perturbed_mask' after 'distractor_click'; .* choose another --out"
    ):
        evaluated(dataset, tmp_path, "perturbed_mask")


def test_the_initial_condition_depends_on_seed_and_case_alone(dataset):
    cases = read_dataset(dataset)
    case, other = cases[0], cases[2]
    image = case.open()
    truth = case.read_truth(image)
    one, two, third = (
        build_initial_input("distractor_click", seed, case, [], image, truth)["prompts"] for seed in (0, 0, 1)
    )
    assert (one == two, one == third) == (True, False)
    assert not truth[click_to_pixel(one[0], truth.shape)]
    assert build_initial_input("none", 0, case, [other], image, truth) == {}
    (dataset / "masks/0-spleen.png").rename(dataset / "masks/away.png")
    blobs = [
        build_initial_input("foreign_mask", seed, case, [other], image, truth)["initial_mask"] for seed in range(8)
    ]
    (dataset / "masks/away.png").rename(dataset / "masks/0-spleen.png")
    assert max(iou(blob, truth) for blob in blobs) < 0.1


def test_an_unknown_start_is_refused_before_anything_is_written(dataset, tmp_path):
    with pytest.raises(InputError, match="got start 'odd', expected one of none, perturbed_mask, shifted_mask"):
        evaluated(dataset, tmp_path / "out", "odd")
    assert not (tmp_path / "out").exists()
