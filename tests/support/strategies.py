"""Hypothesis strategies that several tests share."""

from hypothesis import strategies as st

from ibisagent.agent.actions import Action, Backtrack, Decline, Terminate
from ibisagent.tools.clicks import Box, Click, Similar


def actions(numbers: st.SearchStrategy[float], targets: st.SearchStrategy[str | None]) -> st.SearchStrategy[Action]:
    """Every kind of action, with unit coordinates out of ``numbers`` and names out of ``targets``."""
    pairs = st.tuples(numbers, numbers).filter(lambda pair: pair[0] != pair[1]).map(sorted)
    return st.one_of(
        st.builds(Click, numbers, numbers, st.booleans(), targets),
        st.builds(lambda x, y, target: Box(x[0], y[0], x[1], y[1], target), pairs, pairs, targets),
        st.builds(Similar, numbers, numbers, st.booleans(), targets),
        st.builds(Backtrack, targets),
        st.builds(Terminate, targets),
        st.builds(Decline, targets),
    )
