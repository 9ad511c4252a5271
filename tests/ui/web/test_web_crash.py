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


async def resume(folder: Path):
    sessions = make_sessions(policy(None), database=folder / "web.db")
    async with sessions.running(raise_failure):
        return await settle(sessions, (folder / "handle").read_text())


@pytest.mark.parametrize("forks", [False, True], ids=["first request", "after a click"])
@pytest.mark.parametrize("killed_at", [0, 2, 3])
def test_a_killed_server_goes_on_to_the_same_mask(tmp_path, pixels, killed_at, forks):
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    for folder in (undisturbed, killed):
        folder.mkdir()
        Image.fromarray(pixels).save(folder / "scan.png")
    expected = asyncio.run(story(undisturbed, None, forks))
    command = [sys.executable, __file__, str(killed), str(killed_at), str(int(forks))]
    tests = str(Path(__file__).parents[2])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [tests, os.environ.get("PYTHONPATH")]))}
    ended = subprocess.run(command, env=environment, timeout=120)
    assert ended.returncode == -signal.SIGKILL
    resumed = asyncio.run(resume(killed))
    assert resumed["mask"] == expected["mask"]
    assert (resumed["stop"], resumed["answer"]) == (expected["stop"], expected["answer"])
    assert [step["label"] for step in resumed["steps"]] == [step["label"] for step in expected["steps"]]
    assert resumed["requests"] == expected["requests"]


if __name__ == "__main__":
    asyncio.run(story(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "1"))
