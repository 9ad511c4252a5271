"""The loop as an environment: what it shows and pays is what the graph and the rollouts of a training show and pay."""

import math

import numpy as np
import pytest
from support.grpo_runs import write_tasks

from ibisagent.agent import Click, LoopConfig, ScriptedPolicy, Terminate, build_graph
from ibisagent.agent.actions import write_reply
from ibisagent.agent.episode import run_episode
from ibisagent.agent.policies import Completion
from ibisagent.agent.policies.local import NANO, PROFILE, open_local
from ibisagent.agent.prompting import load_prompts
from ibisagent.evals.rewards import REWARD_PRESETS, score_trajectory
from ibisagent.tools.datasets import read_dataset
from ibisagent.tools.errors import InputError
from ibisagent.tools.segmenters import get_segmenter
from ibisagent.training.environment import SegmentationEnvironment
from ibisagent.training.grpo.episodes import EpisodeRunner
from ibisagent.training.grpo.tasks import TaskSet


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    return read_dataset(write_tasks(tmp_path_factory.mktemp("tasks") / "set"))


@pytest.fixture(scope="module")
def rollouts(cases):
    """Episodes of nano by the code of a training, in each context, with their rewards and rows."""
    policy, prompts = (
        open_local(NANO, name="nano", temperature=1.0, logprobs=True, max_tokens=40),
        load_prompts(NANO / PROFILE),
    )
    made = {}
    for context in ("stateless", "history"):
        loop = LoopConfig(max_steps=3, context=context)
        runner = EpisodeRunner(
            policy, prompts, TaskSet(cases), REWARD_PRESETS["default"], segmenter="geocut", loop=loop, workers=8
        )
        made[context] = runner.run([*range(3), *range(3)], seed=1, update=0)
    return policy, prompts, made


def completion_of(step):
    return Completion(step.reply, **{name: value for name, value in step.completion.items() if name != "label"})


def masks(record):
    return [record.start, *(step.mask for step in record.steps), record.mask]


@pytest.mark.parametrize("context", ["stateless", "history"])
def test_recorded_replies_are_the_same_run_in_graph_rollouts_and_environment(cases, rollouts, context):
    policy, prompts, made = rollouts
    config = LoopConfig(max_steps=3, context=context)
    environment = SegmentationEnvironment(cases, config=config, prompts=prompts)
    turns = 0
    for rollout in made[context]:
        case, record = cases[rollout.task], rollout.record
        replies = [completion_of(step) for step in record.steps if step.origin == "reply"]
        image = case.open()
        script = ScriptedPolicy(replies)
        script.actions = prompts.kinds
        graph = build_graph(script, "geocut", config, proposer="none")
        bare = run_episode(graph, {"image": image, "request": case.request}, truth=case.read_truth(image))
        environment.reset(options={"case": rollout.task})
        rewards = []
        for row, reply in zip(rollout.rows, replies, strict=True):
            encoded = policy.inputs.encode(environment.conversation)
            assert encoded.ids == row.prompt_ids
            assert encoded.patches.tobytes() == row.patches.tobytes()
            assert encoded.grid.tobytes() == row.grid.tobytes()
            _, reward, terminated, truncated, info = environment.step(reply)
            rewards.append(reward)
            turns += 1
        assert terminated != truncated
        assert masks(info["record"]) == masks(record) == masks(bare)
        assert info["stop"] == record.stop == bare.stop
        for ours, theirs in zip(info["record"].steps, record.steps, strict=True):
            assert (ours.action, ours.outcome, ours.error, ours.undone) == (
                theirs.action,
                theirs.outcome,
                theirs.error,
                theirs.undone,
            )
            assert ours.completion["token_ids"] == theirs.completion["token_ids"]
            assert ours.completion["logprobs"] == theirs.completion["logprobs"]
        assert info["score"] == rollout.reward == score_trajectory(bare, target=case.target)
        credit = [turn.reward for turn in rollout.reward.turns]
        assert rewards[:-1] == credit[:-1]
        assert rewards[-1] == pytest.approx(credit[-1] + rollout.reward.rest, abs=1e-12)
        assert sum(rewards) == pytest.approx(rollout.reward.total, abs=1e-12)
    assert turns > 8


def test_pictures_shown_are_those_of_the_graph(cases, rollouts):
    """Byte by byte, without a processor between."""
    _, prompts, made = rollouts
    rollout = max(made["stateless"], key=lambda each: len(each.rows))
    replies = [completion_of(step) for step in rollout.record.steps]
    seen, script = [], ScriptedPolicy(replies)
    act = script.act
    script.act = lambda observation: seen.append(observation) or act(observation)
    graph = build_graph(script, "geocut", LoopConfig(max_steps=3), proposer="none")
    graph.invoke({"image": cases[rollout.task].open(), "request": cases[rollout.task].request})
    environment = SegmentationEnvironment(cases, config=LoopConfig(max_steps=3), prompts=prompts)
    shown = [environment.reset(options={"case": rollout.task})[0]]
    shown += [environment.step(reply)[0] for reply in replies[:-1]]
    assert len(shown) == len(seen) > 1
    for ours, theirs in zip(shown, seen, strict=True):
        assert ours.picture.tobytes() == theirs.picture.tobytes()
        assert ours.mask.tobytes() == theirs.mask.tobytes()
        assert (ours.request, ours.step, ours.prompts, ours.undone) == (
            theirs.request,
            theirs.step,
            theirs.prompts,
            theirs.undone,
        )


@pytest.mark.parametrize("preset", ["default", "paper"])
def test_an_episode_by_words(cases, preset):
    number = next(number for number, case in enumerate(cases) if case.present)
    y, x = np.argwhere(cases[number].read_truth(image := cases[number].open()))[0]
    height, width = image.pixels.shape[:2]
    environment = SegmentationEnvironment(cases, reward=REWARD_PRESETS[preset])
    observation, info = environment.reset(options={"case": number})
    assert (info["case"], info["iou"], observation.step) == (cases[number].id, 0.0, 0)
    replies = (
        "I do not know what to do.",
        write_reply("Here.", Click((x + 0.5) / width, (y + 0.5) / height)),
        write_reply("It fits.", Terminate(), f"The {cases[number].target}."),
    )
    given = []
    for reply in replies:
        observation, reward, terminated, truncated, info = environment.step(reply)
        given.append(reward)
        if len(given) == 1:
            assert observation.feedback
            assert not terminated
            assert not info["iou"]
    assert (terminated, truncated, info["stop"]) == (True, False, "terminated")
    assert sum(given) == pytest.approx(info["score"].total)
    assert [step.outcome for step in environment.record.steps] == ["unparseable", "applied", "applied"]
    with pytest.raises(RuntimeError, match="the episode is over; call reset"):
        environment.step(replies[-1])


def test_limits_truncate_and_failures_have_no_reward(cases):
    number = next(number for number, case in enumerate(cases) if case.present)
    click = write_reply("Here.", Click(0.5, 0.5))
    short = SegmentationEnvironment(cases, config=LoopConfig(max_steps=1))
    short.reset(options={"case": number})
    _, reward, terminated, truncated, info = short.step(click)
    assert (terminated, truncated, info["stop"]) == (False, True, "max_steps")
    assert reward == info["score"].total

    class Failing:
        def __getattr__(self, name):
            return getattr(get_segmenter("geocut"), name)

        def predict(self, *_):
            raise RuntimeError("out of memory")

    broken = SegmentationEnvironment(cases, Failing())
    broken.reset(options={"case": number})
    _, reward, terminated, truncated, info = broken.step(click)
    assert math.isnan(reward)
    assert (terminated, truncated, info["score"]) == (False, True, None)
    assert info["dropped"].startswith("segmenter_error: ")


def test_cases_are_drawn_by_the_seed_and_what_cannot_run_is_refused(cases):
    environment = SegmentationEnvironment(cases)

    def drawn(seed):
        first = environment.reset(seed=seed)[1]["number"]
        return [first, *(environment.reset()[1]["number"] for _ in range(6))]

    assert drawn(3) == drawn(3)
    assert drawn(3) != drawn(4)
    with pytest.raises(InputError, match="got no cases, expected one or more"):
        SegmentationEnvironment([])
    with pytest.raises(InputError, match="got review=True"):
        SegmentationEnvironment(cases, config=LoopConfig(review=True))
    with pytest.raises(RuntimeError, match="there is no episode yet; call reset"):
        SegmentationEnvironment(cases).step("Terminate")
