"""The session service without any transport: what it runs is what the graph runs, and each owner has his own."""

import asyncio
import io
import json
import tempfile
import threading
from pathlib import Path

import nibabel
import numpy as np
import pytest
from langgraph.checkpoint.memory import InMemorySaver
from PIL import Image
from support.fakes import NOT_THERE, STOP, FunctionPolicy, RecordingPolicy, positive, script

from ibisagent.agent import Backtrack, Click, Redo, Terminate, build_graph
from ibisagent.agent.branches import fork
from ibisagent.agent.config import LoopConfig
from ibisagent.agent.threads import intervene
from ibisagent.agent.trajectory import Trajectory
from ibisagent.tools.errors import InputError, StoreError
from ibisagent.tools.imaging.open_image import open_image
from ibisagent.tools.masks.rle import area, decode, rle_key
from ibisagent.tools.segmenters.memo import get_memo
from ibisagent.ui.sessions.files import Upload
from ibisagent.ui.sessions.limits import Limits
from ibisagent.ui.sessions.service import SessionService
from ibisagent.ui.sessions.session_errors import (
    FilesNotServed,
    PromptsRequired,
    RequestRequired,
    SessionFull,
    UnknownSession,
)
from ibisagent.ui.sessions.session_values import RunRequest

REQUEST = RunRequest("Segment the bright object.")
FIRST, SECOND = Click(0.55, 0.42), Click(0.2, 0.8)
REPLIES = (positive(0.3, 0.3), positive(0.7, 0.5), positive(0.5, 0.6), STOP)
DIRECT = {"configurable": {"thread_id": "direct"}}


def make_service(policy=None, **options):
    return SessionService(policy or script(*REPLIES), get_memo("disk"), LoopConfig(), **options)


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    """The folder in which uploads are stored."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def upload(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return [Upload("DOE JANE.png", buffer.getvalue())]


@pytest.fixture
def volume(tmp_path, pixels):
    voxels = np.stack([pixels.T, np.roll(pixels, 9, axis=0).T, pixels.T // 2], axis=2)
    nibabel.save(nibabel.Nifti1Image(voxels, np.diag([0.5, 0.75, 3.0, 1.0])), tmp_path / "volume.nii.gz")
    return tmp_path / "volume.nii.gz"


def begun(pixels, replies=REPLIES):
    """A graph that has run the request directly, its thread, and its result."""
    graph = build_graph(script(*replies), "disk", checkpointer=InMemorySaver())
    return graph, graph.invoke({"image": pixels, "request": REQUEST.text}, DIRECT)


def test_a_run_and_a_person_s_actions_are_those_of_the_graph(pixels, upload):
    async def ask():
        service, steps = make_service(), []

        async def seen(step):
            steps.append(step)

        info = await service.segment(upload, "me", REQUEST, seen)
        actions = (FIRST, SECOND, Backtrack(), Redo(), Terminate())
        infos = [info, *[await service.act(info.handle, "me", action, seen) for action in actions]]
        assert await service.steps(info.handle, "me") == steps
        masks = [await service.mask(info.handle, "me", step.mask) for step in steps]
        return infos, steps, masks, await service.mask(info.handle, "me")

    infos, steps, masks, last = asyncio.run(ask())
    graph, ended = begun(pixels)
    expected = [ended["mask"]]
    for action in (FIRST, SECOND, Backtrack(), Redo()):
        intervene(graph, DIRECT, action, interrupt_before=["reason"])
        state = graph.get_state(DIRECT).values
        expected.append(graph.components.store.get_mask(state["steps"][-1]["mask"]))
    assert [info.summary.rle for info in infos] == [*expected, expected[-1]]
    assert last == masks[-1] == expected[-1]
    assert [info.summary.stop for info in infos] == ["terminated", "", "", "", "", "terminated"]
    assert [step.index for step in steps] == list(range(1, 10))
    assert [step.actor for step in steps] == ["policy"] * 4 + ["person"] * 5
    assert [step.area for step in steps] == list(map(area, masks))
    assert [rle_key(mask) for mask in masks] == [step.mask for step in steps]
    assert (steps[0].thought, steps[0].action["x"], steps[0].outcome, steps[0].error) == ("Here.", 0.3, "applied", None)
    assert steps[4].text == "Positive Point (0.5500, 0.4200)"
    assert infos[-1].steps == 9
    assert not infos[-1].running


@pytest.mark.parametrize("action", [None, SECOND])
def test_a_fork_replaces_a_step(action, pixels, upload):
    async def ask():
        service = make_service(FunctionPolicy(lambda seen: REPLIES[min(seen.step, 3)]), durability="sync")
        info = await service.segment(upload, "me", REQUEST)
        branch = await service.fork(info.handle, "me", 2, action)
        return info, branch, await service.steps(info.handle, "me")

    info, branch, steps = asyncio.run(ask())
    graph = build_graph(FunctionPolicy(lambda seen: REPLIES[min(seen.step, 3)]), "disk", checkpointer=InMemorySaver())
    graph.invoke({"image": pixels, "request": REQUEST.text}, DIRECT)
    ended = graph.invoke(None, fork(graph, DIRECT, step=2, action=action))
    assert branch.summary.rle == ended["mask"]
    assert (branch.summary.rle == info.summary.rle) == (action is None)
    assert [step.mask for step in steps] == [step["mask"] for step in ended["steps"]]
    assert steps[1].actor == ("policy" if action is None else "person")


def test_a_fork_of_a_person_may_leave_the_policy_out(upload):
    async def ask():
        policy = RecordingPolicy(script(*REPLIES))
        service = make_service(policy, durability="sync")
        info = await service.segment(upload, "me", REQUEST)
        asked = len(policy.seen)
        branch = await service.fork(info.handle, "me", 2, SECOND, policy_acts=False)
        return branch, len(policy.seen) - asked

    branch, asked = asyncio.run(ask())
    assert (branch.steps, branch.summary.stop, asked) == (2, "", 0)


def test_a_fork_of_what_was_not_kept_is_refused_in_a_line(upload):
    async def ask():
        service = make_service()
        info = await service.segment(upload, "me", REQUEST)
        with pytest.raises(InputError, match="no checkpoint"):
            await service.fork(info.handle, "me", 2)
        return await service.info(info.handle, "me") == info

    assert asyncio.run(ask())


class PausingPolicy(FunctionPolicy):
    """Clicks on and on; from the given reply on it waits to be released."""

    def __init__(self, since):
        super().__init__(self._reply)
        self.since, self.asked, self.release = since, threading.Semaphore(0), threading.Event()
        self.calls = 0

    def _reply(self, seen):
        self.calls += 1
        if self.calls > self.since:
            self.asked.release()
            self.release.wait(20)
        end = STOP if seen.mask.any() else NOT_THERE
        return end if self.release.is_set() else positive((seen.step + 1) / 20, 0.5)


def test_a_stopped_run_keeps_the_mask_in_force_and_the_session_goes_on(upload):
    async def ask():
        policy = PausingPolicy(since=3)
        service, steps = make_service(policy), []

        async def seen(step):
            steps.append(step)

        opened = await service.open(upload, "me")
        run = asyncio.create_task(service.run(opened.handle, "me", REQUEST, seen))
        await asyncio.to_thread(policy.asked.acquire)
        during = await service.info(opened.handle, "me", wait=False)
        service.stop(opened.handle, "me")
        stopped = await run
        policy.release.set()
        return opened, during, stopped, steps, await service.act(opened.handle, "me", SECOND, policy_acts=True)

    opened, during, stopped, steps, later = asyncio.run(ask())
    assert (opened.summary, opened.request, opened.steps, opened.size) == (None, None, 0, (96, 128))
    assert (opened.running, during.running, stopped.running) == (False, True, False)
    assert (stopped.summary.stop, stopped.steps) == ("cancelled", 3)
    assert stopped.summary.mask_key == steps[-1].mask
    assert stopped.summary.found
    assert later.summary.stop == "terminated"


def test_a_caller_that_is_cancelled_ends_its_run_and_leaves_no_upload(upload, temporary):
    async def ask():
        policy = PausingPolicy(since=0)
        service = make_service(policy)
        call = asyncio.create_task(service.segment(upload, "me", REQUEST))
        await asyncio.to_thread(policy.asked.acquire)
        assert list(temporary.iterdir())
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        policy.release.set()
        return len(service.sessions)

    assert asyncio.run(ask()) == 0
    assert list(temporary.iterdir()) == []


def test_runs_wait_for_their_turn_and_what_was_stopped_while_it_waited_is_not_done(upload):
    async def ask():
        policy = PausingPolicy(since=0)
        service = make_service(policy, limits=Limits(runs=1))
        first, second = await service.open(upload, "me"), await service.open(upload, "me")
        runs = [asyncio.create_task(service.run(info.handle, "me", REQUEST)) for info in (first, second)]
        await asyncio.to_thread(policy.asked.acquire)
        act = asyncio.create_task(service.act(first.handle, "me", FIRST))
        await asyncio.sleep(0.05)
        assert policy.calls == 1
        service.stop(second.handle, "me")
        policy.release.set()
        return *await asyncio.gather(*runs), await act, policy.calls

    ran, never, acted, calls = asyncio.run(ask())
    assert (ran.steps, never.steps, never.summary) == (1, 0, None)
    assert (acted.steps, acted.summary.stop) == (2, "")
    assert calls == 1


def test_without_the_policy_a_person_does_it_all(pixels, upload):
    async def ask():
        policy = RecordingPolicy(script(*REPLIES))
        service = make_service(policy)
        opened = await service.open(upload, "me")
        waiting = await service.run(opened.handle, "me", RunRequest(prompts=[FIRST], policy_acts=False))
        info = await service.act(opened.handle, "me", SECOND)
        return policy.seen, waiting, info, await service.act(opened.handle, "me", Terminate())

    seen, waiting, info, accepted = asyncio.run(ask())
    direct = build_graph(script(STOP), "disk").invoke({"image": pixels, "request": "x", "prompts": [FIRST, SECOND]})
    assert seen == []
    assert (waiting.steps, waiting.summary.stop, waiting.request) == (1, "", "Segment what is marked.")
    assert info.summary.rle == accepted.summary.rle == direct["mask"]
    assert accepted.summary.stop == "terminated"


def test_a_later_request_refines_the_mask_in_force(upload):
    async def ask():
        policy = RecordingPolicy(script(positive(0.3, 0.3), STOP, positive(0.7, 0.5), STOP))
        service = make_service(policy)
        info = await service.segment(upload, "me", REQUEST)
        later = await service.run(info.handle, "me", RunRequest("Now the rest."))
        other = await service.segment(upload, "me", RunRequest("The same.", mask=later.handle))
        return [(seen.request, seen.has_initial_mask) for seen in policy.seen], later, other

    seen, later, other = asyncio.run(ask())
    assert seen[:4] == [(REQUEST.text, False)] * 2 + [("Now the rest.", True)] * 2
    assert seen[4] == ("The same.", True)
    assert (later.request, later.steps) == ("Now the rest.", 4)
    assert other.handle != later.handle


def test_a_question_is_answered(upload):
    async def ask():
        service = make_service(script(STOP))
        return await service.segment(upload, "me", RunRequest("What is it?", kind="question"))

    info = asyncio.run(ask())
    assert (info.summary.stop, info.summary.answer) == ("answered", "There it is.")


@pytest.mark.parametrize("by_upload", [True, False])
def test_slices_are_looked_at_and_run_on_and_exported_on_the_volume_s_grid(by_upload, volume, temporary):
    async def ask():
        service = make_service(roots=(volume.parent.resolve(),))
        given = [Upload("DOE.nii.gz", volume.read_bytes())] if by_upload else volume.name
        opened = await service.open(given, "me", slice="axial:0")
        other = await service.view(opened.handle, "me", slice="axial:1")
        windowed = await service.view(opened.handle, "me", window="80,60")
        info = await service.run(opened.handle, "me", RunRequest("x", slice="axial:1"))
        made = await service.render(opened.handle, "me", "mask.nii.gz")
        record = json.loads(await service.render(opened.handle, "me", "trajectory.json"))
        service.close(opened.handle, "me")
        return opened, other, windowed, info, made, record

    opened, other, windowed, info, made, record = asyncio.run(ask())
    expected = [open_image(volume, slice=slice) for slice in ("axial:0", "axial:1")]
    assert (opened.slice, info.slice) == (expected[0].slice, expected[1].slice)
    assert other.sha == record["image"]["sha"] == expected[1].sha
    assert (windowed.slice, windowed.window) == (expected[0].slice, "80,60")
    assert record["image"]["uri"] == (None if by_upload else volume.name)
    volume.with_name("mask.nii.gz").write_bytes(made)
    planes = np.asarray(nibabel.load(volume.with_name("mask.nii.gz")).dataobj).any(axis=(0, 1))
    assert planes.sum() == 1
    assert list(temporary.iterdir()) == []


def test_files_are_bytes_or_lie_in_a_folder(upload, tmp_path):
    async def ask():
        service = make_service()
        info = await service.segment(upload, "me", REQUEST)
        made = await service.export(info.handle, "me", ["mask.png", "overlay.png"], tmp_path / "out")
        checked = await service.export(info.handle, "me", ["mask.json"], None)
        with pytest.raises(InputError, match="DICOM"):
            await service.export(info.handle, "me", ["mask.png", "mask.dcm"], tmp_path / "none")
        return info, made, checked, await service.render(info.handle, "me", "mask.png")

    info, made, checked, png = asyncio.run(ask())
    assert checked == {"mask.json": None}
    assert [(tmp_path / "out" / path).is_file() for path in made.values()] == [True, True]
    assert (tmp_path / "out" / made["mask.png"]).read_bytes() == png
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(png))) > 0, decode(info.summary.rle))
    assert not (tmp_path / "none").exists()


def test_nothing_of_an_upload_s_name_or_place_is_told(upload, temporary):
    async def ask():
        service = make_service()
        info = await service.segment(upload, "me", REQUEST)
        return repr(info) + (await service.render(info.handle, "me", "trajectory.json")).decode()

    told = asyncio.run(ask())
    assert "DOE" not in told
    assert str(temporary) not in told
    assert Trajectory.from_json(json.loads(told[told.index("{\n") :])).request == REQUEST.text


def test_another_owner_s_session_cannot_be_reached_by_any_call(upload):
    async def ask():
        service = make_service()
        info = await service.segment(upload, "me", REQUEST)
        handle, said = info.handle, []
        calls = (
            lambda: service.run(handle, "you", REQUEST),
            lambda: service.act(handle, "you", FIRST),
            lambda: service.fork(handle, "you", 1),
            lambda: asyncio.to_thread(service.stop, handle, "you"),
            lambda: asyncio.to_thread(service.close, handle, "you"),
            lambda: service.info(handle, "you"),
            lambda: service.info(handle, "you", wait=False),
            lambda: service.steps(handle, "you"),
            lambda: service.mask(handle, "you", info.summary.mask_key),
            lambda: service.view(handle, "you"),
            lambda: service.render(handle, "you", "mask.png"),
            lambda: service.export(handle, "you", ["mask.png"], None),
            lambda: service.info("never", "me"),
        )
        for call in calls:
            with pytest.raises(UnknownSession) as refusal:
                await call()
            said.append(str(refusal.value))
        with pytest.raises(UnknownSession, match=r"^mask: "):
            await service.segment(upload, "you", RunRequest("x", mask=handle))
        yours = await service.segment(upload, "you", REQUEST)
        mine = (await service.act(handle, "me", Click(0.9, 0.9))).summary.mask_key
        with pytest.raises(StoreError):
            await service.mask(yours.handle, "you", mine)
        return said, await service.info(handle, "me")

    said, info = asyncio.run(ask())
    assert len(set(said)) == 1
    assert info.summary is not None


def test_what_a_request_lacks_is_a_line_of_its_own_kind(upload):
    async def refused(service, error, image, request):
        with pytest.raises(error):
            await service.segment(image, "me", request)

    async def ask():
        await refused(make_service(), RequestRequired, upload, RunRequest())
        await refused(make_service(prompts_required=True), PromptsRequired, upload, REQUEST)
        await refused(make_service(), FilesNotServed, "scan.png", REQUEST)
        await refused(make_service(), FilesNotServed, upload, RunRequest("x", mask="mask.png"))
        service = make_service(script(STOP), prompts_required=True, limits=Limits(steps=3))
        info = await service.segment(upload, "me", RunRequest(prompts=[FIRST, SECOND]))
        assert info.steps == 3
        for call in (
            service.act(info.handle, "me", FIRST),
            service.run(info.handle, "me", RunRequest(prompts=[FIRST])),
        ):
            with pytest.raises(SessionFull, match="3 steps"):
                await call
        opened = await service.open(upload, "me")
        for call in (service.act(opened.handle, "me", FIRST), service.render(opened.handle, "me", "mask.png")):
            with pytest.raises(InputError, match="nothing was asked for"):
                await call

    asyncio.run(ask())


def test_a_failed_request_leaves_the_session_as_it_was_and_no_new_one(upload, temporary):
    async def ask():
        service = make_service()
        with pytest.raises(InputError, match="request"):
            await service.segment(upload, "me", RunRequest("  "))
        assert (len(service.sessions), list(temporary.iterdir())) == (0, [])
        info = await service.segment(upload, "me", REQUEST)
        with pytest.raises(InputError, match="mask: got run lengths"):
            await service.run(info.handle, "me", RunRequest("x", mask={"size": [1, 1], "counts": "0"}))
        with pytest.raises(InputError, match="nothing to redo"):
            await service.act(info.handle, "me", Redo())
        return info, await service.info(info.handle, "me")

    info, later = asyncio.run(ask())
    assert info == later


def test_uploads_go_with_their_session(upload, temporary):
    async def ask():
        service = make_service(limits=Limits(sessions=1))
        await service.open(upload, "me")
        await service.open(upload, "me")
        assert len(list(temporary.iterdir())) == 1
        info = await service.open(upload, "me")
        service.close(info.handle, "me")

    asyncio.run(ask())
    assert list(Path(temporary).iterdir()) == []
