"""The learner's mistakes: where each falls, how it is believed, labelled, undone and redone."""

import numpy as np
import pytest
from support.expert_runs import action_of, kinds, observation, run

from ibisagent.agent.reply_parser import parse_reply
from ibisagent.tools.clicks import Click, pixel_of
from ibisagent.tools.errors import InputError
from ibisagent.training.experts.expert import Teacher
from ibisagent.training.experts.noisy_expert import Learner, Mistakes

EMPTY = np.zeros((96, 128), bool)


def mistaken(kind, truth, pixels, seed=0, **changes):
    learner = Learner(Teacher(truth, "spleen", seed=seed), Mistakes(**{kind: 1.0}), seed)
    return learner.act(observation(pixels, **changes))


@pytest.mark.parametrize("kind", ["sloppy", "near", "mirrored", "elsewhere", "sign"])
def test_a_mistake_is_believed_and_labelled_with_what_is_right(pixels, truth, kind):
    part = truth & (np.indices(truth.shape)[1] < 70)
    for seed in range(10):
        said = mistaken(kind, truth, pixels, seed, mask=part)
        right = Teacher(truth, "spleen", seed=seed).act(observation(pixels, mask=part))
        assert (said.model, said.label) == ("mistake", right.text)
        made = parse_reply(said.text, strict=True)
        inside = bool(truth[pixel_of(made.action, truth.shape)])
        assert inside == (kind in ("sloppy", "sign"))
        assert made.action.positive == (kind != "sign")
        assert made.thought.startswith("The mask spills over" if kind == "sign" else "The mask misses a part")


def test_mistakes_keep_to_their_place(pixels, truth):
    from scipy.ndimage import distance_transform_edt

    away = distance_transform_edt(~truth)
    near = [away[pixel_of(action_of(mistaken("near", truth, pixels, seed)), truth.shape)] for seed in range(20)]
    assert (min(near) > 1, max(near) <= 0.08 * 128) == (True, True)
    mirrored = [pixel_of(action_of(mistaken("mirrored", truth, pixels, seed)), truth.shape) for seed in range(20)]
    assert all(truth[:, ::-1][pixel] for pixel in mirrored)
    sign_before_anything_is_marked = action_of(mistaken("sign", truth, pixels))
    assert sign_before_anything_is_marked.positive


def test_a_mistake_is_undone_and_redone_right_with_the_notice_between(pixels, truth):
    learner = Learner(Teacher(truth, "spleen"), Mistakes(elsewhere=1.0))
    record, seen = run(learner, pixels, "geodesic", max_steps=3)
    assert kinds(record) == ["point", "backtrack", "point"]
    wrong, _, right = record.steps
    assert [step.completion["model"] for step in record.steps] == ["mistake", "teacher", "teacher"]
    assert [step.completion["label"] is None for step in record.steps] == [False, True, True]
    assert len(wrong.undone) == 0
    assert right.undone == (wrong.action,)
    assert seen[2].undone == (seen[1].prompts[0],)
    assert truth[pixel_of(Click(right.action["x"], right.action["y"]), truth.shape)]


def test_something_is_taken_for_an_absent_target_then_undone_and_refused(pixels):
    record, _ = run(Learner(Teacher(EMPTY, "polyp"), Mistakes(elsewhere=1.0)), pixels)
    assert (kinds(record), record.stop) == (["point", "backtrack", "terminate"], "target_absent")


def test_a_learner_without_mistakes_is_its_teacher(pixels, truth):
    learnt, _ = run(Learner(Teacher(truth, "spleen"), Mistakes()), pixels)
    taught, _ = run(Teacher(truth, "spleen"), pixels)
    assert [step.reply for step in learnt.steps] == [step.reply for step in taught.steps]


def test_a_rate_is_spread_over_all_kinds():
    spread = Mistakes.of(0.4)
    assert sum((spread.sloppy, spread.near, spread.mirrored, spread.elsewhere, spread.sign)) == pytest.approx(0.4)
    assert min(spread.sloppy, spread.near, spread.mirrored, spread.elsewhere, spread.sign) > 0


def test_more_mistakes_than_clicks_are_refused():
    with pytest.raises(InputError, match="sum to 1 at most"):
        Mistakes(near=0.7, sign=0.7)
