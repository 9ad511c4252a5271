"""The benchmarks measure something; how long it takes is never asserted."""

import pytest

from ibisagent.evals.benchmarks.loop_cost import measure_copy_cost, measure_step_costs, policy_table, sam_table
from ibisagent.evals.benchmarks.policy_cost import LoopCosts, build_random_qwen, measure_loop_costs
from ibisagent.evals.benchmarks.sam_cost import EpisodeCosts, build_tiny_sam, measure_episode_costs
from ibisagent.evals.benchmarks.segmenter_cost import measure_call_costs
from ibisagent.tools.segmenters import get_segmenter


def test_every_step_but_the_first_is_measured_beside_as_many_empty_ones():
    for costs in measure_step_costs(64, runs=2):
        assert [len(each) for each in costs] == [2 * 19] * 2
        assert all(cost > 0 for each in costs for cost in each)
    assert measure_copy_cost(64, repeats=3) > 0


def test_a_segmenters_calls_are_measured_apart():
    costs = measure_call_costs(get_segmenter("geocut"), 64, pictures=2, colour=True)
    assert [len(part) for part in costs] == [2, 2, 14]
    assert min(costs.first) > 0


def test_an_episode_with_sam2_is_measured_beside_its_passes():
    costs = measure_episode_costs(64, clicks=2, repeats=1)
    assert all(seconds > 0 for seconds in costs)
    assert costs.ours > costs.decoder
    table = sam_table(EpisodeCosts(encoder=0.6, decoder=0.02, ours=0.82, graph=0.84, official=0.8), 512, 10)
    assert list(table.columns[2].cells) == ["0.750", "0.025", "1.000", "1.025", "1.050", "1.000"]


@pytest.mark.slow
def test_episodes_with_a_language_model_are_measured_beside_the_released_steps():
    costs = measure_loop_costs(
        build_random_qwen(hidden=64, layers=1), build_tiny_sam(64), side=64, clicks=1, episodes=3, repeats=1
    )
    assert (costs.episodes, costs.replies, costs.differing_replies) == (3, 6, ())
    assert min(costs.single, costs.official, costs.concurrent, costs.sequential, costs.official_sequential) > 0
    assert min(costs.reply_single, costs.reply_concurrent) > 0
    told = LoopCosts(16, 1.8, 2.0, 7.0, 28.0, 20.0, 0.4, 0.1, replies=80, differing_replies=((3, 2),))
    table = policy_table(told)
    assert list(table.columns[3].cells) == ["0.90", "0.35", "0.25", "0.25"]
    assert table.caption == "98.8% of 80 replies equal token by token; others: episode 3, turn 2"
