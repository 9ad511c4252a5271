"""The data-set runner on real processes: equal rows however it is run, killed and taken up; what is broken is a row."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image
from support.killed_jobs import write_slow_script

from ibisagent.agent import LoopConfig, OraclePolicy, build_graph
from ibisagent.agent.policies import CentrePolicy, SyncPolicy
from ibisagent.agent.trajectory_files import read_trajectories
from ibisagent.evals.metrics import case_metrics
from ibisagent.evals.rewards import REWARD_PRESETS, score_trajectory
from ibisagent.evals.rows import COLUMNS, VOLATILE
from ibisagent.evals.runner import run_eval
from ibisagent.evals.trajectories import trajectory_metrics
from ibisagent.tools.datasets import read_dataset
from ibisagent.tools.errors import InputError
from ibisagent.tools.masks.measure import iou
from ibisagent.tools.masks.rle import decode
from ibisagent.ui.cli.evaluate import evaluate

POLICIES, SEGMENTERS, STEPS = ["oracle", "random"], ["geodesic", "disk"], 6
SOUND = ("a1", "a2", "absent", "b", "c", "d")
BROKEN = {
    "fault": "fault: got present='perhaps', expected 1 or 0",
    "missing": "masks/missing.png: got a path with no file",
    "shape": "shape.png: got a mask of",
    "unread": "images/unread.png: got an unknown kind of file",
}


def ellipse(row, column, side=56):
    rows, columns = np.mgrid[:side, :side]
    return ((rows - row) / 9) ** 2 + ((columns - column) / 13) ** 2 < 1


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Six sound cases, the first two on one picture, and one of each kind that is broken."""
    folder = tmp_path_factory.mktemp("data")
    for name in ("images", "masks"):
        (folder / name).mkdir()
    noise = np.random.default_rng(0)
    lines = ["id,image,mask,target,modality,source,present"]
    for index, id in enumerate((*SOUND, *BROKEN)):
        truth = ellipse(20 + index, 34 - index, 40 if id == "shape" else 56)
        pixels = np.clip(70 + 90 * ellipse(20 + index, 34 - index) + noise.normal(0, 8, (56, 56)), 0, 255)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"images/{id}.png")
        Image.fromarray(truth).save(folder / f"masks/{id}.png")
        image, present = "a1" if id == "a2" else id, {"absent": "0", "fault": "perhaps"}.get(id, "1")
        group = f"{'CT' if index % 2 else 'MR'},{'north' if index < 4 else 'south'}"
        lines.append(f"{id},images/{image}.png,masks/{id}.png,lesion,{group},{present}")
    (folder / "manifest.csv").write_text("\n".join(lines))
    (folder / "masks/missing.png").unlink()
    (folder / "images/unread.png").write_bytes(b"no picture")
    return folder


@pytest.fixture(scope="module")
def unbroken(dataset, tmp_path_factory):
    out = tmp_path_factory.mktemp("unbroken")
    run_eval(read_dataset(dataset), POLICIES, SEGMENTERS, out, max_steps=STEPS, workers=1)
    return out


def rows_of(out):
    """The cells of `results.csv` by case, policy and segmenter, less those that differ between two runs."""
    with (out / "results.csv").open(newline="") as file:
        head, *rows = csv.reader(file)
    assert tuple(head) == COLUMNS
    found = [dict(list(zip(head, row, strict=True))[: -len(VOLATILE)]) for row in rows]
    return {(row["id"], row["policy"], row["segmenter"]): row for row in found}


def outcome(out):
    """Everything of a run but its times."""
    summary = json.loads((out / "summary.json").read_text())
    del summary["timing"]
    return list(rows_of(out).items()), summary


def written(out):
    """When each trajectory was written."""
    return {path.relative_to(out).as_posix(): path.stat().st_mtime_ns for path in out.glob("trajectories/*/*/*")}


def test_a_row_holds_the_case_and_the_figures_of_its_run(dataset, unbroken):
    case = next(case for case in read_dataset(dataset) if case.id == "a2")
    image = case.open()
    truth = case.read_truth(image)
    graph = build_graph(OraclePolicy(truth), "geodesic", LoopConfig(max_steps=STEPS))
    ended = graph.invoke({"image": image, "request": case.request})
    path = "trajectories/oracle/geodesic/a2.json"
    (record,) = read_trajectories(unbroken / path)
    run = trajectory_metrics(record)
    assert (record.mask, record.stop, record.config["max_steps"]) == (ended["mask"], ended["stop"], STEPS)
    assert (unbroken / path).parent.joinpath(record.image["uri"]).resolve() == case.image
    expected = {
        **{"id": "a2", "image": "images/a1.png", "target": "lesion", "modality": "CT", "source": "north", "split": ""},
        **{"request": "Segment the lesion.", "policy": "oracle", "segmenter": "geodesic"},
        **{"status": "done", "reason": None, "stop": ended["stop"]},
        **case_metrics(decode(ended["mask"]), truth)._asdict(),
        **{"f1_50": 1.0, "count_error": 0.0, "panoptic_quality": iou(decode(ended["mask"]), truth)},  # one of one
        **{"start": None, "start_iou": None, "start_undone": None},
        **dict.fromkeys(("proposal", "proposal_by", "proposal_score", "proposal_iou", "proposal_gain")),
        **{
            "turns": run.turns,
            "length": run.length,
            **{f"iou_at_{k}": run.fit.iou_at_step[str(k)] for k in (1, 3, 5, 10, 20)},
        },
        **{"best_iou": run.fit.best_iou, "regret": run.fit.regret, "first_click_hit": run.fit.first_click_hit},
        **{"hits": run.fit.hits, "misses": run.fit.misses},
        **{"click_hit_rate": run.fit.click_hit_rate, "wasted_clicks": run.fit.wasted_clicks},
        **{"valid_actions": run.valid_actions, "valid_action_rate": run.valid_action_rate},
        **{"repaired_replies": run.repaired_replies, "repair_rate": run.repair_rate},
        **{"improving_clicks": run.fit.improving_clicks, "progress_rate": run.fit.progress_rate},
        **{"undos": 0, "helpful_undos": 0, "mean_undo_gain": None},
        **{
            f"reward_{name}": score_trajectory(record, config, target="lesion").total
            for name, config in REWARD_PRESETS.items()
        },
        **{"score": ended["score"], "trajectory": path},
    }
    cells = {name: "" if value is None else str(value) for name, value in expected.items()}
    assert rows_of(unbroken)["a2", "oracle", "geodesic"] == cells


def test_every_broken_case_is_a_row_with_its_reason(unbroken):
    rows = rows_of(unbroken)
    assert list(rows) == [
        (id, policy, segmenter) for id in sorted((*SOUND, *BROKEN)) for policy in POLICIES for segmenter in SEGMENTERS
    ]
    assert {key: (row["status"], row["reason"]) for key, row in rows.items() if key[0] in SOUND} == {
        key: ("done", "") for key in rows if key[0] in SOUND
    }
    for key in [key for key in rows if key[0] in BROKEN]:
        assert (rows[key]["status"], rows[key]["reason"][: len(BROKEN[key[0]])]) == ("broken", BROKEN[key[0]])


def test_the_summary_says_what_the_rows_say(unbroken):
    rows, summary = rows_of(unbroken), json.loads((unbroken / "summary.json").read_text())
    assert {name: summary[name] for name in ("cases", "images", "absent")} == {"cases": 10, "images": 9, "absent": 1}
    assert [(run["policy"], run["segmenter"]) for run in summary["runs"]] == [
        *[("oracle", "geodesic"), ("random", "geodesic"), ("oracle", "disk"), ("random", "disk")]
    ]
    run = summary["runs"][0]
    ious = {id: float(rows[id, "oracle", "geodesic"]["iou"]) for id in SOUND}
    north, south = np.mean([ious[id] for id in SOUND[:4]]), np.mean([ious[id] for id in SOUND[4:]])
    assert (run["done"], run["broken"], run["overall"]["iou_per_case"]["n"]) == (6, 4, 6)
    assert run["overall"]["iou_per_case"]["units"] == 5
    assert run["overall"]["iou_per_case"]["value"] == pytest.approx(np.mean(list(ious.values())))
    assert {name: part["iou_per_case"]["n"] for name, part in run["modality"].items()} == {"CT": 3, "MR": 3}
    assert run["gap"] == {"by": "source"} | (
        {"worst": "south", "best": "north", "gap": pytest.approx(north - south)}
        if north > south
        else {"worst": "north", "best": "south", "gap": pytest.approx(south - north)}
    )
    assert sum(run["trajectories"]["stops"].values()) == 6
    against = summary["comparisons"][0]
    assert (against["segmenter"], against["first"], against["second"]) == ("geodesic", "oracle", "random")
    others = [float(rows[id, "random", "geodesic"]["iou"]) for id in SOUND]
    assert against["difference"]["value"] == pytest.approx(np.mean(list(ious.values())) - np.mean(others))


@pytest.mark.slow
def test_the_number_of_processes_does_not_matter(dataset, unbroken, tmp_path):
    told = []
    cases = read_dataset(dataset)
    run_eval(cases, POLICIES, SEGMENTERS, tmp_path, max_steps=STEPS, workers=2, on_row=lambda *row: told.append(row))
    assert outcome(tmp_path) == outcome(unbroken)
    assert [done for _, done, _ in told] == list(range(1, 41))
    assert {total for _, _, total in told} == {40}


BODY = """
from pathlib import Path
from ibisagent.ui.cli.evaluate import evaluate

if __name__ == "__main__":
    settings = {"baselines": False, "max_steps": 6, "workers": int(sys.argv[3])}
    evaluate(Path(sys.argv[1]), ["oracle", "random"], ["geodesic", "disk"], Path(sys.argv[2]), **settings)
"""


def heed_ctrl_c():
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell's background jobs ignore it, and so would what they start


def stopped(script, dataset, out, workers, how):
    """Run a script in a process group of its own until four more rows are there, stop it, await the end of all."""
    rows = out / "rows.jsonl"
    before = rows.read_bytes().count(b"\n") if rows.exists() else 0
    command = [sys.executable, script, dataset, out, str(workers)]
    own = {"start_new_session": True, "preexec_fn": heed_ctrl_c}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, **own)
    while not rows.exists() or rows.read_bytes().count(b"\n") < before + 4:
        assert process.poll() is None
        time.sleep(0.002)
    how(process.pid)
    _, said = process.communicate(timeout=20)  # its processes hold this pipe as well: none outlives it
    return process.returncode, said


@pytest.mark.slow
def test_a_run_stopped_in_any_way_goes_on_where_it_was(dataset, unbroken, tmp_path):
    script, out = tmp_path / "script.py", tmp_path / "out"
    write_slow_script(script, BODY, seconds=0.1)
    code, said = stopped(script, dataset, out, 1, lambda pid: os.killpg(pid, signal.SIGINT))
    assert code == -signal.SIGINT
    assert f"the same command with --out {out} resumes from there" in " ".join(said.split())
    assert stopped(script, dataset, out, 2, lambda pid: os.killpg(pid, signal.SIGKILL))[0] == -signal.SIGKILL
    assert not (out / "results.csv").exists()
    with (out / "rows.jsonl").open("a") as file:
        file.write('{"id":"d","image"')
    finished = [json.loads(line) for line in (out / "rows.jsonl").read_text().splitlines()[:-1]]
    kept = {row["trajectory"] for row in finished if row["status"] == "done"}
    before = written(out)
    told = []
    cases = read_dataset(dataset)
    run_eval(cases, POLICIES, SEGMENTERS, out, max_steps=STEPS, workers=1, on_row=lambda *row: told.append(row))
    assert outcome(out) == outcome(unbroken)
    assert kept
    assert {path: written(out)[path] for path in kept} == {path: before[path] for path in kept}
    assert sorted(kept | {row["trajectory"] for row, _, _ in told if row["status"] == "done"}) == sorted(written(out))
    assert [done_of for _, *done_of in told] == [[done, 40] for done in range(len(kept) + 1, 41)]


@pytest.mark.slow
def test_the_command_adds_the_baselines_and_tells_where_everything_is(dataset, tmp_path, capsys):
    evaluate(dataset, ["random"], ["disk"], tmp_path, limit=4, max_steps=2, workers=1)
    rows = rows_of(tmp_path)
    ids, policies = ["a1", "absent", "d", "missing"], ["random", "oracle", "centre"]
    assert list(rows) == [(id, policy, "disk") for id in ids for policy in policies]
    told = capsys.readouterr().out.splitlines()
    figures = [line.split()[:4] for line in told if " disk " in line]
    assert figures[:3] == [[policy, "disk", "3", "1"] for policy in policies]
    assert sorted(line[0] for line in figures[3:6]) == sorted(policies), "what each cost"
    assert told[-1] == f"wrote {tmp_path / 'report.html'}"
    assert (tmp_path / "report.html").stat().st_size
    with pytest.raises(InputError, match="got limit=0"):
        evaluate(dataset, ["random"], ["disk"], tmp_path, limit=0)


@pytest.mark.slow
def test_no_process_outlives_one_that_is_killed(dataset, tmp_path):
    script = tmp_path / "script.py"
    write_slow_script(script, BODY, seconds=0.1)
    code, _ = stopped(script, dataset, tmp_path / "out", 2, lambda pid: os.kill(pid, signal.SIGKILL))
    assert code == -signal.SIGKILL


@pytest.mark.slow
def test_a_further_policy_and_a_mended_case_do_only_their_own_work(dataset, unbroken, tmp_path):
    out, data = tmp_path / "out", tmp_path / "moved"
    shutil.copytree(unbroken, out)
    shutil.copytree(dataset, data)
    shutil.copy(data / "masks/c.png", data / "masks/missing.png")
    before, told = written(out), []
    cases, policies = read_dataset(data), ["centre", "oracle"]
    run_eval(cases, policies, ["disk"], out, max_steps=STEPS, workers=1, on_row=lambda *row: told.append(row))
    assert {path: at for path, at in written(out).items() if path in before} == before
    assert sorted(set(written(out)) - set(before)) == [
        *(f"trajectories/centre/disk/{id}.json" for id in sorted((*SOUND, "missing"))),
        "trajectories/oracle/disk/missing.json",
    ]
    assert sorted((row["policy"], row["id"]) for row, _, _ in told) == [
        *(("centre", id) for id in sorted((*SOUND, *BROKEN))),
        *(("oracle", id) for id in BROKEN),
    ]
    found, earlier = rows_of(out), rows_of(unbroken)
    mended = ("missing", "oracle", "disk")
    assert found[mended]["status"] == "done"
    assert {key: row for key, row in found.items() if key[1] != "centre"} == earlier | {mended: found[mended]}
    assert list(found)[:5] == [
        *(("a1", policy, name) for policy in ("oracle", "random") for name in SEGMENTERS),
        ("a1", "centre", "disk"),
    ]


def test_other_settings_than_those_of_the_rows_are_refused(dataset, unbroken):
    cases = read_dataset(dataset)
    fit = {"max_steps": STEPS, "seed": 0, "workers": 1}
    for change, said in (
        ({"max_steps": 5}, "max_steps 5 after 6"),
        ({"seed": 3}, "seed 3 after 0"),
        ({"start": "distractor_click"}, "start 'distractor_click' after 'none'"),
    ):
        with pytest.raises(InputError, match=f"got {said}; .* choose another --out"):
            run_eval(cases, POLICIES, SEGMENTERS, unbroken, **fit | change)
    with pytest.raises(InputError, match=r"got data '.{16}' after '.{16}'; .* choose another --out"):
        run_eval(cases[1:], POLICIES, SEGMENTERS, unbroken, **fit)
    settings = json.loads((unbroken / "settings.json").read_text())
    assert (settings["policies"], list(settings["segmenters"])) == (dict.fromkeys(POLICIES), SEGMENTERS)


def test_a_folder_that_cannot_be_written_ends_the_run_and_costs_no_case(dataset, tmp_path):
    (tmp_path / "trajectories").write_text("a file")
    with pytest.raises(InputError, match=r"could not be written .*; free disk space or choose another --out"):
        run_eval(read_dataset(dataset)[:1], ["centre"], ["disk"], tmp_path, workers=1)
    assert not (tmp_path / "rows.jsonl").exists()


def test_a_folder_that_is_no_evaluation_s_is_refused(dataset, tmp_path):
    (tmp_path / "rows.jsonl").write_text("")
    with pytest.raises(InputError, match="expected an earlier run's or a new one; choose another --out"):
        run_eval(read_dataset(dataset), POLICIES, SEGMENTERS, tmp_path)


@pytest.mark.parametrize(
    ("cases", "policies", "segmenters", "said"),
    [
        (slice(0, 0), ["oracle"], ["disk"], "got 0 cases"),
        (slice(0, 1), [], ["disk"], "got 1 cases and 0 pairs"),
        (slice(0, 1), ["person"], ["disk"], "expected one that acts alone"),
        (slice(0, 1), ["nobody"], ["disk"], "policy 'nobody': expected one of"),
        (slice(0, 1), ["oracle"], ["nothing"], "segmenter 'nothing': expected one of"),
        (slice(0, 1), ["openai:any"], ["disk"], "which --local-only forbids"),
    ],
)
def test_what_cannot_be_run_is_refused_before_anything_is_written(dataset, tmp_path, cases, policies, segmenters, said):
    with pytest.raises(InputError, match=said):
        run_eval(read_dataset(dataset)[cases], policies, segmenters, tmp_path / "out", local_only=True)
    assert not (tmp_path / "out/settings.json").exists()


class Moody(SyncPolicy):
    """Does what the request asks for, otherwise clicks on the centre."""

    name = "moody one: rude/odd"

    def act(self, observation):
        asked = observation.request
        if asked == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if asked == "refuse":
            raise InputError("moody: got this request,\nexpected another")
        if asked == "leave":
            raise SystemExit("enough")
        if asked == "fail":
            raise RuntimeError("no answer")
        return CentrePolicy().act(observation)


@pytest.mark.slow
def test_a_policy_that_fails_or_kills_its_process_costs_its_own_row_alone(dataset, tmp_path):
    asked = {"a1": "", "a2": "refuse", "absent": "leave", "b": "fail", "c": "", "d": "die"}
    lines = [line.split(",") for line in (dataset / "manifest.csv").read_text().splitlines()[1:]]
    named = [[*line[:3], asked[line[0]]] for line in lines if line[0] in asked]
    data = tmp_path / "data"
    shutil.copytree(dataset, data)
    text = "\n".join(",".join([*line[:3], "lesion", line[3]]) for line in named)
    (data / "manifest.csv").write_text(f"id,image,mask,target,request\n{text}")
    run_eval(read_dataset(data), ["centre", Moody()], ["disk"], tmp_path / "out", max_steps=3, workers=1)
    rows = rows_of(tmp_path / "out")
    told = {id: (row["status"], row["stop"], row["reason"]) for (id, policy, _), row in rows.items() if "m" in policy}
    assert told == {
        "a1": ("done", "terminated", ""),
        "a2": ("broken", "", "moody: got this request, expected another"),
        "absent": ("broken", "", "SystemExit: enough"),
        "b": ("done", "policy_error", "RuntimeError: no answer"),
        "c": ("done", "terminated", ""),
        "d": ("broken", "", "its process died (out of memory, or a crash in native code)"),
    }
    assert {row["status"] for (_, policy, _), row in rows.items() if policy == "centre"} == {"done"}
    assert len(rows) == 12
    folder = rows["a1", Moody.name, "disk"]["trajectory"].split("/")[1]
    assert folder[:-8] == "moody-one-rude-odd-"
    assert sorted(path.name for path in (tmp_path / "out/trajectories" / folder / "disk").iterdir()) == [
        *("a1.json", "b.json", "c.json")
    ]


# All like this


@pytest.mark.slow
def test_in_mode_similar_the_oracle_and_the_baselines_give_examples(dataset, tmp_path):
    cases = [case for case in read_dataset(dataset) if case.id in ("a1", "b")]
    run_eval(cases, ["oracle", "centre"], ["geocut"], tmp_path, max_steps=3, mode="similar", workers=1)
    records = [record for path in tmp_path.glob("trajectories/*/*/*.json") for record in read_trajectories(path)]
    assert len(records) == 4
    assert {step.action["type"] for record in records for step in record.steps if step.action} <= {
        "similar",
        "terminate",
    }
    rows = rows_of(tmp_path)
    assert {float(row["f1_50"]) for key, row in rows.items() if key[1] == "oracle"} == {1.0}
    assert all(float(row["count_error"]) == 0 for key, row in rows.items() if key[1] == "oracle")
    overall = json.loads((tmp_path / "summary.json").read_text())["runs"][0]["overall"]
    assert (overall["f1_50"]["value"], overall["f1_50"]["n"]) == (1.0, 2)
    with pytest.raises(InputError, match="mode"):
        run_eval(cases, ["oracle", "centre"], ["geocut"], tmp_path, max_steps=3, workers=1)


@pytest.mark.parametrize(
    ("segmenter", "mode", "message"),
    [("disk", "similar", "'disk': got Similar"), ("geocut", "all", "got mode 'all', expected one of point, similar")],
)
def test_mode_that_cannot_run_is_refused(dataset, tmp_path, segmenter, mode, message):
    with pytest.raises(InputError, match=message):
        run_eval(read_dataset(dataset)[:1], ["oracle"], [segmenter], tmp_path / "out", mode=mode)
    assert not (tmp_path / "out").exists()
