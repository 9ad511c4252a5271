"""What the benchmark counts."""

import pytest

from ibisagent.training.grpo.benchmark import _prepare, count_group_calls


@pytest.mark.slow
def test_a_group_on_one_picture_encodes_it_once_and_predicts_each_list_of_prompts_once(tmp_path):
    calls = count_group_calls(_prepare(tmp_path), 8)
    assert calls.encoder == 1
    assert 8 <= calls.turns <= calls.policy_pictures
    assert 1 < calls.decoder <= calls.prefixes
