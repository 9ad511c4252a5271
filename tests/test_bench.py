"""The benchmark of the loop's own cost measures something; how long it takes is never asserted."""

import pytest

from ibisagent.evals.bench import copy_cost, step_costs


@pytest.mark.parametrize("streaming", [False, True])
def test_every_step_but_the_first_is_measured(streaming):
    costs = step_costs(64, runs=2, streaming=streaming)
    assert len(costs) == 2 * 19
    assert all(cost > 0 for cost in costs)
    assert copy_cost(64, repeats=3) > 0
