"""The released weights' words: found by shape in stand-ins of the official files, in our own text, and never run."""

import tomllib
from pathlib import Path
from string import Template

import hypothesis
import pytest
from hypothesis import strategies as st
from support.command_line import call

from ibisagent.agent.config import preset
from ibisagent.agent.prompt_import import LOOP_FILE, MODEL_FILE, import_prompts
from ibisagent.agent.prompting import load_prompts

LOOP = """
import torch_that_is_not_installed
from mllm_engine import MLLMEngine

VERSION = "3"
TASK_WORDS = (
    "Mark the thing for $5.\\nThink in <think>, "
    "then act in <action>, with Positive Point (x, y) or Terminate."
)
open("ran", "w")

def main(args):
    print(f"Terminate after {args.turns}")
    for turn in range(9):
        words = f"<image>{args.prompt}" if turn == 0 else args.prompt
        print(f"[turn {turn}]", words)
"""
MODEL = """
open("ran", "w")

class MLLMEngine:
    def __init__(self, model_path="weights"):
        print(f"loading {model_path}")

    def chat(self, user_prompt=None, image_path=None):
        answer = "terminate"
        later = f"<image>Better: \\"{user_prompt}\\"? Costs {{$2}}. Point, or Terminate: {user_prompt}"
        print(f"Terminate? {answer}")
        return later
"""
FIRST, REFINE = "<image>a cyst", '<image>Better: "a cyst"? Costs {$2}. Point, or Terminate: a cyst'
SYSTEM = "Mark the thing for $5.\nThink in <think>, then act in <action>, with Positive Point (x, y) or Terminate."


def written(folder: Path, loop: str | bytes = LOOP, model: str | bytes = MODEL) -> Path:
    (folder / "infer").mkdir(parents=True, exist_ok=True)
    for name, text in ((LOOP_FILE, loop), (MODEL_FILE, model)):
        (folder / "infer" / name).write_bytes(text.encode() if isinstance(text, str) else text)
    return folder


def sentences(file: Path) -> dict[str, str]:
    """The three sentences as a model is sent them."""
    texts = load_prompts(file).texts
    return {key: Template(texts[key]).substitute(request="a cyst") for key in ("system", "first", "refine", "question")}


def test_the_sentences_are_taken_and_nothing_is_run(tmp_path: Path) -> None:
    written(tmp_path / "theirs")
    said = call("prompts", "import", "theirs", "--out", "p.toml", cwd=tmp_path)
    assert (said.returncode, said.stderr) == (0, "")
    sent = "a request is sent as '<image>${request}'"
    assert said.stdout == f"wrote p.toml: for --prompts, beside --preset ibis; {sent}\n"
    assert sentences(tmp_path / "p.toml") == {"system": SYSTEM, "first": FIRST, "refine": REFINE, "question": FIRST}
    assert not list(tmp_path.rglob("ran"))
    assert call("prompts", "import", "theirs/infer", "--out", "p.toml", cwd=tmp_path).returncode == 0  # the same again
    assert set(preset("ibis").actions) <= set(load_prompts(tmp_path / "p.toml").kinds)
    assert "decline" not in load_prompts(tmp_path / "p.toml").kinds


def test_another_file_is_not_overwritten(tmp_path: Path) -> None:
    written(tmp_path)
    (tmp_path / "prompts.toml").write_text("mine")
    said = call("prompts", "import", ".", cwd=tmp_path)
    assert (said.returncode, said.stderr.count("\n")) == (2, 1)
    assert "prompts.toml: got another file of this name, expected none" in said.stderr
    assert (tmp_path / "prompts.toml").read_text() == "mine"


def test_other_names_and_shapes_do_as_well(tmp_path: Path) -> None:
    loop = "class Loop:\n    words: str = '<think> and <action>'\n"
    model = "async def say(q, *, n):\n    def inner():\n        return f'terminate {q}'\n    return inner()\n"
    (tmp_path / "p.toml").write_text(import_prompts(written(tmp_path, loop, model)))
    found = sentences(tmp_path / "p.toml")
    assert (found["system"], found["first"], found["refine"]) == ("<think> and <action>", "a cyst", "terminate a cyst")


def test_more_words_around_the_first_request_are_taken(tmp_path: Path) -> None:
    loop = LOOP.replace('f"<image>{args.prompt}"', 'f"<image>\\nOne click for: {args.prompt}. Go."')
    (tmp_path / "p.toml").write_text(import_prompts(written(tmp_path, loop)))
    assert sentences(tmp_path / "p.toml")["first"] == "<image>\nOne click for: a cyst. Go."


@pytest.mark.parametrize(
    ("loop", "model", "line"),
    [
        ("x = 1", MODEL, "multi_turn.py: got none of what was looked for, an assigned string that holds <think> and"),
        (LOOP + "B = 'other <think> <action>'", MODEL, "multi_turn.py: got 2 of what was looked for"),
        (LOOP + "print(f'<picture>{x}')", MODEL, "multi_turn.py: got 2 of what was looked for, an f-string of a tag"),
        (LOOP, "x = f'Terminate {y}'", "mllm_engine.py: got none of what was looked for, an f-string with a parameter"),
        (LOOP, "def f(a, b): return f'Terminate {a} {b}'", "mllm_engine.py, line 1: got an f-string of 2"),
        (LOOP, "def f(a): return f'Terminate {a!r}'", "mllm_engine.py, line 1: got an f-string of 1 formatted"),
        ("x = '<think><action>\\ud800'", MODEL, "multi_turn.py: got half a character"),
        ("def f(:", MODEL, "multi_turn.py: got no Python source (invalid syntax)"),
        (b"\x00\xff\x89PNG" * 99, MODEL, "multi_turn.py: got no Python source"),
        ("(" * 9000, MODEL, "multi_turn.py: got no Python source"),
        ("x = " + "-" * 200_000 + "1", MODEL, "multi_turn.py: got no Python source"),
        ("x = 1" + " + 1" * 60_000, MODEL, "multi_turn.py: got no Python source"),
        ("#" * 300_000, MODEL, "multi_turn.py: got over 256 KiB"),
    ],
)
def test_what_is_missing_ambiguous_or_hostile_is_one_line(
    tmp_path: Path, loop: str | bytes, model: str | bytes, line: str
) -> None:
    said = call("prompts", "import", ".", cwd=written(tmp_path, loop, model))
    assert (said.returncode, said.stderr.count("\n"), said.stdout) == (2, 1, "")
    assert line in said.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["infer"]


def test_a_wrong_folder_is_one_line(tmp_path: Path) -> None:
    said = call("prompts", "import", "nowhere", cwd=tmp_path)
    assert (said.returncode, said.stderr.count("\n")) == (2, 1)
    assert "nowhere: got no infer/multi_turn.py in it, expected that file; give the folder of your copy" in said.stderr


@hypothesis.given(st.text(st.characters(exclude_categories=["Cs"])))
@hypothesis.settings(max_examples=30)
def test_any_text_comes_through_as_it_was(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    folder = written(tmp_path_factory.mktemp("any"), f"x = {'<think><action>' + text!r}")
    system = tomllib.loads(import_prompts(folder))["system"]
    assert Template(system).substitute() == "<think><action>" + text
