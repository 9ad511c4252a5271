"""Instance metrics on labels worked by hand, and against every pair of instances."""

import numpy as np
import pytest
from scipy import ndimage

from ibisagent.evals.metrics import InstanceMetrics, instance_metrics
from ibisagent.tools.errors import InputError
from ibisagent.tools.masks.instances import Instances, instances

TRUTH = np.array(
    [
        [1, 1, 0, 2, 2, 2],
        [1, 1, 0, 2, 2, 2],
        [0, 0, 0, 0, 0, 0],
        [3, 3, 3, 3, 0, 4],
    ]
)


def measure(found, truth=TRUTH):
    return instance_metrics(Instances.of_labels(np.array(found)), Instances.of_labels(np.array(truth)))


def test_the_truth_itself_is_perfect():
    assert measure(TRUTH) == InstanceMetrics(4, 4, 4, 1.0, 0.0, 1.0)


def test_matches_misses_and_false_ones_by_hand():
    found = measure(
        [
            [1, 1, 0, 2, 2, 0],  # 1 of 4 pixels over 4: IoU 3 / 4; 2: 4 / 6
            [1, 0, 0, 2, 2, 0],
            [0, 0, 0, 0, 0, 0],
            [3, 3, 0, 0, 0, 0],  # 2 / 4 is not above a half
        ]
    )
    assert found == InstanceMetrics(3, 4, 2, 4 / 7, -0.25, pytest.approx(2 * (3 / 4 + 4 / 6) / 7))


def test_two_that_were_joined_match_the_larger_if_any():
    joined = np.where((TRUTH == 1) | (TRUTH == 2), 1, 0)
    assert measure(joined) == InstanceMetrics(1, 4, 1, 2 / 5, -0.75, pytest.approx(2 * (6 / 10) / 5))


def test_one_that_was_split_counts_twice():
    split = TRUTH.copy()
    split[3, 3] = 9
    found = measure(split)
    assert (found.instances, found.matches, found.count_error) == (5, 4, 0.25)
    assert found.panoptic_quality == pytest.approx(2 * (3 + 3 / 4) / 9)


@pytest.mark.parametrize(
    ("found", "truth", "expected"),
    [
        ([[0, 0]], [[0, 0]], InstanceMetrics(0, 0, 0, 1.0, 0.0, 1.0)),
        ([[0, 0]], [[0, 1]], InstanceMetrics(0, 1, 0, 0.0, -1.0, 0.0)),
        ([[0, 1]], [[0, 0]], InstanceMetrics(1, 0, 0, 0.0, None, 0.0)),
    ],
)
def test_pictures_without_instances(found, truth, expected):
    assert measure(found, truth) == expected


@pytest.mark.parametrize("seed", range(6))
def test_equals_every_pair_compared(seed):
    rng = np.random.default_rng(seed)
    truth = ndimage.gaussian_filter(rng.normal(size=(60, 80)), 2) > 0.05
    mask = ndimage.binary_dilation(truth) if seed % 2 else np.roll(truth, 1, axis=0)
    found, true = instances(mask), instances(truth)
    ious = []
    for one in range(1, found.count + 1):
        for other in range(1, true.count + 1):
            a, b = found.labels == one, true.labels == other
            ious.append((a & b).sum() / (a | b).sum())
    hits = [each for each in ious if each > 0.5]
    measured = instance_metrics(found, true)
    assert measured.matches == len(hits) > 0
    assert measured.panoptic_quality == pytest.approx(
        sum(hits) / (len(hits) + (found.count + true.count) / 2 - len(hits))
    )


def test_what_cannot_be_compared_is_refused():
    one, other = instances(np.ones((2, 2), bool)), instances(np.ones((2, 3), bool))
    with pytest.raises(InputError, match="expected the truth's"):
        instance_metrics(one, other)
    with pytest.raises(InputError, match="threshold"):
        instance_metrics(one, one, threshold=0.4)
