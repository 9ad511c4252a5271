"""`ibisagent starts mine`: what it finds where, what it leaves out, and that it changes nothing."""

import asyncio
import json
import shutil

import pytest
from support.fakes import STOP, UNDO, positive, script
from support.grpo_runs import write_tasks
from support.start_files import hash_tree, write_corrected_threads
from support.web_sessions import OWNER, make_sessions, send, settle, started
from typer.testing import CliRunner

from ibisagent.agent import build_graph
from ibisagent.agent.record_images import open_recorded_image
from ibisagent.agent.trajectory import build_trajectory
from ibisagent.agent.trajectory_files import write_trajectory
from ibisagent.tools.datasets import read_dataset
from ibisagent.tools.errors import InputError
from ibisagent.training.starts import read_starts
from ibisagent.ui.cli.app import app


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_tasks(tmp_path_factory.mktemp("tasks") / "set")


def mine(*arguments):
    result = CliRunner().invoke(app, ["starts", "mine", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return " ".join(result.stdout.split())


def present_cases(data):
    return [case for case in read_dataset(data) if case.present]


def write_run(folder, case, *, with_truth=True):
    """A run folder of a policy that clicks in two corners and undoes the second click."""
    image = case.open()
    graph = build_graph(script(positive(0.1, 0.1), positive(0.9, 0.9), UNDO, STOP), "disk", proposer="none")
    ended = graph.invoke({"image": image, "request": case.request})
    folder.mkdir(parents=True)
    truth = case.read_truth(image) if with_truth else None
    write_trajectory(folder / "trajectory.json", build_trajectory(graph, ended, truth=truth, folder=folder))


def test_a_person_s_corrected_threads_give_starts_with_the_masks_that_she_accepted(data, tmp_path):
    (tmp_path / "db").mkdir()
    write_corrected_threads(tmp_path / "db" / "runs.db", present_cases(data)[:3], "disk")
    before = hash_tree(tmp_path / "db", data)
    out = tmp_path / "out" / "starts.jsonl"
    said = mine(tmp_path / "db" / "runs.db", "--out", out, "--root", data, "--where", "corrected")
    assert hash_tree(tmp_path / "db", data) == before
    assert said.startswith("3 runs: 2 starts (2 corrected); left out: 1 without a truth wrote ")
    assert said.endswith("starts.jsonl"), "what marked a thread is not known"
    starts = read_starts(out)
    assert [(start.source, start.step, start.why) for start in starts] == [
        ("runs.db visit 0", 1, "corrected"),
        ("runs.db visit 1", 1, "corrected"),
    ]
    for start in starts:
        image = open_recorded_image(start.record.image, out.parent, [data])
        assert image.sha == start.image_sha
        assert start.record.truth["size"] == list(image.shape)


def test_records_come_from_folders_and_zips_and_states_are_found_once(data, tmp_path):
    case = present_cases(data)[0]
    for name in ("a", "b"):
        write_run(tmp_path / "runs" / name, case)
    write_run(tmp_path / "runs" / "untrue", case, with_truth=False)
    shutil.copyfile(case.image, tmp_path / "runs" / f"{case.open().sha}.png")
    archive = shutil.make_archive(str(tmp_path / "runs"), "zip", tmp_path / "runs")
    (tmp_path / "runs" / "broken.json").write_text('{"version": 2, "steps": []}')
    before = hash_tree(tmp_path / "runs")
    out = tmp_path / "here" / "starts.jsonl"
    said = mine(tmp_path / "runs", "--root", data, "--out", out)
    assert said.startswith("4 runs: 1 starts (0 lost, 0 stuck, 1 undone, 0 corrected, 0 refused); left out: 1 that")
    assert "1 that cannot be read, 1 without a truth" in said
    assert said.endswith("""--set "rollouts.segmenter='disk'\"""")
    assert hash_tree(tmp_path / "runs") == before
    (start,) = read_starts(out)
    assert (start.source, start.step) == ("b/trajectory.json", 2)
    assert not list(out.parent.glob("*.png")), "a picture that lies somewhere is not copied"

    zipped = tmp_path / "there" / "starts.jsonl"
    mine(archive, "--out", zipped)
    (again,) = read_starts(zipped)
    assert again.record.steps == start.record.steps
    assert open_recorded_image(again.record.image, zipped.parent).sha == start.image_sha, "nothing else has it"


def test_without_a_start_nothing_is_written(data, tmp_path):
    write_run(tmp_path / "runs" / "a", present_cases(data)[0])
    out = tmp_path / "starts.jsonl"
    for arguments, said in (
        (("--where", "refused"), r"got no start in 1 runs \(left out: 1 with no such state\)"),
        (("--where", "bad"), "where: got 'bad', expected one of lost, stuck, undone, corrected, refused"),
    ):
        with pytest.raises(InputError, match=said):
            mine(tmp_path / "runs", "--root", data, "--out", out, *arguments)
    with pytest.raises(InputError, match=r"1 whose picture is not found"):
        mine(tmp_path / "runs", "--out", out, "--where", "undone")
    with pytest.raises(InputError, match="expected"):
        mine(tmp_path / "gone", "--out", out)
    with pytest.raises(InputError, match=r"got another ending than \.jsonl"):
        mine(tmp_path / "runs", "--out", tmp_path / "starts.json")
    with pytest.raises(InputError, match="got an address without --store"):
        mine("postgresql://u:secret@127.0.0.1:9/x", "--out", out)
    assert not out.exists()


def test_of_a_page_s_sessions_only_kept_cases_are_read_and_only_with_their_consent(data, tmp_path):
    png = present_cases(data)[0].image
    store = tmp_path / "server"
    store.mkdir()

    async def story():
        replies = (positive(0.1, 0.1), STOP)
        sessions = make_sessions(lambda: script(*replies), database=store / "web.db", keep=store / "kept")
        async with started(sessions) as handle:
            for each in (handle, await sessions.create(OWNER)):
                await send(sessions, each, png, "scan.png")
                await sessions.ask(each, OWNER, "Segment the zebra.")
                await settle(sessions, each)
                await sessions.undo(each, OWNER)
                await settle(sessions, each)
                await sessions.click(each, OWNER, 0.6, 0.6)
                await settle(sessions, each)
                if each == handle:
                    await sessions.set_keep(each, OWNER, True)
                await sessions.accept(each, OWNER)
                await settle(sessions, each)

    asyncio.run(story())
    (kept,) = (store / "kept").iterdir()
    before = hash_tree(store)
    for place, left in ((store / "web.db", "1 without consent to training"), (store / "kept", "none")):
        out = tmp_path / f"{place.stem}.jsonl"
        said = mine(place, "--out", out, "--root", store / "kept", "--where", "corrected")
        assert said.startswith(f"{2 if left != 'none' else 1} runs: 1 starts (1 corrected); left out: {left} wrote ")
        (start,) = read_starts(out)
        assert (start.record.request, start.step) == ("Segment the zebra.", 1)
    assert hash_tree(store) == before
    consent = json.loads((kept / "consent.json").read_text())
    (kept / "consent.json").write_text(json.dumps(consent | {"scope": "nothing"}))
    for place in (store / "web.db", store / "kept", kept / "trajectory.json"):
        with pytest.raises(InputError, match=r"left out: \d without consent to training"):
            mine(place, "--out", tmp_path / "none.jsonl", "--root", store / "kept")


def test_a_file_that_is_there_is_not_written_over(tmp_path):
    there = tmp_path / "runs.jsonl"
    there.write_text("recorded")
    with pytest.raises(InputError, match="got a file that is there, expected a new one"):
        mine(there, "--out", there)
    assert there.read_text() == "recorded"
