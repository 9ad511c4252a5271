"""The click benchmark: how many simulated clicks a segmenter needs (RITM's protocol, Sofiiuk et al. 2021).

`protocol` clicks on one target, `bench` on those of a data set, `rows` are what is kept, `summary` and `plot` say what
came of it.
"""

from ibisagent.evals.clicks.protocol import MODES, ClickRun, simulate_clicks_on_image, compute_click_ious, number_of_clicks, simulate_clicks, jittered_placement

__all__ = ["MODES", "ClickRun", "simulate_clicks_on_image", "compute_click_ious", "number_of_clicks", "simulate_clicks", "jittered_placement"]
