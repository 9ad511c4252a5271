"""--local-only from the command line: a process of its own reaches no address but this machine's, and says why."""

import json
import os
import subprocess
import sys

import pytest
from PIL import Image
from support.fakes import STOP, positive
from support.openai_server import answer_with_script, serve

from ibisagent.agent import get_policy
from ibisagent.agent.policies.chat import Price
from ibisagent.tools.errors import InputError

# Every address that the process asks a name server for or connects to is written down before it is tried.
_WATCHED = """
import json, socket, sys
reached = []
def watch(owner, name):
    called = getattr(owner, name)
    def noted(*args, **kwargs):
        reached.append(str(args[1] if owner is socket.socket else args[0]))
        return called(*args, **kwargs)
    setattr(owner, name, noted)
watch(socket, "getaddrinfo"), watch(socket.socket, "connect"), watch(socket.socket, "connect_ex")
from ibisagent.ui.cli.app import main
try:
    sys.exit(main())
finally:
    json.dump(reached, open("reached.json", "w"))
"""


def segment(folder, pixels, policy, *options, **variables):
    """Run `ibisagent segment` with tracing switched on; give the process and the addresses that it reached for."""
    Image.fromarray(pixels).save(folder / "a.png")
    remote = {"LANGSMITH_TRACING": "true", "LANGSMITH_API_KEY": "key", "LANGCHAIN_TRACING_V2": "true"}
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("OPENAI", "LANGSMITH"))}
    command = [sys.executable, "-c", _WATCHED, "segment", "a.png", "Segment it.", "--policy", policy]
    done = subprocess.run(
        [*command, "--segmenter", "disk", "--out", "o", *options],
        cwd=folder,
        env=clean | remote | {"OPENAI_API_KEY": "key"} | variables,
        capture_output=True,
        text=True,
        timeout=100,
    )
    return done, json.loads((folder / "reached.json").read_text())


@pytest.mark.parametrize(
    ("policy", "variables"),
    [
        ("openai:gpt-5", {}),
        ("openai:gpt-5", {"OPENAI_BASE_URL": "http://192.0.2.7/v1"}),
        ("openai:gpt-5", {"OPENAI_API_BASE": "http://192.0.2.7/v1", "OPENAI_BASE_URL": "http://127.0.0.1:9/v1"}),
        ("ollama:llava", {"OLLAMA_HOST": "gpu.example.org:11434"}),
        ("anthropic:claude", {"OPENAI_BASE_URL": "http://127.0.0.1:9/v1"}),
        ("vllm:http://192.0.2.7:8000/v1", {}),
        ("hf:owner/model", {}),
    ],
)
@pytest.mark.slow
def test_a_remote_model_is_refused_before_any_socket(tmp_path, pixels, policy, variables):
    done, reached = segment(tmp_path, pixels, policy, "--local-only", **variables)
    assert (done.returncode, reached) == (2, [])
    assert done.stderr.count("\n") == 1
    assert "--local-only" in done.stderr
    assert not (tmp_path / "o").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["openai:tiny", "vllm:{url}"])
def test_a_server_on_this_machine_is_all_that_is_reached(tmp_path, pixels, name):
    proxies = {"HTTP_PROXY": "http://192.0.2.9:3128", "http_proxy": "http://192.0.2.9:3128"}
    with serve(answer_with_script(positive(0.55, 0.42), STOP)) as server:
        here = proxies | {"OPENAI_BASE_URL": server.url}
        done, reached = segment(tmp_path, pixels, name.format(url=server.url), "--local-only", **here)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "o/mask.png").is_file()
    assert reached
    assert all("127.0.0.1" in address for address in reached), reached


@pytest.mark.slow
def test_the_watch_sees_what_tracing_would_send(tmp_path, pixels):
    with serve(answer_with_script(positive(0.55, 0.42), STOP)) as server:
        here = {"OPENAI_BASE_URL": server.url, "LANGSMITH_ENDPOINT": "http://192.0.2.8:1"}
        _, reached = segment(tmp_path, pixels, "openai:tiny", **here)
    assert any("192.0.2.8" in address for address in reached)


def test_a_chat_model_s_name_may_end_in_options(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "key")
    policy = get_policy("openai:some-model?coordinates=thousand&price=0.25,2")
    assert (policy.coordinates, policy._price) == ("thousand", Price(0.25, 2.0))
    for wrong in ("price=1", "price=-1,2", "price=nan,1", "coordinates=polar", "colour=red"):
        with pytest.raises(InputError, match="expected coordinates=unit"):
            get_policy(f"openai:some-model?{wrong}")
