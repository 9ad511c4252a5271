"""Labels a recorded run with what a person did in it, so that training learns that and nothing else of the run.

A label is the reply that is right in the state before a step (`ibisagent.agent.policies.base.Completion`). A person's
own step gets her action as its label. A reply of the policy that she undid or overrode gets the action that she took in
the very same state: supervised training learns it in the reply's place, preference training learns to prefer it. Every
other reply gets an empty label: nothing is learned of it.
"""

from collections import Counter
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from ibisagent.agent.actions import Terminate, from_plain
from ibisagent.agent.policies.base import Observation
from ibisagent.agent.prompting import PromptSet
from ibisagent.agent.state import DEFAULT_TARGET
from ibisagent.agent.trajectory import Step, Trajectory
from ibisagent.tools.masks.rle import decode
from ibisagent.training.corrections.person_actions import accepted_mask, find_replacements, standing_positions
from ibisagent.training.corrections.wording import name_target, snap_action, word_action
from ibisagent.training.experts.rationales import RationaleStyle
from ibisagent.training.rendering import StateRenderer
from ibisagent.training.samples import is_of_model, replaces_reply

__all__ = ["CorrectionKind", "CorrectionLabeler", "LabeledRun"]

CorrectionKind = Literal["sft", "dpo"]
"""What is labeled: a person's steps and the replies that they replace, or these replies alone."""


@dataclass(frozen=True, slots=True)
class LabeledRun:
    """A record with labels, None where it got none; ``learned``: their number by kind, ``left_out``: by reason."""

    record: Trajectory | None
    learned: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)


class CorrectionLabeler:
    """Labels records; ``style``, ``snap``: as of `ibisagent.training.experts.expert.ExpertConfig`."""

    def __init__(
        self, prompts: PromptSet, kind: CorrectionKind, style: RationaleStyle = "short", snap: float | None = 0.01
    ) -> None:
        """Take the words of the conversations, and what is labeled."""
        self._renderer, self._kind, self._style, self._snap = StateRenderer(prompts), kind, style, snap

    def label(self, record: Trajectory, image: Mapping[str, Any]) -> LabeledRun:
        """Label a record; ``image``: the reference of its picture, with a path that may be opened.

        A mask that the person accepted is its truth, where it has none.
        """
        accepted = accepted_mask(record)
        if record.truth is None and accepted is not None:
            targets = (replace(each, truth=accepted) if each.name == record.active else each for each in record.targets)
            record = replace(record, targets=tuple(targets))
        run = LabeledRun(record)
        shown = self._observe(record, image)
        labels: dict[int, str] = {}
        states = {position: _identify_state(record.steps[position], seen) for position, seen in shown.items()}
        for position, person, reason in find_replacements(record, states):
            if person is None:
                run.left_out[reason] += 1
            elif self._kind == "dpo" and not is_of_model(record, record.steps[position]):
                run.left_out["no model made the reply"] += 1
            elif (text := self._word(record, position, person, shown[position], run)) is not None:
                labels[position] = text
        if self._kind == "sft":
            for position in standing_positions(record):
                if (text := self._word(record, position, position, shown[position], run)) is not None:
                    labels[position] = text
        if not labels:
            return replace(run, record=None)
        steps = tuple(_with_label(step, labels.get(position)) for position, step in enumerate(record.steps))
        return replace(run, record=replace(record, steps=steps))

    def _observe(self, record: Trajectory, image: Mapping[str, Any]) -> dict[int, Observation]:
        """Return what was shown, or would have been, before each reply and each of a person's steps, by position."""
        positions = [position for position, step in enumerate(record.steps) if _is_seen(step)]
        rendered = self._renderer.render(record, image, _is_seen)
        # Of a long history only the present picture is needed.
        return {
            position: replace(each.observation, turns=()) for position, each in zip(positions, rendered, strict=True)
        }

    def _word(
        self, record: Trajectory, position: int, person: int, observation: Observation, run: LabeledRun
    ) -> str | None:
        """Word a person's step as the reply in the state before ``position``; None, and counted, where it cannot be."""
        step = record.steps[person]
        assert step.action is not None
        kind = step.action["type"]
        if kind not in record.config["actions"]:
            run.left_out[f"the policy was not offered the action {kind}"] += 1
            return None
        text = self._repeat_stop(record, person) or self._write(record, person, observation)
        if text is None:
            run.left_out["a question without an answer"] += 1
            return None
        if position != person and not replaces_reply(_with_label(record.steps[position], text)):
            run.left_out["the same action as the policy's"] += 1
            return None
        if position == person:
            run.learned[kind] += 1
        else:
            replaced = record.steps[position].action
            run.learned[f"{kind} in place of {replaced['type'] if replaced else 'rubbish'}"] += 1
        return text

    def _repeat_stop(self, record: Trajectory, person: int) -> str | None:
        """Return the policy's own words where the person accepts, as they are, what it stopped with."""
        before, step = record.steps[person - 1] if person else None, record.steps[person]
        agreed = before is not None and before.origin == "reply" and before.actor == "policy"
        if not agreed or before is None or before.action is None or step.action is None:
            return None
        same = before.action["type"] == step.action["type"] == "terminate" and before.target == step.target
        return before.reply if same and (record.answer or "") in (before.reply or "") else None

    def _write(self, record: Trajectory, person: int, observation: Observation) -> str | None:
        step = record.steps[person]
        action = from_plain(step.action or {})
        if self._snap is not None and step.view is None:
            truth = decode(record.truth) if record.truth is not None else None
            action = snap_action(action, self._snap, truth)
        answer = record.answer if person == len(record.steps) - 1 else None
        unmarked = not observation.mask.any() and not observation.prompts
        if isinstance(action, Terminate) and record.kind == "question" and unmarked:
            return None
        target = step.target if step.target != DEFAULT_TARGET else name_target(record.request)
        rng = np.random.default_rng([record.seed, step.index])
        return word_action(action, observation, target, self._style, rng, answer)


def _is_seen(step: Step) -> bool:
    return step.origin == "reply" or step.actor == "person"


def _identify_state(step: Step, shown: Observation) -> Hashable:
    """Return what tells a state from others, whatever was undone in it and however often it was asked about."""
    view = tuple(step.view) if step.view is not None else None
    return step.target, view, shown.mask.tobytes(), shown.prompts, shown.has_initial_mask, shown.request


def _with_label(step: Step, text: str | None) -> Step:
    """Return a step with a label, the empty one at replies of which nothing is learned."""
    if text is None and step.origin != "reply":
        return step
    return replace(step, completion=step.completion | {"label": text or ""})
