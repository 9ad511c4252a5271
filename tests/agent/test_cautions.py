"""Beside a result: a policy that is weak on scans, and examples that mark most of the picture."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.command_line import call

from ibisagent.agent import build_graph
from ibisagent.agent.cautions import list_cautions
from ibisagent.agent.integrations import summarize
from ibisagent.agent.policies.registry import find_policy
from ibisagent.tools.clicks import Click, Similar
from ibisagent.tools.masks.rle import decode
from ibisagent.ui.example_image import draw_example_image

WIDE, SMALL = Similar(0.5, 0.2), Click(0.285, 0.415)


def ended(*prompts):
    graph = build_graph("none", "geocut")
    pixels = np.zeros((64, 64), np.uint8)
    pixels[8:20, 8:20] = 200
    return graph, graph.invoke({"image": pixels, "request": "All of it.", "prompts": list(prompts)})


@pytest.mark.parametrize(("prompt", "told"), [(WIDE, True), (Similar(0.2, 0.2), False), (Click(0.5, 0.2), False)])
def test_examples_that_mark_most_of_the_picture_are_told(prompt, told):
    graph, state = ended(prompt)
    share = decode(state["mask"]).mean()
    assert (share > 0.5) == told or not isinstance(prompt, Similar)
    said = list_cautions(state, "none")
    assert [f"covers {share:.0%} of the picture" in each for each in said] == [True] * told
    assert ("Note: the examples' look covers" in summarize(graph, state).text) == told


def test_what_a_policy_s_entry_says_is_told_of_it_alone():
    _, state = ended(SMALL)
    assert list_cautions(state, "nano") == [find_policy("nano").caution] != [""]
    assert list_cautions(state, "centre") == list_cautions(state, "somebody:else") == []


def test_the_command_line_tells_it(tmp_path: Path):
    Image.fromarray(draw_example_image()[0]).save(tmp_path / "scan.png")
    ran = call("segment", "scan.png", "All.", "--similar", "+0.285,0.415", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert "the examples' look covers 71% of the picture" in " ".join(ran.stdout.split())
