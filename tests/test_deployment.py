"""Dockerfile and compose file, without an engine: what they name exists, nothing is root, the health check works."""

import json
import re
import shlex
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.doc_blocks import ROOT, Block, check

LINES = (ROOT / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
OURS = {name: each for name, each in SERVICES.items() if "build" in each}
PINNED = re.compile(r"[\w/.-]+:\d+\.\d+(\.\d+)?(-[\w.-]+)?")


def instructions(name: str) -> list[str]:
    return [line.removeprefix(f"{name} ") for line in LINES if line.startswith(f"{name} ")]


def test_bases_are_pinned_and_nothing_runs_as_root() -> None:
    for base in instructions("FROM"):
        assert PINNED.fullmatch(base.split(" AS ")[0]), base
    last = max(number for number, line in enumerate(LINES) if line.startswith("FROM "))
    users = [line.split()[1] for line in LINES[last:] if line.startswith("USER ")]
    assert users
    assert users[-1].isdigit()
    assert int(users[-1]) > 0
    assert not instructions("ADD")


def test_every_package_is_copied_and_every_copied_file_is_there() -> None:
    copied = [word for line in instructions("COPY") if "--from" not in line for word in line.split()[:-1]]
    assert all((ROOT / word).exists() for word in copied)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    folders = {name.split(".")[1] for name in project["tool"]["setuptools"]["packages"]}
    assert folders <= set(copied)
    (extras,) = [line.partition("=")[2] for line in instructions("ARG") if line.startswith("EXTRAS=")]
    assert set(extras.split(",")) <= project["project"]["optional-dependencies"].keys()
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert let_in == set(copied)


def test_what_is_started_are_commands_with_options_that_exist() -> None:
    assert json.loads(instructions("ENTRYPOINT")[0]) == ["ibisagent"]
    started = [json.loads(instructions("CMD")[0]), *(each["command"] for each in OURS.values())]
    for words in started:
        text = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", shlex.join(["ibisagent", *words]).replace("'", ""))
        check(Block("compose.yaml", 0, "sh", text))


def test_services_are_pinned_harmless_and_reached_from_this_machine_alone() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert {"web", "mcp"} == set(OURS)
    for name, service in SERVICES.items():
        assert PINNED.fullmatch(service["image"]), name
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ())), name
        assert not service.keys() & {"privileged", "network_mode", "pid"}, name
        assert set(service.get("secrets", ())) <= COMPOSE["secrets"].keys()
        named = [volume.split(":")[0] for volume in service.get("volumes", ()) if volume[0].isalpha()]
        assert set(named) <= COMPOSE["volumes"].keys()
    for name, service in OURS.items():
        assert service["image"] == f"ibisagent:{version}", name
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
    assert "pg_isready" in SERVICES["postgres"]["healthcheck"]["test"]
    assert "--auth=/run/secrets/auth" in SERVICES["web"]["command"]


@pytest.fixture
def answering() -> Iterator[list[int]]:
    """A server that answers with the first number of a list; the second is its port."""
    said = [200]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(said[0])
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    said.append(server.server_port)
    yield said
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_health_check_tells_a_server_that_answers(answering: list[int]) -> None:
    found = re.search(r'CMD (\["python".*\])$', instructions("HEALTHCHECK")[0])
    assert found
    program = json.loads(found[1])[1:]

    def healthy(port: int) -> bool:
        ran = subprocess.run([sys.executable, *program], env={"PORT": str(port)}, capture_output=True)
        return ran.returncode == 0

    assert healthy(answering[1])
    answering[0] = 404  # of the MCP server, whose address is /mcp
    assert healthy(answering[1])
    answering[0] = 500
    assert not healthy(answering[1])
    assert not healthy(1)


HADOLINT = Path(sys.executable).with_name("hadolint")


@pytest.mark.skipif(not HADOLINT.is_file(), reason="hadolint's wheel is for Linux on x86-64 alone")
def test_hadolint_finds_nothing() -> None:
    ran = subprocess.run([HADOLINT, ROOT / "Dockerfile"], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout
