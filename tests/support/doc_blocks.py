"""The code blocks of README.md and docs/: read, checked against the command line's own parser, and run."""

import importlib.util
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import click
import typer
import yaml

from ibisagent.ui.cli.app import app
from support.command_line import call

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", *sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").glob("*.md")))
_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>[\w-]*)[^\n]*\n(?P<text>.*?)^(?P=indent)```[ ]*$", re.M | re.S)
_NEEDS = re.compile(r"# needs: (.+)")
_SERVES = "# serves until Ctrl-C"
_OTHERS = {
    "accelerate",
    "cd",
    "cp",
    "curl",
    "docker",
    "git",
    "hf",
    "langgraph",
    "make",
    "pip",
    "python",
    "source",
    "vllm",
}
_DATA = {"toml": tomllib.loads, "json": json.loads, "yaml": yaml.safe_load}


@dataclass(frozen=True)
class Block:
    """A fenced block: its page, first line, language (``sh`` where none is named) and text."""

    page: str
    line: int
    language: str
    text: str

    @property
    def needs(self) -> str | None:
        """What it needs that a test does not have: the words of a first line ``# needs: ...``."""
        found = _NEEDS.match(self.text)
        return found[1] if found else None

    @property
    def serves(self) -> bool:
        """Whether it runs until it is stopped, as its first line says."""
        return self.text.startswith(_SERVES)

    @property
    def where(self) -> str:
        """Page and line, for an error."""
        return f"{self.page}:{self.line}"


def read_blocks(page: str) -> list[Block]:
    """Return all blocks of a page, in order."""
    text = (ROOT / page).read_text(encoding="utf-8")
    blocks = []
    for found in _FENCE.finditer(text):
        indent = len(found["indent"])
        inner = "".join(line[indent:] for line in found["text"].splitlines(keepends=True))
        blocks.append(Block(page, text.count("\n", 0, found.start()) + 1, found["language"] or "sh", inner))
    return blocks


def commands(block: Block) -> Iterator[list[str]]:
    """Yield the words of each command of a shell block; of pipes and lists each part."""
    for line in block.text.replace("\\\n", " ").splitlines():
        words: list[str] = []
        for word in [*shlex.split(line, comments=True), ";"]:
            if word in {"|", "&&", "||", ";", "&", ">"}:
                if words:
                    yield words
                words = []
            else:
                words.append(word)


def check(block: Block) -> None:
    """Check a block without running it: that it parses, and that every command and option of ours exists."""
    if block.language == "python":
        compile(block.text, block.where, "exec")
    elif block.language in _DATA:
        _DATA[block.language](block.text)
    elif block.language == "sh":
        for words in commands(block):
            _check_command(words, block)
    else:
        assert block.language in {"mermaid", "text", "bibtex", "dockerfile"}, f"{block.where}: {block.language}"


def _check_command(words: list[str], block: Block) -> None:
    while "=" in words[0] and words[0].split("=")[0].isupper():  # environment variables
        words = words[1:]
    if words[0] == "ibisagent":
        _parse(words[1:], block)
    elif "ibisagent.ui" in words:
        _parse(words[words.index("ibisagent.ui") + 1 :], block)
    else:
        assert words[0] in _OTHERS, f"{block.where}: unknown program {words[0]}"
        _check_other(words, block)


def _check_other(words: list[str], block: Block) -> None:
    """Check targets of the Makefile, extras, and modules, as far as a line names them."""
    if words[0] == "make":
        makefile = (ROOT / "Makefile").read_text()
        for target in (word for word in words[1:] if "=" not in word):
            assert re.search(rf"^{re.escape(target)}:", makefile, re.M), f"{block.where}: make {target}"
    if words[0] == "python" and "-m" in words:
        module = words[words.index("-m") + 1]
        there = importlib.util.find_spec(module) if module.startswith("ibisagent.") else True
        assert there, f"{block.where}: {module}"
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for word in words if words[0] == "pip" else ():
        for extra in re.findall(r"^\.\[([\w,]+)\]$", word):
            assert set(extra.split(",")) <= extras.keys(), f"{block.where}: {word}"


@cache
def _command_line() -> Any:
    return typer.main.get_command(app)


def _parse(arguments: list[str], block: Block) -> None:
    """Have the command line's own parser read arguments, without running the command."""
    command = _command_line()
    parent: Any = None
    try:
        while True:
            context = command.make_context(command.name or "ibisagent", list(arguments), parent=parent)
            rest = [*getattr(context, "_protected_args", ()), *context.args]
            if not hasattr(command, "resolve_command"):
                return
            _, command, arguments = command.resolve_command(context, rest)
            parent = context
    except (click.exceptions.Exit, typer.Exit):
        return  # --help, --version
    except Exception as error:
        reason = error.format_message() if hasattr(error, "format_message") else error
        raise AssertionError(f"{block.where}: ibisagent {' '.join(arguments)}: {reason}") from error


def run_page(page: str, folder: Path) -> None:
    """Run all blocks of a page in ``folder``, in order: Python in one namespace, commands in a shell.

    A Python block whose first line is a comment with a file's name is written to that file as well.
    """
    scope: dict[str, Any] = {"__name__": "page"}
    for block in read_blocks(page):
        if block.needs is None and block.language == "python":
            named = re.match(r"# (\w+\.py)\n", block.text)
            if named:
                (folder / named[1]).write_text(block.text)
            exec(compile(block.text, block.where, "exec"), scope)
        elif block.needs is None and block.language == "sh":
            _run_shell(block, folder)


def _run_shell(block: Block, folder: Path) -> None:
    parts = list(commands(block))
    if all(words[0] == "ibisagent" and words[1] != "mcp" for words in parts) and not block.serves:
        for words in parts:  # a process of its own would load every library anew
            ended = call(*words[1:], cwd=folder)
            assert ended.returncode == 0, f"{block.where}: {words}\n{ended.stdout[-2000:]}\n{ended.stderr[-2000:]}"
        return
    environment = _environment(folder)
    if block.serves:
        _serve(block, folder, environment)
        return
    ran = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block.text],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, f"{block.where}:\n{block.text}\n{ran.stdout[-2000:]}\n{ran.stderr[-2000:]}"


def _serve(block: Block, folder: Path, environment: dict[str, str]) -> None:
    """Start what serves, wait for the address that it prints, and stop it as Ctrl-C does."""
    (words,) = commands(block)
    heard = ["env", "--default-signal=INT"]  # the background jobs of a shell ignore it
    served = subprocess.Popen(
        [*heard, sys.executable, "-u", "-m", "ibisagent.ui", *words[1:]],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert served.stdout is not None
    late = threading.Timer(600, served.kill)
    late.start()
    said = ""
    try:
        for line in served.stdout:
            said += line
            if "http://" in line:
                break
        else:
            raise AssertionError(f"{block.where}: it ended by itself, without an address\n{said}")
    finally:
        served.send_signal(signal.SIGINT)
        said += served.communicate()[0]
        late.cancel()
    assert served.returncode in (0, 130, -signal.SIGINT), f"{block.where}: {served.returncode}\n{said}"


def _environment(folder: Path) -> dict[str, str]:
    """Return the environment of a shell in which ``ibisagent`` and ``python`` are those of this process."""
    programs = folder.parent / f"{folder.name}-bin"
    if not programs.exists():
        programs.mkdir()
        for name, module in (("ibisagent", "-m ibisagent.ui "), ("python", "")):
            (programs / name).write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {module}"$@"\n')
            (programs / name).chmod(0o755)
    return os.environ | {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
