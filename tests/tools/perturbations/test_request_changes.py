"""Changes of requests: other words for the same target, the other side, and what is not there."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ibisagent.tools.datasets import Case
from ibisagent.tools.perturbations import request_changes as changes
from ibisagent.tools.vocabulary.words import VOCABULARY


def case(target: str, request: str = "") -> Case:
    return Case("a", Path("a.png"), Path("b.png"), None, target, request)


def changed(change: changes.RequestChange, given: Case, seed: int = 0) -> str | None:
    found = change(given, np.random.default_rng(seed))
    return None if found is None else found.request


@pytest.mark.parametrize(
    ("request_text", "swapped"),
    [
        ("Segment the left kidney.", "Segment the right kidney."),
        ("organ under the patient's right ribs", "organ under the patient's left ribs"),
        ("LEFT lung, then the Right one", "RIGHT lung, then the Left one"),
        ("Mark it, and tell me when it is right.", "Mark it, and tell me when it is right."),
        ("Bright and upright things", "Bright and upright things"),
    ],
)
def test_sides_are_exchanged_and_nothing_else(request_text: str, swapped: str) -> None:
    once = changes.swap_sides(case("upper left nucleus", request_text), np.random.default_rng(0))
    assert once is not None
    assert (once.target, once.request) == ("upper right nucleus", swapped)
    assert changes.swap_sides(once, np.random.default_rng(0)) == case("upper left nucleus", request_text)


def test_a_request_is_reworded_around_its_target() -> None:
    given = case("liver tumour", "Please mark the Liver Tumour.")
    assert changed(changes.use_synonym, given) in {
        f"Please mark the {name}." for name in VOCABULARY.synonyms["liver tumour"]
    }
    assert changed(changes.make_upper_case, given) == "PLEASE MARK THE LIVER TUMOUR."
    assert changed(changes.make_lower_case, given) == "please mark the liver tumour."
    assert changed(changes.ask_in("german"), given) == "Bitte markiere: Lebertumor."
    question = changed(changes.put_as_question, given)
    assert question is not None
    assert "?" in question
    assert "liver tumour" in question


def test_a_request_that_does_not_name_its_target_is_not_given_away() -> None:
    given = case("liver", "Mark the large organ that makes bile.")
    for change in (changes.use_synonym, changes.put_as_question, changes.ask_in("french"), changes.mistype(1)):
        assert changed(change, given) is None
    assert changed(changes.ask_in("french"), case("something rare")) is None


@pytest.mark.parametrize("count", [1, 2, 3])
def test_slips_leave_the_first_letters_and_most_of_the_word(count: int) -> None:
    rng = np.random.default_rng(0)
    typed = [changes.change_letters("left kidney", count, rng) for _ in range(60)]
    assert len(set(typed)) > 10
    for name in typed:
        assert name is not None
        assert [word[0] for word in name.split()] == ["l", "k"]
        assert abs(len(name) - len("left kidney")) <= count
    assert sum(name != "left kidney" for name in typed) > 55
    assert changes.change_letters("eye", 1, rng) is None


def test_what_is_not_there_has_no_mask_and_only_takes_the_place_of_what_is() -> None:
    for change in (changes.make_impossible, changes.contradict):
        found = change(case("liver"), np.random.default_rng(0))
        assert found is not None
        assert (found.present, found.mask, found.id) == (False, None, "a")
        assert change(replace(case("liver"), present=False), np.random.default_rng(0)) is None
    impossible = changes.make_impossible(case("liver"), np.random.default_rng(0))
    assert impossible is not None
    assert impossible.target in changes.IMPOSSIBLE
    assert impossible.request == f"Segment the {impossible.target}."


def test_every_language_names_every_target_of_its_list() -> None:
    templates, targets = changes._read_languages()
    assert tuple(templates) == changes.LANGUAGES
    assert all("$target" in template for template in templates.values())
    assert {len(names) for names in targets.values()} == {len(changes.LANGUAGES)}
    assert len(targets) > 40
