"""`trajectories judge` and `eval --evaluator` on the command line: scores in files and tables, errors in a line."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.fakes import STOP, UNDO, positive, script

from ibisagent.agent import build_graph
from ibisagent.agent.episode import run_episode
from ibisagent.agent.trajectory import Trajectory
from ibisagent.agent.trajectory_files import write_trajectory
from ibisagent.evals.evaluators import judge_run, plain_evaluators
from ibisagent.tools.errors import InputError
from ibisagent.ui.cli.evaluate import evaluate
from ibisagent.ui.cli.judge import COLUMNS, run_judge

TRUTH = np.zeros((20, 20), bool)
TRUTH[5:15, 5:15] = True


def run(*replies: str, shade: int = 0) -> Trajectory:
    given = {"image": np.full((20, 20), shade, np.uint8), "request": "Segment the organ."}
    return run_episode(build_graph(script(*replies), "disk"), given, truth=TRUTH)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two runs, one of them with a reference in a ``.jsonl`` after a blank line and another picture's run."""
    (tmp_path / "runs").mkdir()
    write_trajectory(tmp_path / "runs/a.json", run(positive(0.4, 0.4), UNDO, STOP))
    write_trajectory(tmp_path / "runs/b.json", run(positive(0.5, 0.5), STOP, shade=7))
    records = [run(STOP, shade=99), run(positive(0.4, 0.4), STOP), run(STOP)]
    lines = [json.dumps(record.to_json()) for record in records]
    (tmp_path / "references.jsonl").write_text("\n\n".join(lines))
    return tmp_path


def test_a_row_a_run_and_evaluator_with_the_references_of_its_picture(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ["actions_strict", "final_iou", "steps?limit=2"]
    out = folder / "scores.csv"
    run_judge([folder / "runs"], names, references=[folder / "references.jsonl"], out=out)
    rows = rows_of(out)
    assert list(rows[0]) == list(COLUMNS)
    assert [(Path(row["run"]).name, row["evaluator"]) for row in rows] == [
        (run, name) for run in ("a.json", "b.json") for name in names
    ]
    record, reference = run(positive(0.4, 0.4), UNDO, STOP), run(positive(0.4, 0.4), STOP)
    scores = [each.score for each in judge_run(record, names, reference=reference).values()]
    assert [float(row["score"]) for row in rows[:3]] == scores
    assert (rows[0]["reference"], rows[3]["reference"]) == ("1", "0")
    assert (rows[3]["score"], rows[3]["reason"]) == ("", "no reference run")
    printed = capsys.readouterr().out
    assert "1 of 2 runs have a reference; 1 references repeat a picture and request" in printed
    assert "2 trajectories in " in printed


def test_without_names_all_that_need_no_model_judge(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = folder / "scores.csv"
    run_judge([folder / "runs"], out=out)
    assert {row["evaluator"] for row in rows_of(out)} == set(plain_evaluators(reference=False))
    assert "no score by recovery: began without a distractor click" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"names": ["nodes_strict"]}, "got nodes_strict without a reference run, expected one; add --reference RUNS"),
        ({"names": ["no_such"]}, "evaluator 'no_such': expected one of nodes_strict"),
        ({"references": [Path("runs/left-out.json")]}, "got no trajectory, expected .json or .jsonl ones"),
    ],
)
def test_an_error_is_one_line_and_nothing_is_written(
    folder: Path, options: dict[str, Any], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    Path("runs/left-out.json").write_text("{}")
    with pytest.raises(InputError) as caught:
        run_judge([Path("runs")], options.get("names", ()), references=options.get("references"), out=Path("o.csv"))
    assert told in str(caught.value)
    assert not Path("o.csv").exists()


@pytest.mark.slow
def test_eval_judges_every_run_and_prints_cost_beside_quality(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    for name in ("images", "masks"):
        (data / name).mkdir(parents=True)
    lines = ["id,image,mask,target,present"]
    for id, present in (("a", 1), ("b", 1), ("c", 0)):
        Image.fromarray(np.full((20, 20), ord(id), np.uint8)).save(data / f"images/{id}.png")
        Image.fromarray(TRUTH).save(data / f"masks/{id}.png")
        lines.append(f"{id},images/{id}.png,{f'masks/{id}.png' if present else ''},organ,{present}")
    (data / "manifest.csv").write_text("\n".join(lines))
    names, out = ["refuses_absent", "steps?limit=1"], tmp_path / "out"
    chosen: dict[str, Any] = {"baselines": False, "max_steps": 3, "workers": 1, "evaluators": names}
    evaluate(data, ["oracle", "centre"], ["disk"], out, **chosen)
    rows = rows_of(out / "results.csv")
    scores = {(row["policy"], row["id"]): row["evaluator:refuses_absent"] for row in rows}
    assert scores == {
        **dict.fromkeys([("oracle", "a"), ("oracle", "b"), ("centre", "a"), ("centre", "b")], ""),
        ("oracle", "c"): "1.0",
        ("centre", "c"): "0.0",
    }
    assert {row["reason:refuses_absent"] for row in rows if row["id"] == "a"} == {"the target is present"}
    assert all(float(row["first_mask_seconds"]) > 0 for row in rows if row["id"] != "c")
    summary = json.loads((out / "summary.json").read_text())
    means = {run["policy"]: run["evaluators"]["refuses_absent"]["value"] for run in summary["runs"]}
    assert means == {"oracle": 1.0, "centre": 0.0}
    printed = capsys.readouterr().out
    cost, judged = (printed[printed.index(word) :] for word in ("first mask s", "evaluators: means"))
    assert [line.split()[0] for line in cost.splitlines()[2:4]] == ["oracle", "centre"]  # the best IoU first
    assert judged
    with pytest.raises(InputError, match="evaluators"):
        evaluate(data, ["oracle"], ["disk"], out, **chosen | {"evaluators": ["steps?limit=2"]})
    with pytest.raises(InputError, match="got no reference run, expected one; judge the trajectories of this folder"):
        evaluate(data, ["oracle"], ["disk"], tmp_path / "new", **chosen | {"evaluators": ["nodes_strict"]})
