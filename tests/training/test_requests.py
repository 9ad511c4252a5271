"""The wording of requests and of questions that do not name their target."""

import re
import tomllib
from pathlib import Path
from string import Template

import numpy as np
import pytest

from ibisagent.tools.vocabulary.words import REQUEST_TEMPLATES, VOCABULARY
from ibisagent.training.requests import (
    ReasoningRequest,
    build_reasoning_requests,
    read_target_name,
    write_initial_request,
    write_refinement_request,
)

ROOT = Path(__file__).parents[2]
WORDS = [ROOT / f"tools/vocabulary/{name}.toml" for name in ("requests", "target_names")]


def rng(seed=0):
    return np.random.default_rng(seed)


def square(top, left, side):
    mask = np.zeros((64, 64), bool)
    mask[top : top + side, left : left + side] = True
    return mask


def test_the_library_has_the_categories_of_the_method():
    assert {stage: list(table) for stage, table in REQUEST_TEMPLATES.items()} == {
        "initial": ["direct", "goal", "intent", "conversational", "polite", "question", "concise"],
        "refining": ["what next", "error hint", "concise", "improve", "verify", "polite"],
    }
    templates = [set(some) for table in REQUEST_TEMPLATES.values() for some in table.values()]
    assert min(map(len, templates)) >= 5
    for template in set().union(*templates):
        assert "spleen" in Template(template).substitute({"target": "spleen", "is": "is"})


@pytest.mark.parametrize("word", [write_initial_request, write_refinement_request])
def test_a_request_names_its_target_by_one_of_its_names(word):
    said = [word("skin lesion", rng(seed)) for seed in range(300)]
    names = ("skin lesion", *VOCABULARY.synonyms["skin lesion"])
    found = [next(name for name in names if name in request) for request in said]
    assert set(found) == set(names)
    assert len(set(said)) > 60
    assert said == [word("skin lesion", rng(seed)) for seed in range(300)]


def test_an_unknown_target_goes_by_its_own_name():
    assert all("mitral valve" in write_initial_request("mitral valve", rng(seed)) for seed in range(50))


@pytest.mark.parametrize("word", [write_initial_request, write_refinement_request])
def test_the_target_is_read_off_a_request(word):
    for seed, name in enumerate((*VOCABULARY.names, *VOCABULARY.names)):
        request = word(name, rng(seed))
        target, said = read_target_name(request)
        assert target == name, request
        assert said in (name, *VOCABULARY.synonyms.get(name, ()))
    read = [read_target_name(word("mitral valve", rng(seed))) for seed in range(100)]
    assert set(read) <= {("mitral valve", "mitral valve"), None}  # None: a name alone, which may be any words
    assert read.count(None) < 10


def test_no_target_is_read_off_a_description():
    said = [
        ask.request
        for seed in range(200)
        for ask in build_reasoning_requests(
            "heart_mr", {name: square(4, 4, 4 + seed % 9) for name in VOCABULARY.names}, [], ["mass"], rng(seed)
        )
    ]
    said += [
        ask.request
        for ask in build_reasoning_requests(
            "heart_ct", {"left atrium": square(2, 2, 9), "right atrium": square(30, 30, 20)}, [], [], rng()
        )
    ]
    assert len(said) > 1000
    assert {request for request in said if read_target_name(request) is not None} == set()


def test_the_verb_agrees_with_the_target():
    said = {
        word("lungs", rng(seed)) for word in (write_initial_request, write_refinement_request) for seed in range(500)
    }
    assert "Where are the lungs?" in said
    assert not any(re.search(r"lungs? is\b|\b(Is|Where is|Does) the (two )?lungs", request) for request in said)


def test_the_vocabulary_is_small_enough_for_a_small_model():
    texts = [path.read_text() for path in (*WORDS, ROOT / "training/experts/rationales.toml")]
    words = {word for text in texts for word in re.findall(r"(?<!\$)\b[a-z']+", text.lower())}
    assert 200 < len(words) < 500


def asked(masks, absent=(), lesions=(), modality="ct_abdomen"):
    return build_reasoning_requests(modality, masks, absent, lesions, rng(1))


def test_a_single_lesion_is_what_is_abnormal():
    tumour = {"liver tumour": square(5, 5, 5)}
    (question,) = asked(tumour, lesions=("liver tumour", "kidney cyst"), absent=("kidney cyst",))
    assert question == ReasoningRequest(question.request, "liver tumour", present=True)
    assert question.request in {
        Template(text).substitute(picture="CT slice") for text in VOCABULARY.templates["abnormal"]
    }


def test_nothing_is_abnormal_in_a_normal_picture():
    (question,) = asked({}, absent=("kidney cyst",), lesions=("kidney cyst",))
    assert (question.target, question.present) == ("abnormality", False)


def test_two_lesions_or_a_picture_without_any_to_look_for_give_no_question():
    masks = {"liver tumour": square(5, 5, 5), "kidney cyst": square(30, 30, 5)}
    assert asked(masks, lesions=tuple(masks)) == []
    assert asked({}) == []


def test_a_description_fits_its_target_and_does_not_name_it():
    assert [(each.target, each.present) for each in asked({"spleen": square(5, 5, 9)}, absent=("liver",))] == [
        ("spleen", True),
        ("liver", False),
    ]
    for target in VOCABULARY.descriptions:
        for seed in range(20):
            (question,) = build_reasoning_requests("any", {target: square(5, 5, 9)}, (), (), rng(seed))
            assert target not in question.request.lower()
            assert "$" not in question.request


def test_sizes_are_compared_where_they_differ_clearly():
    sides = {"left lung": square(5, 5, 20), "right lung": square(5, 35, 17)}
    compared = [each for each in asked(sides) if each.comparison]
    assert [each.target for each in compared] == ["left lung", "right lung"]
    assert ["larger of the two lungs" in compared[0].request, "smaller of the two lungs" in compared[1].request] == [
        True,
        True,
    ]
    alike = {"left lung": square(5, 5, 20), "right lung": square(5, 35, 19)}
    assert not any(each.comparison for each in asked(alike))
    assert not any(each.comparison for each in asked({"left lung": square(5, 5, 20)}))


@pytest.mark.parametrize(("other", "expected"), [(8, True), (9, False)])
def test_the_largest_nucleus_stands_out_from_all_others_or_is_not_asked_for(other, expected):
    largest = square(5, 5, 10)
    masks = {"largest nucleus": largest, "nuclei": largest | square(30, 30, other) | square(50, 50, 5)}
    found = [each for each in asked(masks, modality="fluorescence") if each.comparison]
    assert [(each.target, each.present) for each in found] == [("largest nucleus", True)] * expected


def test_every_list_is_sound_toml_of_plain_texts():
    data = tomllib.loads(WORDS[1].read_text())
    assert set(data) == {"names", "plural", "synonyms", "descriptions", "image_names", "templates"}
    assert len(set(data["names"])) == len(data["names"]) > 70
    for names in (*data["synonyms"].values(), *data["descriptions"].values()):
        assert names
        assert len(set(names)) == len(names)
