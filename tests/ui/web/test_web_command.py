"""`ibisagent web` from outside: what it refuses before it serves, and how it ends when its model cannot be loaded."""

import socket

import pytest
from support.command_line import call, run
from support.web_server import served_process


def test_it_does_not_let_other_machines_in_without_a_password(tmp_path):
    ended = call("web", "--host", "0.0.0.0", cwd=tmp_path)
    assert ended.returncode == 2
    assert "without --auth" in ended.stderr


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--policy", "nobody"), "nobody"),
        (("--policy", "person"), "acts by itself"),
        (("--propose", "nobody"), "nobody"),
        (("--root", "missing"), "existing one"),
        (("--auth", "missing"), "missing"),
        (("--prompts", "missing.toml"), "missing.toml"),
        (("--local-only", "--host", "0.0.0.0"), "this machine alone"),
        (("--db", "missing/web.db"), "writable folder"),
        (("--propose", "command:look", "--local-only"), "local-command:"),
    ],
    ids=str,
)
def test_a_wrong_option_is_one_line(tmp_path, options, says):
    ended = call("web", *options, cwd=tmp_path)
    assert ended.returncode == 2, ended.stderr
    assert says in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1


@pytest.mark.slow
def test_a_taken_port_and_a_model_that_cannot_be_loaded_are_one_line(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = run("web", "--port", port, cwd=tmp_path)
    assert ended.returncode == 2
    assert "choose another" in ended.stderr
    ended = run("web", "--port", port, "--policy", "hf:missing-folder/x", "--local-only", cwd=tmp_path)
    assert ended.returncode == 2, ended.stderr
    assert "Traceback" not in ended.stderr
    assert "missing-folder" in ended.stderr.splitlines()[-1]


@pytest.mark.slow
def test_a_file_of_sessions_has_one_server_and_a_killed_one_leaves_it_free(tmp_path):
    options = ("--policy", "none", "--segmenter", "geocut")
    (tmp_path / "same.db").symlink_to("web.db")
    with served_process(tmp_path, *options) as (_, process):
        for name in ("web.db", "same.db"):
            with socket.create_server(("127.0.0.1", 0)) as free:
                port = free.getsockname()[1]
            second = run("web", "--port", port, "--db", name, *options, cwd=tmp_path)
            assert second.returncode == 2, second.stderr
            assert second.stderr.endswith("is served by another process; end that one, or name another file\n")
            assert len(second.stderr.splitlines()) == 1
        process.kill()
        process.wait()
    with served_process(tmp_path, *options):
        pass
