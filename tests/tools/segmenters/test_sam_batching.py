"""Calls of several threads that a SAM answers in one batch."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from support import tiny_sam

from ibisagent.tools.clicks import Click
from ibisagent.tools.segmenters import get_segmenter


def test_a_segmenter_gathers_the_calls_of_its_threads_within_the_tolerance():
    segmenter = get_segmenter(f"{tiny_sam.get_tiny_name('sam')}?batch=1")
    alone = tiny_sam.open_tiny("sam")
    pictures = [np.random.default_rng(seed).integers(0, 256, (90, 120), dtype=np.uint8) for seed in (0, 1)]
    jobs = [(segmenter.embed(picture), (Click(x, 0.5),)) for picture in pictures for x in (0.1, 0.3, 0.5, 0.7, 0.9)]
    with ThreadPoolExecutor(len(jobs)) as pool:
        answers = list(pool.map(lambda job: segmenter.predict(*job, None), jobs))
    for answer, job in zip(answers, jobs, strict=True):
        expected = alone.predict(*job, None)
        assert (answer.mask != expected.mask).mean() < 1e-4
        assert np.abs(answer.prior.logits - expected.prior.logits).max() < 1e-4
