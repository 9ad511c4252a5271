"""The mistakes of a noisy expert: where each falls, how it is worded, labelled, undone and corrected."""

import numpy as np
import pytest
from support.expert_runs import action_of, kinds, observation, run

from ibisagent.agent.reply_parser import parse_reply
from ibisagent.tools.clicks import Click, click_to_pixel
from ibisagent.tools.errors import InputError
from ibisagent.training.experts.expert import Expert
from ibisagent.training.experts.noisy_expert import MistakeRates, NoisyExpert

EMPTY = np.zeros((96, 128), bool)


def mistaken(kind, truth, pixels, seed=0, **changes):
    noisy = NoisyExpert(Expert(truth, "spleen", seed=seed), MistakeRates(**{kind: 1.0}), seed)
    return noisy.act(observation(pixels, **changes))


@pytest.mark.parametrize("kind", ["sloppy", "near", "mirrored", "elsewhere", "sign"])
def test_a_mistake_is_believed_and_labelled_with_what_is_right(pixels, truth, kind):
    part = truth & (np.indices(truth.shape)[1] < 70)
    for seed in range(10):
        said = mistaken(kind, truth, pixels, seed, mask=part)
        right = Expert(truth, "spleen", seed=seed).act(observation(pixels, mask=part))
        assert (said.model, said.label) == ("mistake", right.text)
        made = parse_reply(said.text, strict=True)
        inside = bool(truth[click_to_pixel(made.action, truth.shape)])
        assert inside == (kind in ("sloppy", "sign"))
        assert made.action.positive == (kind != "sign")
        assert made.thought.startswith("The mask spills over" if kind == "sign" else "The mask misses a part")


def test_mistakes_keep_to_their_place(pixels, truth):
    from scipy.ndimage import distance_transform_edt

    away = distance_transform_edt(~truth)
    near = [away[click_to_pixel(action_of(mistaken("near", truth, pixels, seed)), truth.shape)] for seed in range(20)]
    assert (min(near) > 1, max(near) <= 0.08 * 128) == (True, True)
    mirrored = [click_to_pixel(action_of(mistaken("mirrored", truth, pixels, seed)), truth.shape) for seed in range(20)]
    assert all(truth[:, ::-1][pixel] for pixel in mirrored)
    sign_before_anything_is_marked = action_of(mistaken("sign", truth, pixels))
    assert sign_before_anything_is_marked.positive


def test_a_mistake_is_undone_and_redone_right_with_the_notice_between(pixels, truth):
    noisy = NoisyExpert(Expert(truth, "spleen"), MistakeRates(elsewhere=1.0))
    record, seen = run(noisy, pixels, "geodesic", max_steps=3)
    assert kinds(record) == ["point", "backtrack", "point"]
    wrong, _, right = record.steps
    assert [step.completion["model"] for step in record.steps] == ["mistake", "expert", "expert"]
    assert [step.completion["label"] is None for step in record.steps] == [False, True, True]
    assert len(wrong.undone) == 0
    assert right.undone == (wrong.action,)
    assert seen[2].undone == (seen[1].prompts[0],)
    assert truth[click_to_pixel(Click(right.action["x"], right.action["y"]), truth.shape)]


def test_something_is_taken_for_an_absent_target_then_undone_and_refused(pixels):
    record, _ = run(NoisyExpert(Expert(EMPTY, "polyp"), MistakeRates(elsewhere=1.0)), pixels)
    assert (kinds(record), record.stop) == (["point", "backtrack", "terminate"], "target_absent")


def test_a_noisy_expert_without_mistakes_is_its_expert(pixels, truth):
    learnt, _ = run(NoisyExpert(Expert(truth, "spleen"), MistakeRates()), pixels)
    taught, _ = run(Expert(truth, "spleen"), pixels)
    assert [step.reply for step in learnt.steps] == [step.reply for step in taught.steps]


def test_a_rate_is_spread_over_all_kinds():
    spread = MistakeRates.from_total(0.4)
    assert sum((spread.sloppy, spread.near, spread.mirrored, spread.elsewhere, spread.sign)) == pytest.approx(0.4)
    assert min(spread.sloppy, spread.near, spread.mirrored, spread.elsewhere, spread.sign) > 0


def test_more_mistakes_than_clicks_are_refused():
    with pytest.raises(InputError, match="sum to 1 at most"):
        MistakeRates(near=0.7, sign=0.7)
