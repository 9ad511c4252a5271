"""A thread is run by one process at a time, and a killed process no longer holds its lock."""

import json
import subprocess
import sys
import threading

import pytest
from PIL import Image
from support.command_line import call

from ibisagent.agent.thread_lock import lock_thread
from ibisagent.tools.errors import InputError
from ibisagent.ui.run_folder import new_folder

ASK = ["segment", "scan.png", "Segment it.", "--policy", "person", "--db", "runs.db"]
REFUSED = "ibisagent: thread 't' in runs.db is being run by another process; wait for it, or name another --thread\n"


@pytest.fixture
def case(tmp_path, pixels):
    Image.fromarray(pixels).save(tmp_path / "scan.png")
    return tmp_path


@pytest.fixture
def waiting(case):
    """A process that runs the thread and waits for its person after one click."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "cwd": case}
    command = [sys.executable, "-m", "ibisagent.ui", *ASK, "--thread", "t", "--out", "first"]
    with subprocess.Popen(command, **pipes) as running:
        running.stdin.write("Positive Point (0.55, 0.42)\n")
        running.stdin.flush()
        asked = (line for line in iter(running.stdout.readline, "") if "Next?" in line)
        assert next(asked)
        assert next(asked)
        yield running
        running.kill()


def test_a_second_process_on_the_thread_is_refused(case, waiting):
    second = call(*ASK, "--thread", "t", "--out", "second", cwd=case, stdin="Terminate\n")
    assert (second.returncode, second.stdout, second.stderr) == (2, "", REFUSED)
    assert not (case / "second").exists()
    other = call(*ASK, "--thread", "u", "--out", "other", cwd=case, stdin="Terminate\n")
    assert (other.returncode, other.stderr) == (0, "")
    assert waiting.communicate("Terminate\n", timeout=60)
    assert waiting.returncode == 0
    record = json.loads((case / "first/trajectory.json").read_text())
    assert [step["action"]["type"] for step in record["steps"]] == ["point", "terminate"]
    again = call(*ASK, "--thread", "t", "--out", "again", cwd=case)
    assert (again.returncode, "resumed after 2 steps" in again.stdout) == (0, True)


def test_a_killed_process_leaves_the_thread_free(case, waiting):
    waiting.kill()
    waiting.wait()
    ended = call(*ASK, "--thread", "t", "--out", "second", cwd=case, stdin="Terminate\n")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "resumed after 1 steps" in ended.stdout


def test_a_claim_ends_with_its_block_also_by_an_error(tmp_path):
    def claim(thread="t"):
        return lock_thread(tmp_path / "runs.db", thread, tmp_path / "threads")

    with (
        claim(),
        claim("u"),
        pytest.raises(InputError, match=r"thread 't' in .* is being run by another process"),
        claim(),
    ):
        raise AssertionError("it was given twice")
    with pytest.raises(ZeroDivisionError), claim():
        raise ZeroDivisionError
    with claim(), pytest.raises(BlockingIOError), claim("u"):
        raise BlockingIOError  # of what is done meanwhile: not the lock's
    with claim():
        pass


def test_a_place_that_cannot_be_written_to_is_told(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match=r"cannot be made .*; name a --db where you may write"):
        lock_thread(tmp_path / "runs.db", "t", tmp_path / "file").__enter__()


def test_runs_that_begin_in_one_second_have_folders_of_their_own(tmp_path):
    made = []
    threads = [threading.Thread(target=lambda: made.append(new_folder(tmp_path / "runs"))) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(set(made)) == 8
    assert all(folder.is_dir() for folder in made)
