"""The story of a person without a browser: what each call leads to, and what is left of a session."""

import asyncio
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image
from support.blobs import COUNT, blob_picture, blobs, example
from support.command_line import run
from support.fakes import NOT_THERE, STOP, FixedProposer, FunctionPolicy, negative, positive, script
from support.web_sessions import OWNER, make_sessions, raise_failure, send, settle, started

from ibisagent.agent.trajectory_files import read_trajectories
from ibisagent.tools.masks.rle import area, decode
from ibisagent.tools.segmenters.memo import get_memo
from ibisagent.ui.sessions.limits import Limits
from ibisagent.ui.sessions.recorded_runs import open_record
from ibisagent.ui.sessions.session_errors import UnknownSession
from ibisagent.ui.sessions.storage import hash_secret
from ibisagent.ui.web.page_assets import read_template

REPLIES = (positive(0.3, 0.3), positive(0.7, 0.5), positive(0.5, 0.6), STOP)


def at_step(*replies):
    """A policy that replies by the number of the step, so that it can be asked anew on any branch."""
    return lambda: FunctionPolicy(lambda seen: replies[min(seen.step, len(replies) - 1)])


@pytest.fixture
def png(tmp_path, pixels):
    path = tmp_path / "scan.png"
    Image.fromarray(pixels).save(path)
    return path


def labels(snapshot):
    return [step["label"].split(" (")[0] for step in snapshot["steps"]]


def test_a_person_watches_corrects_goes_back_and_takes_the_mask_home(png):
    async def story():
        sessions = make_sessions(at_step(*REPLIES))
        async with started(sessions) as handle:
            assert await send(sessions, handle, png, "scan.png") is None
            opened = await settle(sessions, handle)
            assert (opened["picture"]["width"], opened["picture"]["height"]) == (128, 96)
            assert (opened["request"], opened["mask"], opened["downloads"]) == (None, None, [])

            await sessions.ask(handle, OWNER, "Segment it.")
            seen = [snapshot async for snapshot in sessions.watch(handle, OWNER)]
            assert [len(each["steps"]) for each in seen if each["running"]][-1] >= 1, "steps show while it runs"
            assert [each["version"] for each in seen] == sorted(each["version"] for each in seen)
            asked = seen[-1]
            assert labels(asked) == ["Positive Point"] * 3 + ["Terminate"]
            assert (asked["stop_kind"], asked["answer"]) == ("done", "There it is.")

            await sessions.click(handle, OWNER, 0.9, 0.9, True)
            clicked = await settle(sessions, handle)
            assert decode(clicked["mask"])[86, 115]
            assert not decode(asked["mask"])[86, 115]
            assert (clicked["steps"][-1]["actor"], clicked["stop_kind"]) == ("person", "waiting")

            await sessions.undo(handle, OWNER)
            undone = await settle(sessions, handle)
            assert undone["mask"] == asked["mask"]
            await sessions.redo(handle, OWNER)
            assert (await settle(sessions, handle))["mask"] == clicked["mask"]

            await sessions.fork(handle, OWNER, 2, {"type": "point", "x": 0.2, "y": 0.8, "positive": True})
            forked = await settle(sessions, handle)
            assert len(forked["steps"]) == 2
            assert [(each["parent"], each["active"]) for each in forked["branches"]] == [(None, False), (0, True)]
            await sessions.switch(handle, OWNER, 0)
            back = await settle(sessions, handle)
            assert back["mask"] == clicked["mask"]
            assert [each["active"] for each in back["branches"]] == [True, False]

            await sessions.click(handle, OWNER, 0.2, 0.8, True)
            grown = await settle(sessions, handle)
            assert len(grown["branches"]) == 2
            assert grown["branches"][0]["steps"] == len(back["steps"]) + 1

            await sessions.accept(handle, OWNER)
            ended = await settle(sessions, handle)
            assert (ended["accepted"], ended["stop_kind"], ended["mask"]) == (True, "done", grown["mask"])
            assert labels(ended)[-1] == "Accept"
            return ended, {name: await sessions.render(handle, OWNER, name) for name in ended["downloads"]}

    ended, files = asyncio.run(story())
    mask = decode(ended["mask"])
    assert {"mask.png", "overlay.png", "trajectory.json", "mask.json", "steps.png", "measurements.csv"} == set(files)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(files["mask.png"]))) > 0, mask)
    assert json.loads(files["mask.json"])["counts"] == ended["mask"]["counts"]
    names, values = (line.split(",") for line in files["measurements.csv"].decode().splitlines())
    assert dict(zip(names, values, strict=False))["area_px"] == str(int(mask.sum()))
    record = json.loads(files["trajectory.json"])
    assert record["targets"][0]["mask"] == ended["mask"]
    assert Image.open(io.BytesIO(files["steps.png"])).width > 200


def test_a_volume_has_slices_whose_masks_come_back_on_its_grid(tmp_path):
    voxels = np.zeros((40, 32, 6), np.int16)
    voxels[10:20, 8:16, 2:4] = 500
    path = tmp_path / "v.nii.gz"
    nibabel.save(nibabel.Nifti1Image(voxels, np.diag([2.0, 1.0, 3.0, 1.0])), path)

    async def story():
        sessions = make_sessions(at_step(positive(0.5, 0.5), STOP))
        async with started(sessions) as handle:
            assert await send(sessions, handle, path, "v.nii.gz") is None
            opened = (await settle(sessions, handle))["picture"]
            assert opened["slices"] == {
                "counts": {"axial": 6, "coronal": 32, "sagittal": 40},
                "plane": "axial",
                "index": 3,
            }
            await sessions.set_view(handle, OWNER, slice="axial:2")
            await sessions.ask(handle, OWNER, "Segment it.")
            asked = await settle(sessions, handle)
            assert asked["steps"][0]["area_mm2"] == 2.0 * asked["steps"][0]["area_px"]
            await sessions.set_view(handle, OWNER, slice="axial:4")
            other = await settle(sessions, handle)
            assert (other["mask"], other["steps"], other["message"]) == (
                None,
                [],
                "The steps are of axial:2; a click here begins anew.",
            )
            await sessions.set_view(handle, OWNER, slice="axial:2", window="100,300")
            again = await settle(sessions, handle)
            assert again["mask"] == asked["mask"]
            await sessions.set_view(handle, OWNER, slice="axial:2000")
            refused = await settle(sessions, handle)
            assert refused["error"]
            assert refused["picture"]["slices"]["index"] == 2
            picture = await sessions.picture(handle, OWNER, "coronal:3")
            assert picture.shape == (6, 40)
            return asked, await sessions.render(handle, OWNER, "mask.nii.gz"), again["downloads"]

    asked, content, names = asyncio.run(story())
    assert {"mask.nii.gz", "mask.nrrd", "mask.nii"} <= set(names)
    (tmp_path / "mask.nii.gz").write_bytes(content)
    saved = nibabel.load(tmp_path / "mask.nii.gz")
    assert np.allclose(saved.affine, np.diag([2.0, 1.0, 3.0, 1.0]))
    stored = np.asarray(saved.dataobj) > 0
    assert stored[:, :, 2].sum() == stored.sum() == area(asked["mask"])


def test_a_true_mask_and_a_given_one_are_those_of_their_slice(tmp_path):
    voxels = np.zeros((40, 32, 6), np.int16)
    voxels[10:20, 8:16, 2:4] = 500
    for name, values in {"v": voxels, "truth": (voxels > 0).astype(np.uint8)}.items():
        nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), tmp_path / f"{name}.nii.gz")

    async def story():
        sessions = make_sessions(at_step(positive(0.5, 0.5), STOP))
        async with started(sessions) as handle:
            await send(sessions, handle, tmp_path / "v.nii.gz", "v.nii.gz")
            await sessions.set_view(handle, OWNER, slice="axial:2")
            await settle(sessions, handle)
            for kind in ("truth", "mask"):
                assert await send(sessions, handle, tmp_path / "truth.nii.gz", "truth.nii.gz", kind) is None
            there = await settle(sessions, handle)
            await sessions.set_view(handle, OWNER, slice="axial:4")
            await sessions.ask(handle, OWNER, "Segment it.")
            other = await settle(sessions, handle)
            record = json.loads(await sessions.render(handle, OWNER, "trajectory.json"))
            await sessions.set_view(handle, OWNER, slice="axial:2")
            return there, other, record, await settle(sessions, handle)

    there, other, record, again = asyncio.run(story())
    assert area(there["truth"]) == 80
    assert (other["truth"], other["start"], [step["iou"] for step in other["steps"]]) == (None, None, [None, None])
    assert (record["targets"][0]["truth"], record["targets"][0]["has_initial_mask"]) == (None, False)
    assert again["truth"] == there["truth"]


def test_by_hand_a_session_needs_no_request_and_no_model_acts(png):
    def fail():
        return FunctionPolicy(lambda seen: pytest.fail("the policy was asked"))

    async def story():
        sessions = make_sessions(fail)
        async with started(sessions) as handle:
            await send(sessions, handle, png, "scan.png")
            await sessions.click(handle, OWNER, 0.5, 0.5)
            await sessions.box(handle, OWNER, 0.9, 0.9, 0.2, 0.1)
            snapshot = await settle(sessions, handle)
            assert [step["actor"] for step in snapshot["steps"]] == ["person"] * 2
            assert snapshot["steps"][1]["action"] == {"type": "box", "x0": 0.2, "y0": 0.1, "x1": 0.9, "y1": 0.9}
            assert snapshot["stop_kind"] == "waiting"

    asyncio.run(story())


def test_what_a_person_does_wrong_is_a_line_and_changes_nothing(png):
    async def story():
        sessions = make_sessions(lambda: script(*REPLIES))
        async with started(sessions) as handle:

            async def refused(call, says):
                before = (await settle(sessions, handle))["steps"]
                await call
                snapshot = await settle(sessions, handle)
                assert snapshot["error"], says
                assert says in snapshot["message"]
                assert snapshot["steps"] == before

            await refused(sessions.ask(handle, OWNER, "Segment it."), "drop one here")
            await refused(sessions.click(handle, OWNER, 0.5, 0.5), "drop one here")
            await refused(sessions.open_example(handle, OWNER, "../etc"), "expected one of")
            await send(sessions, handle, png, "scan.png")
            await refused(sessions.ask(handle, OWNER, "  "), "request: got nothing")
            await refused(sessions.undo(handle, OWNER), "nothing was asked for")
            await refused(sessions.click(handle, OWNER, 1.5, 0.5), "expected a number in [0, 1]")
            await refused(sessions.set_keep(handle, OWNER, True), "keeps no cases")
            await sessions.ask(handle, OWNER, "Segment it.")
            await settle(sessions, handle)
            await refused(sessions.redo(handle, OWNER), "nothing to redo")
            await refused(sessions.fork(handle, OWNER, 99), "step 99")
            await refused(sessions.switch(handle, OWNER, 7), "got branch 7")

    asyncio.run(story())


def test_ends_differ_in_kind_and_line(png):
    async def ended(*replies):
        sessions = make_sessions(lambda: script(*replies))
        async with started(sessions) as handle:
            await send(sessions, handle, png, "scan.png")
            await sessions.ask(handle, OWNER, "Segment it.")
            snapshot = await settle(sessions, handle)
            return snapshot["stop_kind"], snapshot["message"]

    async def all_ends():
        declined = "<think>?</think>\n<action>Decline</action>\n<answer>Unknown.</answer>"
        return [await ended(*replies) for replies in (REPLIES, (NOT_THERE,), (declined,), ("rubbish",) * 3)]

    ends = asyncio.run(all_ends())
    assert [kind for kind, _ in ends] == ["done", "absent", "declined", "failed"]
    assert len({line for _, line in ends}) == 4


def test_another_owner_has_no_such_session(png):
    async def story():
        sessions = make_sessions(lambda: script(*REPLIES))
        async with started(sessions) as handle:
            await send(sessions, handle, png, "scan.png")
            await sessions.ask(handle, OWNER, "Segment it.")
            await settle(sessions, handle)
            for owner in ("x" * 32, "", OWNER + "x"):
                for call in (
                    lambda owner=owner: settle(sessions, handle, owner),
                    lambda owner=owner: sessions.ask(handle, owner, "x"),
                    lambda owner=owner: sessions.stop(handle, owner),
                    lambda owner=owner: sessions.forget(handle, owner),
                    lambda owner=owner: sessions.picture(handle, owner),
                    lambda owner=owner: sessions.render(handle, owner, "mask.png"),
                    lambda owner=owner: send(sessions, handle, b"x", "x.png", owner=owner),
                ):
                    with pytest.raises(UnknownSession):
                        await call()
            with pytest.raises(UnknownSession):
                await sessions.render(handle, OWNER, "../trajectory.json")

    asyncio.run(story())


def test_a_session_goes_on_in_another_process_and_on_the_branch_that_was_chosen(tmp_path, png):
    database = tmp_path / "web.db"

    async def first():
        sessions = make_sessions(at_step(*REPLIES), database=database)
        async with started(sessions) as handle:
            await send(sessions, handle, png, "scan.png")
            await sessions.ask(handle, OWNER, "Segment it.")
            await settle(sessions, handle)
            await sessions.fork(handle, OWNER, 1, {"type": "point", "x": 0.2, "y": 0.8, "positive": True})
            await settle(sessions, handle)
            await sessions.switch(handle, OWNER, 0)
            return handle, await settle(sessions, handle)

    async def second(handle):
        sessions = make_sessions(at_step(*REPLIES), database=database)
        async with sessions.running(raise_failure):
            seen = await settle(sessions, handle)
            await sessions.click(handle, OWNER, 0.9, 0.9)
            return seen, await settle(sessions, handle)

    handle, before = asyncio.run(first())
    after, clicked = asyncio.run(second(handle))
    for key in ("mask", "steps", "branches", "request", "downloads", "picture"):
        assert after[key] == before[key], key
    assert len(clicked["branches"]) == 2
    assert clicked["branches"][0]["steps"] == len(before["steps"]) + 1
    stored = database.read_bytes()
    assert handle.encode() not in stored
    assert OWNER.encode() not in stored


def traces(folder: Path, *words: bytes):
    """The files of a folder, and those of them that hold one of the words."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [path for path in files if any(word in path.read_bytes() for word in words)]


def test_another_request_is_kept_beside_the_first_and_has_not_its_truth(tmp_path, png, truth):
    Image.fromarray(truth).save(tmp_path / "truth.png")

    async def story():
        sessions = make_sessions(at_step(positive(0.5, 0.5), STOP), keep=tmp_path / "kept")
        async with started(sessions) as handle:
            await send(sessions, handle, png, "scan.png")
            await send(sessions, handle, tmp_path / "truth.png", "truth.png", "truth")
            for request in ("Segment the one.", "Segment the one.", "Segment the other."):
                await sessions.ask(handle, OWNER, request)
                await settle(sessions, handle)
                await sessions.set_keep(handle, OWNER, True)
                await sessions.accept(handle, OWNER)
                seen = await settle(sessions, handle)
                assert not seen["error"], seen["message"]
            kept = sorted((tmp_path / "kept").iterdir(), key=lambda path: path.name)
            records = [json.loads((folder / "trajectory.json").read_text()) for folder in kept]
            await sessions.set_keep(handle, OWNER, False)
            await settle(sessions, handle)
            return records, [*(tmp_path / "kept").iterdir()]

    records, left = asyncio.run(story())
    assert [record["request"] for record in records] == ["Segment the one.", "Segment the one.", "Segment the other."]
    assert [record["targets"][0]["truth"] is not None for record in records] == [True, True, False]
    assert left == []


def test_the_mask_of_a_question_is_not_called_its_answer(png):
    async def story():
        sessions = make_sessions(at_step(positive(0.5, 0.5), STOP))
        async with started(sessions) as handle:
            await send(sessions, handle, png, "scan.png")
            seen = []
            for kind in ("question", "segment"):
                await sessions.ask(handle, OWNER, "Is there one?", kind)
                seen.append((await settle(sessions, handle))["message"])
            return seen

    question, segment = asyncio.run(story())
    assert question.startswith("Answered. The mask is what the model marked on its way")
    assert segment.startswith("The model is content with this mask")


@pytest.mark.slow
def test_forget_leaves_no_file_and_no_row(tmp_path, png):
    store = tmp_path / "server"
    store.mkdir()
    database, keep = store / "web.db", store / "kept"

    async def fill(sessions, handle):
        await send(sessions, handle, png, "scan.png")
        await sessions.ask(handle, OWNER, "Segment the zebra.")
        await settle(sessions, handle)
        await sessions.set_keep(handle, OWNER, True)
        await sessions.accept(handle, OWNER)
        return await settle(sessions, handle)

    async def story():
        sessions = make_sessions(lambda: script(*REPLIES), database=database, keep=keep)
        async with started(sessions) as handle:
            other = await sessions.create(OWNER)
            for each in (handle, other):
                assert (await fill(sessions, each))["keep"] == "yes"
            assert len(list(keep.iterdir())) == 2
            await sessions.forget(handle, OWNER)
            with pytest.raises(UnknownSession):
                await settle(sessions, handle)
            return handle, other

    handle, other = asyncio.run(story())
    assert all(re.fullmatch("[0-9a-f]{32}", each) for each in (handle, other)), "it is typed as a command's argument"
    gone = hash_secret(handle).encode()
    assert traces(store, gone) == []
    assert [path.name for path in store.rglob("*") if gone.decode()[:16] in path.name] == []
    assert traces(store, hash_secret(other).encode())
    (kept,) = keep.iterdir()
    record = kept / "trajectory.json"
    (trajectory,) = read_trajectories(record)
    view = open_record(trajectory, kept, ()).view
    assert view.mask == trajectory.mask
    assert np.array_equal(np.asarray(Image.open(kept / "mask.png")) > 0, decode(trajectory.mask))
    assert json.loads((kept / "consent.json").read_text()).keys() == {"time", "scope", "accepted"}

    done = run("sessions", "forget", other, "--db", database, cwd=tmp_path)
    assert (done.returncode, done.stdout.strip()) == (0, "forgotten")
    assert traces(store, hash_secret(other).encode(), b"zebra") == []
    assert {path.name for path in store.rglob("*")} <= {"web.db", "web.db-wal", "web.db-shm", "web.db.store", "kept"}
    again = run("sessions", "forget", other, "--db", database, cwd=tmp_path)
    assert again.returncode == 2
    assert "handle of no stored session" in again.stderr


def test_an_unused_session_expires_with_all_its_data(tmp_path, png):
    async def story():
        sessions = make_sessions(lambda: script(*REPLIES), database=tmp_path / "web.db")
        async with started(sessions) as handle:
            await send(sessions, handle, png, "scan.png")
            await sessions.delete_expired()
            assert (await settle(sessions, handle))["picture"]
            sessions.options = replace(sessions.options, expiry=-1.0)
            await sessions.delete_expired()
            with pytest.raises(UnknownSession):
                await settle(sessions, handle)
            assert list((tmp_path / "web.db.store").iterdir()) == []

    asyncio.run(story())


def test_more_sessions_than_memory_holds_are_all_there(tmp_path, png):
    async def story():
        sessions = make_sessions(at_step(*REPLIES), limits=Limits(sessions=2))
        async with sessions.running(raise_failure):
            handles = [await sessions.create(OWNER) for _ in range(7)]
            for handle in handles:
                await send(sessions, handle, png, "scan.png")
                await sessions.ask(handle, OWNER, "Segment it.")
                await settle(sessions, handle)
            for handle in handles:
                await sessions.click(handle, OWNER, 0.9, 0.9)
                snapshot = await settle(sessions, handle)
                assert (len(snapshot["steps"]), snapshot["error"]) == (5, False), snapshot["message"]

    asyncio.run(story())


def test_a_mask_and_a_truth_of_ones_own(tmp_path, png, truth):
    Image.fromarray(truth).save(tmp_path / "truth.png")

    async def story():
        sessions = make_sessions(lambda: script(negative(0.1, 0.1), STOP))
        async with started(sessions) as handle:
            assert "open the picture first" in await send(sessions, handle, tmp_path / "truth.png", "t.png", "mask")
            await send(sessions, handle, png, "scan.png")
            assert await send(sessions, handle, tmp_path / "truth.png", "t.png", "mask") is None
            assert await send(sessions, handle, tmp_path / "truth.png", "t.png", "truth") is None
            await sessions.ask(handle, OWNER, "Refine it.")
            snapshot = await settle(sessions, handle)
            assert np.array_equal(decode(snapshot["start"]), truth)
            assert np.array_equal(decode(snapshot["truth"]), truth)
            assert snapshot["steps"][0]["iou"] > 0.9
            assert get_memo("disk")

    asyncio.run(story())


def test_a_proposal_is_shown_before_the_first_step_and_a_person_may_undo_it(png, truth):
    async def story():
        sessions = make_sessions(at_step(positive(0.1, 0.1), STOP), proposer=FixedProposer(truth))
        async with started(sessions) as handle:
            await send(sessions, handle, png, "scan.png")
            await sessions.ask(handle, OWNER, "Segment it.")
            seen = [snapshot async for snapshot in sessions.watch(handle, OWNER)]
            early = next(each for each in seen if each["requests"] and each["requests"][0]["start"])
            assert (early["running"], early["steps"]) == (True, []), "it is there before the first step"
            asked = seen[-1]
            begun = asked["requests"][0]["start"]
            assert (begun["by"], begun["score"], begun["reason"]) == ("fixed", 0.7, None)
            assert begun["area_px"] == truth.sum()
            for each in (early, asked):
                assert np.array_equal(decode(each["start"]), truth)
                assert each["requests"][0]["start"]["mask"] == each["start"]
            assert np.array_equal(decode(early["mask"]), truth)
            gained = decode(asked["steps"][0]["mask"]) & ~truth
            assert gained.sum() == asked["steps"][0]["area_px"] - truth.sum()
            for _ in range(2):
                await sessions.undo(handle, OWNER)
            undone = await settle(sessions, handle)
            assert labels(undone) == ["Positive Point", "Terminate", "Backtrack", "Backtrack"]
            assert area(undone["mask"]) == 0
            assert np.array_equal(decode(undone["steps"][2]["mask"]), truth)
            assert undone["requests"][0]["start"] == begun, "it is still what the request began with"
            await sessions.click(handle, OWNER, 0.9, 0.9)
            clicked = decode((await settle(sessions, handle))["mask"])
            assert clicked[86, 115]
            assert not (clicked & truth).all(where=truth)
            record = json.loads(await sessions.render(handle, OWNER, "trajectory.json"))
            assert record["targets"][0]["proposal"]["by"] == "fixed"

    asyncio.run(story())


def test_nothing_proposed_a_given_mask_and_a_second_request_each_begin_their_way(png, truth):
    def proposer(_image):
        raise RuntimeError("it broke")

    async def starts(proposer, *, given=None):
        sessions = make_sessions(at_step(positive(0.3, 0.3), STOP), proposer=proposer)
        async with started(sessions) as handle:
            await send(sessions, handle, png, "scan.png")
            if given is not None:
                await send(sessions, handle, given, "mask.png", "mask")
            await sessions.ask(handle, OWNER, "Segment it.")
            await settle(sessions, handle)
            await sessions.ask(handle, OWNER, "More of it.")
            snapshot = await settle(sessions, handle)
            assert not snapshot["error"], snapshot["message"]
            return snapshot["start"], [request["start"] for request in snapshot["requests"]]

    buffer = io.BytesIO()
    Image.fromarray(truth).save(buffer, "PNG")

    async def all_starts():
        nothing, failed = FixedProposer(), FixedProposer(proposer)
        given = buffer.getvalue()
        return [await starts(each) for each in (nothing, failed, None)] + [
            await starts(each, given=given) for each in (nothing, None)
        ]

    nothing, failed, without, given, given_without = asyncio.run(all_starts())
    (mask, (first, second)) = nothing
    assert (mask, first["mask"], first["by"], first["reason"], second) == (None, None, "fixed", "nothing there", None)
    assert failed[1][0]["reason"] == "the proposer failed, and the run goes on without it"
    assert without == (None, [None, None])
    for mask, (first, second) in (given, given_without):
        assert np.array_equal(decode(mask), truth)
        assert (first["by"], first["mask"], second) == (None, mask, None)


def test_an_example_marks_everything_like_it_and_lists_its_files(tmp_path):
    Image.fromarray(blob_picture()).save(tmp_path / "nuclei.png")

    async def story(segmenter):
        sessions = make_sessions(at_step(STOP), segmenter=segmenter)
        async with started(sessions) as handle:
            await send(sessions, handle, tmp_path / "nuclei.png", "nuclei.png")
            await settle(sessions, handle)
            await sessions.click(handle, OWNER, example(5).x, example(5).y)
            assert "instances.csv" not in (await settle(sessions, handle))["downloads"]
            await sessions.example(handle, OWNER, example(5).x, example(5).y)
            seen = await settle(sessions, handle)
            if seen["error"]:
                return seen["message"]
            assert labels(seen) == ["Positive Point", "Similar"]
            csv = await sessions.render(handle, OWNER, "instances.csv")
            assert len(csv.splitlines()) == 1 + COUNT
            assert {"labels.png", "instances.json"} <= set(seen["downloads"])
            return area(seen["mask"])

    assert asyncio.run(story("geocut")) > 0.8 * blobs().sum()
    assert asyncio.run(story("disk")).startswith("segmenter 'disk': got Similar (all like this), expected a point or")


def test_the_page_shows_the_tool_where_the_segmenter_takes_examples():
    for hidden in ((), ("similar",)):
        html = read_template("picture", hidden)
        assert ('data-tool="similar" hidden' in html) is bool(hidden)
        assert html.count("data-tool=") == 5
        assert 'data-tool="box" hidden' not in html
