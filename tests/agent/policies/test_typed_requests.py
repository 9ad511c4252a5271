"""Requests as people type them: nano draws for them what it draws for the plain request, and answers by their names.

typed_requests.csv was written before any of it was tried; ``state``: the target is in the picture, is not, or was never
learned. What nano draws badly for the plain request as well is not counted: words are tested here, pictures elsewhere.
"""

import csv
import re
from functools import cache
from itertools import count, islice
from pathlib import Path

import pytest

from ibisagent.agent import build_graph
from ibisagent.agent.config import preset
from ibisagent.agent.episode import run_episode
from ibisagent.agent.policies import PolicyOptions, get_policy
from ibisagent.agent.policies.abstention import parse_request, read_targets
from ibisagent.agent.policies.local import NANO
from ibisagent.agent.proposers import open_proposer
from ibisagent.tools.masks.measure import iou
from ibisagent.tools.masks.rle import decode
from ibisagent.training.phantoms import draw

FIRST_SEED, PICTURES = 9_400_000, 1
LEAST_IOU, LEAST_SHARE = 0.5, 0.9
AMBIGUOUS = {"lesion", "tumor"}  # asked for as typed
NANOS = read_targets(NANO)
with (Path(__file__).parent / "typed_requests.csv").open() as file:
    TYPED = list(csv.DictReader(file))
phantom = cache(draw)


def test_they_are_understood_or_declined_and_never_as_another_target():
    declined = 0
    for row in TYPED:
        parsed = parse_request(row["request"], NANOS)
        meant = {row["target"]} | AMBIGUOUS if row["target"] else set()
        assert {mention.target for mention in parsed.known} <= meant, row
        assert parsed.unknown or row["target"], row
        declined += bool(parsed.unknown and row["target"])
    assert declined <= len(TYPED) / 20


def pictures_of(row):
    drawn = (phantom(row["modality"], seed) for seed in count(FIRST_SEED))
    where = {"present": lambda each: each.masks, "absent": lambda each: each.absent, "unknown": lambda each: [""]}
    return islice((each for each in drawn if row["target"] in where[row["state"]](each)), PICTURES)


def is_right(record, row, picture):
    """Whether the first mask is right, or a target that is not there is said to be so."""
    if row["state"] != "present":
        return record.stop == ("target_absent" if row["state"] == "absent" else "declined")
    first = record.start if record.start is not None else record.steps[0].mask
    return iou(decode(first), picture.masks[row["target"]]) >= LEAST_IOU


def other_names(answer, request):
    """Return the names of targets in an answer that the request does not contain."""
    names = sorted({" ".join(name.words) for name in NANOS.names if name.target}, key=len, reverse=True)
    said = re.findall(rf"\b({'|'.join(map(re.escape, names))})\b", answer.split("I know: ")[0].lower())
    return [name for name in said if name not in request.lower()]


@pytest.mark.slow
def test_the_first_mask_is_that_of_the_plain_request():
    options = PolicyOptions(local_only=True)
    policy = get_policy("nano", options)
    graph = build_graph(policy, "geocut", preset("default", max_steps=6), proposer=open_proposer(None, policy, options))

    @cache
    def run(modality, seed, request):
        return run_episode(graph, {"image": phantom(modality, seed).image, "request": request})

    right, counted, wrong = 0, 0, []
    for row in TYPED:
        for picture in pictures_of(row):
            record = run(picture.modality, picture.seed, row["request"])
            assert other_names(record.answer or "", row["request"]) == [], record.answer
            if row["target"]:
                plain = run(picture.modality, picture.seed, f"Segment the {row['target']}.")
                if not is_right(plain, row, picture):
                    continue
            counted += 1
            if record.stop == "declined" or is_right(record, row, picture):
                right += 1
            else:
                wrong.append((row["request"], picture.seed, record.stop, record.answer))
    assert counted > len(TYPED) * PICTURES / 2
    assert right >= LEAST_SHARE * counted, (right, counted, wrong)
