"""Behavior metrics, counted by hand from rows."""

import pytest

from ibisagent.evals.behavior_metrics import behavior_metrics
from ibisagent.evals.stats import Bootstrap

BOOTSTRAP = Bootstrap(resamples=0)


def row(**changes):
    number = changes.pop("image", None)
    found = {
        "true_area_px": 9,
        "stop": "terminated",
        "first_click_hit": None,
        "length": 1,
        "turns": 2,
        "valid_actions": 2,
        "iou": 0.0,
    }
    return found | {"start": None, "start_iou": None, "start_undone": None, "image": number} | changes


def values(*rows):
    return {name: (found.value, found.n) for name, found in behavior_metrics(rows, 0.5, BOOTSTRAP).items()}


def test_refusals_are_counted_by_whether_the_target_is_there():
    gone = {"true_area_px": 0, "stop": "target_absent", "length": 0, "turns": 1, "valid_actions": 1}
    rows = [
        row(**gone),
        row(**gone),
        row(true_area_px=0, stop="max_steps", length=4, turns=4, valid_actions=1, first_click_hit=False),
        row(stop="target_absent", length=0, turns=1, valid_actions=1),
        row(first_click_hit=True),
        row(first_click_hit=False),
        row(first_click_hit=True, length=3, turns=4, valid_actions=4),
    ]
    assert values(*rows) == {
        "refusal_rate": (pytest.approx(2 / 3), 3),
        "false_refusal_rate": (0.25, 4),
        "decline_rate": (0.0, 7),
        "first_click_hit_rate": (pytest.approx(2 / 3), 3),
        "length": (pytest.approx(9 / 7), 7),
        "valid_action_rate": (pytest.approx(12 / 15), 7),
    }


def with_start(start, met, final, undone):
    return row(start=start, start_iou=met, iou=final, start_undone=undone)


def test_start_metrics_cover_only_the_runs_with_an_initial_condition():
    rows = [row(iou=0.9), with_start("perturbed_mask", 0.5, 0.6, False), with_start("perturbed_mask", 0.7, 0.6, True)]
    found = values(*rows)
    assert {name: found[name] for name in ("start_iou", "improved", "start_undone", "recovered")} == {
        **{"start_iou": (pytest.approx(0.6), 2), "improved": (0.5, 2), "start_undone": (0.5, 2)},
        "recovered": (None, 0),
    }


@pytest.mark.parametrize(
    ("met", "final", "undone", "recovered"),
    [
        (0.1, 0.0, True, 1.0),
        (0.1, 0.8, False, 1.0),
        (0.1, 0.45, False, 0.0),
        (0.6, 0.62, False, 0.0),
        (0.6, 0.7, False, 1.0),
        (0.6, 0.2, False, 0.0),
    ],
    ids=["undone", "right in the end", "still wrong", "as it was", "clearly better", "worse"],
)
def test_a_run_recovers_from_a_distractor_click_when_it_is_undone_or_left_behind(met, final, undone, recovered):
    assert values(with_start("distractor_click", met, final, undone))["recovered"] == (recovered, 1)


def test_of_no_rows_there_is_nothing_to_say():
    names = (
        "refusal_rate",
        "false_refusal_rate",
        "decline_rate",
        "first_click_hit_rate",
        "length",
        "valid_action_rate",
    )
    assert values() == dict.fromkeys(names, (None, 0))
