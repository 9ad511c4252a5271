"""Robustness suites: each finds a planted fault that the mean IoU on clean data does not show."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from support.killed_jobs import kill_after_rows, write_slow_script
from support.planted_faults import write_kidneys

from ibisagent.agent.trajectory_files import read_trajectories
from ibisagent.evals.rows import VOLATILE
from ibisagent.evals.runner import run_eval
from ibisagent.evals.suites import SUITES, SuiteResults, run_suite
from ibisagent.evals.suites.results import Figure
from ibisagent.evals.suites.tables import to_markdown
from ibisagent.evals.suites.worst_cases import find_worst
from ibisagent.tools.datasets import read_dataset
from ibisagent.tools.errors import InputError
from ibisagent.ui.cli.suite import run_suite_command

HERE: dict[str, Any] = {"max_steps": 4, "workers": 0}  # in this process, which saves the start of others


@pytest.fixture(scope="module")
def kidneys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_kidneys(tmp_path_factory.mktemp("data") / "kidneys", pictures=2)


def run(name: str, data: Path, policy: str, out: Path, *segmenters: str, **options: Any) -> SuiteResults:
    named = f"support.planted_faults:{policy}"
    cases = read_dataset(data)
    return run_suite(SUITES[name], cases, named, segmenters or ("geodesic",), out / policy, **HERE | options)


def figure(results: SuiteResults, condition: str, metric: str = "iou") -> Figure:
    (found,) = [each for each in results.figures if (each.condition, each.metric) == (condition, metric)]
    return found


def value(results: SuiteResults, condition: str = "clean", metric: str = "iou") -> float:
    found = figure(results, condition, metric).value.value
    assert found is not None
    return found


def drop(results: SuiteResults, condition: str, metric: str = "iou") -> tuple[float, float, float]:
    """Return a drop, and the ends of its interval."""
    found = figure(results, condition, metric).drop
    assert found is not None
    assert found.value is not None
    assert found.low is not None
    assert found.high is not None
    return found.value, found.low, found.high


@pytest.mark.slow
def test_jitter_finds_a_policy_that_clicks_ten_pixels_beside_the_middle(kidneys: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"kinds": ["pixels"], "severities": [3]}
    sound, shifted = (run("jitter", kidneys, policy, tmp_path, **options) for policy in ("Sound", "Shifted"))
    assert abs(value(sound) - value(shifted)) < 0.02
    assert value(sound) > 0.9
    assert drop(sound, "pixels-3")[0] < 0.02
    assert drop(shifted, "pixels-3")[0] > 0.2
    assert drop(sound, "pixels-3", "first_hit")[0] == 0
    assert drop(shifted, "pixels-3", "first_hit")[0] > 0.2


@pytest.mark.slow
def test_another_segmenter_finds_a_policy_that_does_not_look_at_its_mask(kidneys: Path, tmp_path: Path) -> None:
    blind, looking = (
        run("segmenter", kidneys, policy, tmp_path, "geodesic", "disk", kinds=["disk"])
        for policy in ("Sound", "Dropping")
    )
    assert abs(value(blind) - value(looking)) < 0.02
    assert drop(blind, "disk")[1] > drop(looking, "disk")[2] + 0.05


@pytest.mark.slow
def test_a_segmenter_that_is_another_one_by_its_name_alone_is_told(kidneys: Path, tmp_path: Path) -> None:
    same = "support.planted_faults:Renamed"
    results = run("segmenter", kidneys, "Sound", tmp_path, "geodesic", same)
    assert value(results, results.runs[0].condition.name) == value(results)
    name = results.runs[0].condition.name
    assert results.notes == [
        f"{name}: the same model as the first segmenter, by its fingerprint",
        f"{name}: all 4 runs ended as the clean ones did",
    ]


@pytest.mark.slow
def test_paraphrases_find_a_policy_that_knows_one_wording(kidneys: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"kinds": ["question", "german", "synonym"]}
    sound, fault = (run("paraphrase", kidneys, policy, tmp_path, **options) for policy in ("Sound", "ByHeart"))
    assert value(sound) == value(fault)
    assert [drop(sound, kind)[0] for kind in ("question", "german", "mean")] == [0, 0, 0]
    assert [drop(fault, kind)[1] > 0.9 for kind in ("question", "german")] == [True, True]
    assert value(fault, "synonym") == value(fault)  # the words around the name are the same
    assert {row["request"][:14] for row in fault.runs[2].rows.values()} == {"Bitte markiere"}


@pytest.mark.slow
def test_absent_requests_find_who_always_refuses_and_who_always_segments(kidneys: Path, tmp_path: Path) -> None:
    much = write_kidneys(tmp_path / "much", pictures=1, absent=6)
    refusing, sound = (
        run("absent", much, policy, tmp_path, kinds=["impossible"]) for policy in ("AlwaysRefuses", "Sound")
    )
    rows = refusing.clean.rows.values()
    assert sum(row["iou"] for row in rows) / len(rows) == 0.75  # the mean IoU, as most is absent
    segmenting = run("absent", kidneys, "AlwaysSegments", tmp_path, kinds=["impossible"])
    accuracy = "balanced_accuracy"
    assert value(refusing, "impossible", accuracy) == 0.5
    assert value(segmenting, "impossible", accuracy) == 0.5
    assert value(sound, "impossible", accuracy) == 1.0
    assert drop(segmenting, "impossible", "verdict")[0] == 1.0


@pytest.mark.slow
def test_initial_masks_find_a_policy_that_trusts_them(kidneys: Path, tmp_path: Path) -> None:
    trusting, sound = (run("initial-mask", kidneys, policy, tmp_path) for policy in ("Trusting", "Dropping"))
    assert abs(value(sound) - value(trusting)) < 0.02
    for kind in ("rough", "shifted", "wrong", "other-organ"):
        assert drop(trusting, kind)[1] > drop(sound, kind)[0] + 0.1, kind
    assert value(trusting, "other-organ") == 0
    assert {row["start"] for row in trusting.runs[3].rows.values()} == {"other_target_mask"}


@pytest.mark.slow
def test_a_flip_finds_a_policy_that_knows_left_and_right_by_their_looks(kidneys: Path, tmp_path: Path) -> None:
    sound, fault = (run("shift", kidneys, policy, tmp_path, kinds=["flip"]) for policy in ("Sound", "ByLook"))
    assert abs(value(sound) - value(fault)) < 0.02
    assert abs(drop(sound, "flip")[0]) < 0.02
    assert drop(fault, "flip")[1] > 0.9
    row = fault.runs[0].rows["0-left"]
    assert (row["target"], row["request"]) == ("right kidney", "Segment the right kidney.")
    assert [(each.kind, each.source, each.value.n) for each in fault.sources] == [
        *(("clean", source, 2) for source in ("north", "south")),
        *(("flip", source, 2) for source in ("north", "south")),
    ]
    means = {each.source: each.value.value or 0 for each in fault.sources if each.kind == "clean"}
    gap, best, worst_source = fault.gaps["clean"]
    assert gap == means[best] - means[worst_source] == max(means.values()) - min(means.values())
    assert "| north | 2 |" in to_markdown(fault, "")
    worst = find_worst(fault, "flip", 3)
    assert [each.drop for each in worst] == sorted((each.drop for each in worst), reverse=True)
    assert len({each.before["id"] for each in worst}) == 3


@pytest.mark.slow
def test_seeds_find_a_policy_that_gambles(kidneys: Path, tmp_path: Path) -> None:
    gambler, sound = (run("seeds", kidneys, policy, tmp_path, seeds=range(3)) for policy in ("Gambler", "Sound"))
    means = [value(gambler), *(value(gambler, f"seed-{seed}") for seed in (1, 2))]
    assert max(means) < 0.9
    assert value(gambler, "spread") > 0.5
    assert value(sound, "spread") == 0
    assert len(sound.notes) == 2


def files_of(out: Path) -> dict[str, Any]:
    """Everything of an evaluation but its times."""
    with (out / "results.csv").open(newline="") as file:
        rows = [row[: -len(VOLATILE)] for row in csv.reader(file)]
    summary = json.loads((out / "summary.json").read_text())
    del summary["timing"]
    records = {}
    for path in sorted(out.glob("trajectories/*/*/*.json")):
        record = next(read_trajectories(path)).to_json()
        records[path.name] = [record | {"seconds": 0, "steps": [step | {"seconds": {}} for step in record["steps"]]}]
    return {"rows": rows, "summary": summary, "records": records, "settings": (out / "settings.json").read_bytes()}


@pytest.mark.slow
def test_the_clean_run_is_a_plain_evaluation(kidneys: Path, tmp_path: Path) -> None:
    results = run("jitter", kidneys, "Sound", tmp_path, kinds=["share"], severities=[4])
    cases, plain = read_dataset(kidneys), tmp_path / "plain/eval"  # as deep as the other, for the pictures' paths
    run_eval(cases, ["support.planted_faults:Sound"], ["geodesic"], plain, **HERE)
    assert results.clean.folder == tmp_path / "Sound/clean"
    assert len(files_of(plain)["records"]) == 4
    assert files_of(results.clean.folder) == files_of(plain)


@pytest.mark.slow
def test_shifted_pictures_lie_beside_their_records(kidneys: Path, tmp_path: Path) -> None:
    results = run("shift", kidneys, "Sound", tmp_path, kinds=["noise"], severities=[1])
    (run_,) = results.runs
    path = run_.folder / run_.rows["0-left"]["trajectory"]
    record = next(read_trajectories(path))
    assert (path.parent / f"{record.image['sha']}.png").is_file()
    assert record.image["uri"] is None


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("jitter", {"seeds": (0, 1)}, "suite jitter: got 2 seeds, expected one; name one --seed"),
        ("seeds", {}, "suite seeds: got 1 seeds, expected two or more"),
        ("segmenter", {}, "suite segmenter: got 1 segmenters, expected two or more"),
        ("shift", {"kinds": ["fog"]}, "suite shift: got condition 'fog', expected one of noise, contrast"),
        ("shift", {"severities": [9]}, "suite shift: got severity 9, expected one of 1, 2, 3, 4, 5"),
    ],
)
def test_what_cannot_be_run_is_refused_before_anything_is_written(
    kidneys: Path, tmp_path: Path, name: str, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        run(name, kidneys, "Sound", tmp_path, **options)
    assert not list(tmp_path.iterdir())


def test_the_command_writes_tables_and_sheets_and_tells_where(
    kidneys: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings: dict[str, Any] = {"kinds": ["pixels"], "severities": [4], "seeds": [0], "worst": 1}
    run_suite_command("jitter", kidneys, "support.planted_faults:Shifted", ["geodesic"], tmp_path, **HERE | settings)
    told = capsys.readouterr().out
    names = ("jitter.csv", "jitter-sources.csv", "jitter.md", "jitter-worst/pixels.png")
    assert [name for name in names if str(tmp_path / name) not in told or not (tmp_path / name).stat().st_size] == []
    with (tmp_path / "jitter.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["condition"] for row in rows] == ["clean", "pixels-4"] * 3
    assert float(rows[1]["clean"]) - float(rows[1]["value"]) == pytest.approx(float(rows[1]["drop"]))
    with pytest.raises(InputError, match="got suite 'fog', expected one of segmenter, jitter"):
        run_suite_command("fog", kidneys, "centre", ["geodesic"], tmp_path, **HERE)


BODY = """
from pathlib import Path
from ibisagent.ui.cli.suite import run_suite_command

if __name__ == "__main__":
    settings = {"kinds": ["noise"], "severities": [2], "seeds": [0], "max_steps": 3, "workers": 1}
    run_suite_command("shift", Path(sys.argv[1]), "random", ["geodesic"], Path(sys.argv[2]), **settings)
"""


@pytest.mark.slow
def test_a_killed_suite_resumes_to_the_same_table(kidneys: Path, tmp_path: Path) -> None:
    script = write_slow_script(tmp_path / "script.py", BODY, seconds=0.2)
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    kill_after_rows(script, kidneys, killed, rows=killed / "clean/rows.jsonl", count=3)
    kill_after_rows(script, kidneys, killed, rows=killed / "shift/noise-2/rows.jsonl", count=3)
    assert not (killed / "shift.csv").exists()
    settings: dict[str, Any] = {"kinds": ["noise"], "severities": [2], "seeds": [0], "max_steps": 3, "workers": 0}
    for out in (killed, whole):
        run_suite_command("shift", kidneys, "random", ["geodesic"], out, **settings)
    for name in ("shift.csv", "shift-sources.csv", "shift.md", "shift-worst/noise.png"):
        assert (killed / name).read_bytes() == (whole / name).read_bytes(), name
