"""`ibisagent trajectories corrections`: from what people did on the page, with their consent, to a training."""

import asyncio
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support import corrected_runs, scripted_local, tiny_vlm
from support.fakes import STOP, positive, script
from support.web_sessions import OWNER, make_sessions, send, settle, started
from typer.testing import CliRunner

from ibisagent.agent.prompting import load_prompts
from ibisagent.agent.trajectory_files import read_trajectories, write_trajectory
from ibisagent.tools.errors import InputError
from ibisagent.tools.masks.rle import decode
from ibisagent.training.samples import Samples
from ibisagent.training.sft.config import read_training_config
from ibisagent.training.sft.run import train_sft
from ibisagent.ui.cli.app import app
from ibisagent.ui.cli.corrections import run_corrections

WRONG = positive(0.205, 0.205)


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Path:
    """The folder of a server with a case that a person corrected, accepted and kept, and a session that is not kept."""
    folder = tmp_path_factory.mktemp("server")
    scripted_local.draw_images(folder, "scan.png")

    async def correct(sessions, handle, keep):
        await send(sessions, handle, folder / "scan.png", "Jane Doe.png")
        await sessions.ask(handle, OWNER, "Segment the liver.")
        await settle(sessions, handle)
        await sessions.undo(handle, OWNER)
        await settle(sessions, handle)
        await sessions.click(handle, OWNER, 0.615, 0.515)
        await settle(sessions, handle)
        if keep:
            await sessions.set_keep(handle, OWNER, True)
        await sessions.accept(handle, OWNER)
        await settle(sessions, handle)

    async def story():
        sessions = make_sessions(lambda: script(*[WRONG, STOP] * 2), database=folder / "web.db", keep=folder / "kept")
        async with started(sessions) as handle:
            await correct(sessions, handle, True)
            await correct(sessions, await sessions.create(OWNER), False)

    asyncio.run(story())
    return folder


def kept_copy(server, folder):
    """A copy of the kept case; returns its own folder."""
    shutil.copytree(server / "kept", folder / "kept")
    (case,) = (folder / "kept").iterdir()
    return case


def read(out):
    (path,) = out.glob("*.jsonl")
    return list(read_trajectories(path)), json.loads((out / "summary.json").read_text())


def test_a_kept_case_gives_samples_and_pairs_and_its_mask_is_the_truth(server, tmp_path):
    for kind, count in (("sft", 5), ("dpo", 2)):
        out = tmp_path / kind
        command = ["trajectories", "corrections", str(server / "kept"), "--as", kind, "--out", str(out)]
        done = CliRunner().invoke(app, command)
        assert done.exit_code == 0, done.exception
        assert "runs: 1, with corrections 1, accepted by the person 1" in done.output
        ((record,), summary) = read(out)
        assert (summary["as"], summary["kept"], sum(summary["learned"].values())) == (kind, 1, count)
        assert summary["left_out_runs"] == {}
        assert np.array_equal(np.asarray(Image.open(next(server.glob("kept/*/mask.png")))) > 0, decode(record.truth))
        samples = Samples([out / "trajectories-00000.jsonl"], load_prompts(), roots=[server], pairs=kind == "dpo")
        assert len(samples) == count
        assert all(samples[index].conversation[-1].picture.any() for index in range(count))
        assert "Jane" not in (out / "trajectories-00000.jsonl").read_text()


@pytest.mark.parametrize("why", ["no consent", "another scope", "rubbish"])
def test_a_case_without_a_consent_is_left_out_and_counted(why, server, tmp_path):
    case = kept_copy(server, tmp_path)
    own = tmp_path / "own"
    own.mkdir()
    scripted_local.draw_images(own, "scan.png")
    write_trajectory(
        own / "trajectory.json", corrected_runs.correct(own, [WRONG, STOP], ["Backtrack", "Positive Point (0.6, 0.5)"])
    )
    consent = case / "consent.json"
    if why == "no consent":
        consent.unlink()
    else:
        consent.write_text("{" if why == "rubbish" else json.dumps({"scope": "quality control", "accepted": True}))
    out = tmp_path / "out"
    run_corrections([tmp_path / "kept", own], out, kind="sft")
    (records, summary) = read(out)
    assert [record.image["uri"] for record in records] == ["../own/scan.png"]
    assert (summary["runs"], summary["left_out_runs"]) == (1, {"without a consent": 1})
    with pytest.raises(InputError, match="got 1 without a consent, expected records that may be read for training"):
        run_corrections([tmp_path / "kept"], tmp_path / "none", kind="sft")
    assert not (tmp_path / "none").exists()


def test_sessions_that_nobody_kept_are_not_read(server, tmp_path):
    (tmp_path / "link").symlink_to(server / "web.db.store", target_is_directory=True)
    planted = next(path for path in (server / "web.db.store").iterdir() if path.is_dir()) / "trajectory.json"
    shutil.copyfile(next(server.glob("kept/*/trajectory.json")), planted)
    try:
        for place in (server / "web.db.store", tmp_path / "link" / planted.parent.name):
            with pytest.raises(InputError, match=r"got \d without a consent"):
                run_corrections([place], tmp_path / "out", kind="sft")
        run_corrections([server], tmp_path / "out", kind="sft", copy_images=True)
        ((_,), summary) = read(tmp_path / "out")
        assert summary["left_out_runs"]["without a consent"] >= 1
    finally:
        planted.unlink()
    with pytest.raises(InputError, match=r"web.db"):
        run_corrections([server / "web.db"], tmp_path / "other", kind="sft")


def test_a_zip_brings_its_pictures_and_its_consent(server, tmp_path):
    case = kept_copy(server, tmp_path)
    packed = shutil.make_archive(str(tmp_path / "cases"), "zip", tmp_path / "kept")
    out = tmp_path / "out"
    run_corrections([Path(packed)], out, kind="dpo")
    ((record,), _) = read(out)
    assert record.image["uri"] == f"{record.image['sha']}.png"
    shutil.rmtree(tmp_path / "kept")
    assert len(Samples([out / "trajectories-00000.jsonl"], load_prompts(), pairs=True)) == 2
    case.mkdir(parents=True)
    for path in (server / "kept").glob("*/*"):
        if path.name != "consent.json":
            shutil.copy(path, case)
    alone = shutil.make_archive(str(tmp_path / case.name), "zip", case)
    with pytest.raises(InputError, match="got 1 without a consent"):
        run_corrections([Path(alone)], tmp_path / "none", kind="dpo")


def test_what_cannot_be_is_said_in_a_line_and_nothing_is_written(server, tmp_path):
    scripted_local.draw_images(tmp_path, "scan.png")
    runs = tmp_path / "runs"
    runs.mkdir()
    alone = corrected_runs.correct(tmp_path, [WRONG, STOP], [])
    marked = corrected_runs.correct(tmp_path, [STOP], ["Positive Point (0.6, 0.5)"], request="Segment what is marked.")
    gone = corrected_runs.correct(tmp_path, [WRONG, STOP], ["Backtrack"])
    for number, record in enumerate((alone, marked, gone)):
        write_trajectory(runs / f"{number}.json", record)
    with pytest.raises(InputError) as caught:
        run_corrections([runs], tmp_path / "out", kind="sft")
    said = str(caught.value)
    assert "\n" not in said
    for reason in ("without an action of a person", "without a request in words", "the picture is not there"):
        assert f"1 {reason}" in said
    with pytest.raises(InputError, match="--as: got 'rl', expected sft or dpo; choose one"):
        run_corrections([runs], tmp_path / "out", kind="rl")
    assert not (tmp_path / "out").exists()
    run_corrections([server / "kept"], tmp_path / "out", kind="sft")
    with pytest.raises(InputError, match="got a folder of trajectories, expected a new one"):
        run_corrections([server / "kept"], tmp_path / "out", kind="sft")


def test_the_samples_go_through_train_sft(server, tmp_path):
    out = tmp_path / "corrections"
    run_corrections([server / "kept"], out, kind="sft", copy_images=True)
    plan = tmp_path / "plan.toml"
    plan.write_text(
        f"base = {str(tiny_vlm.pointer())!r}\npack = 5\nattn_implementation = 'eager'\n"
        "[train]\nmax_steps = 2\nper_device_train_batch_size = 4\nlogging_steps = 1\n"
    )
    model = train_sft(read_training_config(plan), [out], tmp_path / "trained")
    finished = json.loads((tmp_path / "trained" / "training.json").read_text())
    assert finished["samples"] == 5
    assert all(row["loss"] > 0 for row in finished["log"][:2])
    assert (model / "model.safetensors").is_file()
