"""The fit of the segmenter's score: states of runs, a rule that ranks, a file that holds it."""

import json

import numpy as np
import pytest
from support.dataset_fixtures import write_organ_dataset

from ibisagent.tools.segmenters.confidence import NAMES, ScoreRule
from ibisagent.training.segmenter.score_fit import MeasuredState, fit_rule, main


def draw_states(count, seed=0):
    """States whose IoU follows two of the numbers, and one square."""
    rng = np.random.default_rng(seed)
    numbers = rng.normal(2, 1, (count, len(NAMES)))
    merit = 1.5 * (numbers[:, 0] - 2) - (numbers[:, 4] - 2) - 0.5 * (numbers[:, 6] - 2) ** 2
    values = 1 / (1 + np.exp(-merit - rng.normal(0, 0.2, count)))
    return [
        MeasuredState("drawn", str(index // 4), "random", 0.5, row.tolist(), float(value))
        for index, (row, value) in enumerate(zip(numbers, values, strict=True))
    ]


def test_a_fitted_rule_ranks_other_states_without_bias():
    rule, others = fit_rule(draw_states(900), l2=1e-3), draw_states(300, seed=1)
    scores = rule.estimate(np.array([state.numbers for state in others]))
    values = np.array([state.iou for state in others])
    assert np.corrcoef(scores, values)[0, 1] > 0.8
    assert abs((scores - values).mean()) < 0.03


def test_a_rule_survives_its_file():
    rule = fit_rule(draw_states(100))
    read = ScoreRule.from_json(rule.to_json())
    numbers = np.array([state.numbers for state in draw_states(20, seed=2)])
    assert np.allclose(read.estimate(numbers), rule.estimate(numbers), atol=1e-3)


def test_a_rule_of_other_numbers_is_refused():
    text = json.loads(fit_rule(draw_states(100)).to_json())
    text["names"][0] = "other"
    with pytest.raises(ValueError, match="fit it again"):
        ScoreRule.from_json(json.dumps(text))


def test_the_command_fits_a_folder_and_keeps_its_states(tmp_path, capsys):
    (tmp_path / "data").mkdir()
    write_organ_dataset(tmp_path / "data", 2, "request", lambda *_: "Segment it.")
    states, out = tmp_path / "states.jsonl", tmp_path / "rule.json"
    command = [str(tmp_path / "data"), "--states", str(states), "--out", str(out), "--run", "random", "--run", "expert"]
    main(command)
    kept = states.read_text()
    lines = [json.loads(line) for line in kept.splitlines()]
    assert {line["run"] for line in lines} == {"random", "expert"}
    assert all(len(line["numbers"]) == len(NAMES) and 0 <= line["iou"] <= 1 for line in lines)
    rule = ScoreRule.from_json(out.read_text())
    main(command)  # from the kept states
    assert states.read_text() == kept
    assert np.array_equal(ScoreRule.from_json(out.read_text()).weights, rule.weights)
    capsys.readouterr()
    main([*command, "--check"])
    assert "Spearman" in capsys.readouterr().out
