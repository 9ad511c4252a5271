"""A server that is killed in the middle of a run: the next one goes on to the same mask."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from support.fakes import STOP, FunctionPolicy, positive
from support.web_sessions import OWNER, make_sessions, raise_failure, send, settle, started

REPLIES = (positive(0.3, 0.3), positive(0.7, 0.5), positive(0.5, 0.6), STOP)


def policy(killed_at):
    """Replies by the number of the step; at one of them the process is killed."""

    def reply(seen):
        if seen.step == killed_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return REPLIES[min(seen.step, len(REPLIES) - 1)]

    return lambda: FunctionPolicy(reply)


async def story(folder: Path, killed_at, forks):
    sessions = make_sessions(policy(killed_at), database=folder / "web.db")
    async with started(sessions) as handle:
        (folder / "handle").write_text(handle)
        await send(sessions, handle, folder / "scan.png", "scan.png")
        if forks:
            await sessions.click(handle, OWNER, 0.2, 0.8)
            await settle(sessions, handle)
        await sessions.ask(handle, OWNER, "Segment it.")
        return await settle(sessions, handle)


async def second_story(folder: Path, killed_at):
    """Two requests; the process is killed before it writes the second one's checkpoint of that number."""
    sessions = make_sessions(policy(None), database=folder / "web.db")
    async with started(sessions) as handle:
        (folder / "handle").write_text(handle)
        await send(sessions, handle, folder / "scan.png", "scan.png")
        await sessions.ask(handle, OWNER, "Segment it.")
        await settle(sessions, handle)
        await sessions.click(handle, OWNER, 0.2, 0.8)
        await settle(sessions, handle)
        if killed_at is not None:
            saver, written = sessions.storage.saver, 0
            put = saver.aput

            async def put_or_die(*given):
                nonlocal written
                if written == killed_at:
                    os.kill(os.getpid(), signal.SIGKILL)
                written += 1
                return await put(*given)

            saver.aput = put_or_die
        await sessions.ask(handle, OWNER, "Segment more of it.")
        return await settle(sessions, handle)


async def resume(folder: Path):
    sessions = make_sessions(policy(None), database=folder / "web.db")
    async with sessions.running(raise_failure):
        return await settle(sessions, (folder / "handle").read_text())


def kill(folder: Path, *arguments):
    """Run this file, which ends by SIGKILL."""
    tests = str(Path(__file__).parents[2])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [tests, os.environ.get("PYTHONPATH")]))}
    command = [sys.executable, __file__, str(folder), *map(str, arguments)]
    assert subprocess.run(command, env=environment, timeout=120).returncode == -signal.SIGKILL


def scans(tmp_path, pixels):
    """Two folders with the same picture."""
    for name in ("undisturbed", "killed"):
        (tmp_path / name).mkdir()
        Image.fromarray(pixels).save(tmp_path / name / "scan.png")
        yield tmp_path / name


@pytest.mark.parametrize("forks", [False, True], ids=["first request", "after a click"])
@pytest.mark.parametrize(
    "killed_at", [pytest.param(0, marks=pytest.mark.slow), 2, pytest.param(3, marks=pytest.mark.slow)]
)
def test_a_killed_server_goes_on_to_the_same_mask(tmp_path, pixels, killed_at, forks):
    undisturbed, killed = scans(tmp_path, pixels)
    expected = asyncio.run(story(undisturbed, None, forks))
    kill(killed, "step", killed_at, int(forks))
    assert_same(asyncio.run(resume(killed)), expected)


@pytest.mark.slow
@pytest.mark.parametrize("killed_at", [0, 1, 2], ids=["nothing written", "its input written", "loaded"])
def test_a_second_request_that_was_killed_before_its_first_step_is_asked_again(tmp_path, pixels, killed_at):
    undisturbed, killed = scans(tmp_path, pixels)
    expected = asyncio.run(second_story(undisturbed, None))
    assert [request["text"] for request in expected["requests"]] == ["Segment it.", "Segment more of it."]
    kill(killed, "checkpoint", killed_at)
    assert_same(asyncio.run(resume(killed)), expected)


def assert_same(resumed, expected):
    assert resumed["mask"] == expected["mask"]
    assert (resumed["stop"], resumed["answer"]) == (expected["stop"], expected["answer"])
    assert [step["label"] for step in resumed["steps"]] == [step["label"] for step in expected["steps"]]
    assert resumed["requests"] == expected["requests"]


if __name__ == "__main__":
    if sys.argv[2] == "step":
        asyncio.run(story(Path(sys.argv[1]), int(sys.argv[3]), sys.argv[4] == "1"))
    else:
        asyncio.run(second_story(Path(sys.argv[1]), int(sys.argv[3])))
