"""The click benchmark: how many simulated clicks a segmenter needs (RITM's protocol, Sofiiuk et al. 2021).

`protocol` simulates clicks on one target, `bench` on those of a data set, `rows` are the stored results, `summary` and
`plot` the metrics.
"""

from ibisagent.evals.clicks.protocol import (
    DEFAULT_MODES,
    MODES,
    ClickRun,
    compute_click_ious,
    jittered_placement,
    number_of_clicks,
    simulate_clicks,
    simulate_clicks_on_image,
)

__all__ = [
    "DEFAULT_MODES",
    "MODES",
    "ClickRun",
    "compute_click_ious",
    "jittered_placement",
    "number_of_clicks",
    "simulate_clicks",
    "simulate_clicks_on_image",
]
