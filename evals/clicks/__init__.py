"""The click benchmark: how many simulated clicks a segmenter needs (RITM's protocol, Sofiiuk et al. 2021).

`protocol` clicks on one target, `bench` on those of a data set, `rows` are what is kept, `summary` and `plot` say what
came of it.
"""

from ibisagent.evals.clicks.protocol import MODES, Run, click_run, click_sequence, clicks_to, play, rough

__all__ = ["MODES", "Run", "click_run", "click_sequence", "clicks_to", "play", "rough"]
