"""The benchmark of the loop's own cost measures something; how long it takes is never asserted."""

from ibisagent.evals.bench import copy_cost, step_costs


def test_every_step_but_the_first_is_measured():
    costs = step_costs(64, runs=2)
    assert len(costs) == 2 * 19
    assert all(cost > 0 for cost in costs)
    assert copy_cost(64, repeats=3) > 0
