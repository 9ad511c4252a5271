"""The benchmarks measure something; how long it takes is never asserted."""

import pytest

from ibisagent.evals.bench import copy_cost, sam_table, step_costs
from ibisagent.evals.sam_cost import EpisodeCosts, episode_costs


@pytest.mark.parametrize("streaming", [False, True])
def test_every_step_but_the_first_is_measured(streaming):
    costs = step_costs(64, runs=2, streaming=streaming)
    assert len(costs) == 2 * 19
    assert all(cost > 0 for cost in costs)
    assert copy_cost(64, repeats=3) > 0


def test_an_episode_with_sam2_is_measured_beside_its_passes():
    costs = episode_costs(64, clicks=2, repeats=1)
    assert all(seconds > 0 for seconds in costs)
    assert costs.ours > costs.decoder
    table = sam_table(EpisodeCosts(encoder=0.6, decoder=0.02, ours=0.82, graph=0.84, official=0.8), 512, 10)
    assert list(table.columns[2].cells) == ["0.750", "0.025", "1.000", "1.025", "1.050", "1.000"]
