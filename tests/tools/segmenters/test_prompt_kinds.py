"""Which prompts a segmenter takes: the table, the classes and what a third party says agree, and all others refuse."""

import numpy as np
import pytest
from support.third_party import SEGMENTER_NAME, forget, write_segmenter

from ibisagent.tools.clicks import Box, Click, Similar
from ibisagent.tools.errors import InputError
from ibisagent.tools.segmenters import SEGMENTERS, Query, get_segmenter
from ibisagent.tools.segmenters.memo import Memo
from ibisagent.tools.segmenters.prompt_kinds import DEFAULT_PROMPTS, PROMPT_KINDS, require_taken, taken_by
from ibisagent.tools.segmenters.registry import find_segmenter

EMBEDDED = [entry.form for entry in SEGMENTERS.entries if not entry.needs_source]


def test_the_table_says_what_the_classes_say():
    assert {name: find_segmenter(name).prompts for name in EMBEDDED} == {
        name: taken_by(get_segmenter(name)) for name in EMBEDDED
    }
    assert (find_segmenter("geocut").prompts, find_segmenter("disk").prompts) == (PROMPT_KINDS, DEFAULT_PROMPTS)


@pytest.mark.parametrize("name", ["geodesic", "disk"])
def test_a_segmenter_refuses_what_it_does_not_take_by_any_way(name, pixels):
    segmenter = get_segmenter(name)
    embedding = segmenter.embed(pixels)
    said = f"segmenter '{name}': got Similar .all like this., expected a point or a box; give those, or choose another"
    with pytest.raises(InputError, match=said):
        segmenter.predict(embedding, [Click(0.5, 0.5), Similar(0.5, 0.5)], None)
    with pytest.raises(InputError, match=said):
        segmenter.predict_many([Query(embedding, [Similar(0.5, 0.5)], None)])
    with pytest.raises(InputError, match=said):
        Memo(segmenter).require_taken([Box(0.1, 0.1, 0.2, 0.2), Similar(0.5, 0.5)])
    assert Memo(segmenter).refusal(Click(0.5, 0.5)) is None


def test_a_third_party_says_what_its_class_takes(tmp_path, monkeypatch):
    forget(monkeypatch)
    monkeypatch.chdir(tmp_path)
    write_segmenter(tmp_path)
    assert find_segmenter(SEGMENTER_NAME).prompts == DEFAULT_PROMPTS == taken_by(get_segmenter(SEGMENTER_NAME))
    (tmp_path / "wrong_a.py").write_text(
        (tmp_path / "my_segmenter.py").read_text().replace("calibrated =", 'prompts = ("similar",)\n    calibrated =')
    )
    assert find_segmenter("wrong_a:Threshold").prompts == ("similar",) == taken_by(get_segmenter("wrong_a:Threshold"))
    with pytest.raises(InputError, match=r"got a point, expected Similar .all like this.; give those"):
        require_taken([Click(0.5, 0.5)], ("similar",), "mine")


@pytest.mark.parametrize("wrong", [("point", "click"), "similar", (), None, 3])
def test_a_wrong_attribute_is_a_line(wrong):
    class MisnamedPrompts:
        prompts = wrong

    with pytest.raises(InputError, match=r"segmenter: got prompts = .*, expected a tuple of point, box, similar"):
        taken_by(MisnamedPrompts())


def test_a_property_is_known_of_an_object_alone():
    class ComputedPrompts:
        @property
        def prompts(self):
            return ("point", "similar")

    assert (taken_by(ComputedPrompts), taken_by(ComputedPrompts())) == (DEFAULT_PROMPTS, ("point", "similar"))


def test_what_is_no_prompt_is_not_refused():
    memo = Memo(get_segmenter("disk"))
    assert memo.refusal(np.ones(2)) is None
    assert memo.refusal(None) is None
