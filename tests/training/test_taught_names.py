"""The names that a training teaches: which count, and how they join a model's list of targets."""

import shutil
import tomllib
from dataclasses import replace

import numpy as np
import pytest
from conftest import ellipse
from support import scripted_local, tiny_vlm
from support.fakes import STOP, positive
from support.observations import make_observation

from ibisagent.agent import get_policy
from ibisagent.agent.actions import KINDS
from ibisagent.agent.policies.abstention import TARGETS_FILE, parse_request, read_targets
from ibisagent.agent.policies.local import NANO
from ibisagent.agent.reply_parser import parse_reply
from ibisagent.tools.masks.rle import encode
from ibisagent.training.requests import write_initial_request, write_refinement_request
from ibisagent.training.sft.config import read_training_config
from ibisagent.training.sft.run import train_sft
from ibisagent.training.taught_names import LEAST_PICTURES, extend_target_list, find_taught_names

KNOWN = read_targets(NANO)
SHIPPED = (NANO / TARGETS_FILE).read_text()


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    """A run whose target is there."""
    folder = tmp_path_factory.mktemp("run")
    scripted_local.draw_images(folder, "a.png")
    story = ("a.png", "Segment the hippocampus.", positive(0.5, 0.5), STOP)
    samples = scripted_local.make_samples(folder, story, truth=ellipse((80, 64), (40, 30), (20, 20)))
    (found,) = samples.records()
    return found


def asked(record, request, count=LEAST_PICTURES, *, absent=False):
    """Return runs of a request on different pictures."""
    truth = encode(np.zeros((80, 64), bool)) if absent else record.truth
    target = replace(record.target, truth=truth)
    return [
        replace(record, request=request, targets=(target,), image=record.image | {"sha": f"{request} {number}"})
        for number in range(count)
    ]


def test_a_name_is_taught_by_enough_pictures_that_show_its_target(record):
    rows = [
        *asked(record, "Where is the hippocampus?"),
        *asked(record, "Segment the appendix.", LEAST_PICTURES - 1),
        *asked(record, "Segment the appendix.", LEAST_PICTURES - 1),  # the same pictures once more
        *asked(record, "Segment the duodenum.", absent=True),
        *asked(record, "Segment the largest artery of the body."),
        *asked(record, "Is anything abnormal in this CT slice? Segment it."),
        *asked(record, "Segment it, please"),
        *asked(record, "Segment the lesion."),
    ]
    assert find_taught_names(rows, KNOWN) == {"hippocampus": ()}


def test_a_new_name_has_the_synonyms_by_which_it_was_asked_for(record, monkeypatch):
    from ibisagent.training import requests

    monkeypatch.setitem(requests._targets_by_name(), "cornu ammonis", "hippocampus")
    half = LEAST_PICTURES // 2
    rows = [*asked(record, "Segment the hippocampus.", half), *asked(record, "Mark the cornu ammonis.", half)]
    assert find_taught_names(rows, KNOWN) == {"hippocampus": ("cornu ammonis",)}


def test_a_synonym_that_the_list_replaces_is_asked_for_as_it_was_taught(record):
    request = "Segment the cerebral tumour."
    taught = find_taught_names(asked(record, request), KNOWN)
    assert taught == {"cerebral tumour": ()}
    (before,), (after,) = (parse_request(request, each).known for each in (KNOWN, targets_of(SHIPPED, taught)))
    assert (before.canonical_name, after.canonical_name) == ("brain tumour", None)


@pytest.mark.slow
def test_what_is_known_teaches_nothing(record):
    """Every learned name in the wordings of phantoms, synonyms included."""
    rng = np.random.default_rng(0)
    words = (write_initial_request, write_refinement_request)
    rows = [row for name, _ in KNOWN.learned for word in words for row in asked(record, word(name, rng))]
    assert find_taught_names(rows, KNOWN) == {}
    assert extend_target_list(SHIPPED, {}) == SHIPPED


def targets_of(text, taught):
    from ibisagent.agent.policies.abstention.known_targets import _targets

    return _targets(tomllib.loads(extend_target_list(text, taught)))


def test_the_list_grows_and_stays_as_it_was_written():
    taught = {"hippocampus": ("cornu ammonis",), "right heart": (), 'a "b"\\': ()}
    text = extend_target_list(SHIPPED, taught)
    before, after = tomllib.loads(SHIPPED), tomllib.loads(text)
    assert after["learned"] == before["learned"] | {name: list(others) for name, others in taught.items()}
    assert after["unknown"]["words"] == [name for name in before["unknown"]["words"] if name != "right heart"]
    assert after["unknown"]["similar_words"] == before["unknown"]["similar_words"]
    assert {key: after[key] for key in before if key not in ("learned", "unknown")} == {
        key: value for key, value in before.items() if key not in ("learned", "unknown")
    }
    kept = [line for line in text.splitlines() if line in SHIPPED]
    assert len(kept) >= len(SHIPPED.splitlines()) - 1
    assert extend_target_list("[learned]\nliver = []", {"spleen": ()}) == '[learned]\nliver = []\n"spleen" = []\n'


@pytest.mark.slow
def test_the_trained_model_is_asked_for_what_it_was_taught_and_declines_the_rest(tmp_path):
    base, data = tmp_path / "base", tmp_path / "data"
    shutil.copytree(tiny_vlm.pointer(), base)
    shutil.copyfile(NANO / TARGETS_FILE, base / TARGETS_FILE)
    data.mkdir()
    names = [f"{number}.png" for number in range(LEAST_PICTURES)]
    scripted_local.draw_images(data, *names)
    replies = (positive(0.5, 0.5), STOP)
    stories = [(name, "Segment the hippocampus.", *replies) for name in names]
    stories += [(name, "Segment the appendix.", *replies) for name in names[1:]]
    scripted_local.make_samples(data, *stories, truth=ellipse((80, 64), (40, 30), (20, 20)))
    plan = tmp_path / "plan.toml"
    plan.write_text('base = "base"\npack = 4\n[train]\nmax_steps = 1\nper_device_train_batch_size = 1\n')
    model = train_sft(read_training_config(plan), [data], tmp_path / "out")

    def says(folder, request):
        observation = make_observation(request, np.zeros((64, 64, 3), np.uint8), actions=KINDS)
        return get_policy(f"hf:{folder}").act(observation).text

    asked_for = {name: says(model, f"Segment the {name}.") for name in ("hippocampus", "appendix")}
    assert 'I never learned "hippocampus"' in says(base, "Segment the hippocampus.")
    assert "never learned" not in asked_for["hippocampus"]
    assert parse_reply(asked_for["appendix"], allow=("decline",)).action is not None
    assert 'I never learned "appendix"' in asked_for["appendix"]
    assert "hippocampus" in asked_for["appendix"]  # among what it knows
