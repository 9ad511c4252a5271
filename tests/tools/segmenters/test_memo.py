"""The memo layer: once per image, once per list of prompts, also under threads and after a failure."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from conftest import ellipse
from support.fakes import CountingSegmenter

from ibisagent.tools.cache import OnceCache
from ibisagent.tools.clicks import Click
from ibisagent.tools.imaging.open_image import open_image
from ibisagent.tools.masks.rle import encode
from ibisagent.tools.segmenters.memo import Memo

A, B = Click(0.2, 0.2), Click(0.8, 0.8)


@pytest.fixture
def image(pixels):
    return open_image(pixels)


def test_a_prefix_is_shared_and_order_matters(image):
    segmenter = CountingSegmenter()
    memo = Memo(segmenter)
    memo.predict(image, None, (A, B))
    assert segmenter.predictions == 2
    memo.predict(image, None, (A,))
    assert segmenter.predictions == 2
    memo.predict(image, None, (B, A))
    assert (segmenter.predictions, segmenter.embeds) == (4, 1)


def test_initial_mask_and_image_are_part_of_the_key(image):
    segmenter = CountingSegmenter()
    memo = Memo(segmenter)
    initial = encode(ellipse())
    assert memo.predict(image, initial, ()).rle == initial
    other = open_image(255 - image.pixels)
    keys = {memo.predict(image, None, (A,)).key, memo.predict(image, initial, (A,)).key}
    memo.predict(other, None, (A,))
    assert (len(keys), segmenter.predictions, segmenter.embeds) == (2, 3, 2)


def test_what_was_evicted_is_rebuilt_the_same(image):
    small = Memo(CountingSegmenter(), max_bytes=1)
    first = small.predict(image, None, (A, B, A))
    small.predict(open_image(255 - image.pixels), None, (B,))
    assert small.predict(image, None, (A, B, A)).rle == first.rle


def test_targets_do_not_split_the_key(image):
    segmenter = CountingSegmenter()
    memo = Memo(segmenter)
    memo.predict(image, None, (Click(0.2, 0.2, target="liver"),))
    memo.predict(image, None, (A,))
    assert segmenter.predictions == 1


def test_threads_that_ask_at_once_cost_one_call(image):
    segmenter = CountingSegmenter()
    memo = Memo(segmenter)
    gate = threading.Barrier(8)

    def ask(_):
        gate.wait()
        return memo.predict(image, None, (A, B)).key

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(ask, range(8)))) == 1
    assert (segmenter.predictions, segmenter.embeds) == (2, 1)


def test_a_failure_is_not_kept(image):
    memo = Memo(CountingSegmenter(fails_at=1))
    with pytest.raises(RuntimeError):
        memo.predict(image, None, (A,))
    assert memo.predict(image, None, (A,)).prediction.mask.any()


def test_the_cache_drops_the_least_recently_used():
    cache = OnceCache(3, len)
    for word in ("a", "b", "c"):
        cache.get(word, lambda word=word: word)
    cache.get("a", lambda: "not made again")
    cache.get("dd", lambda: "dd")
    assert [cache.peek(key) for key in ("a", "b", "c", "dd")] == ["a", None, None, "dd"]


def test_predictions_cannot_be_changed(image):
    with pytest.raises(ValueError, match="read-only"):
        Memo(CountingSegmenter()).predict(image, None, (A,)).prediction.mask[0, 0] = True
    assert not np.shares_memory(image.pixels, Memo(CountingSegmenter()).predict(image, None, (A,)).prediction.mask)
