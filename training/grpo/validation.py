"""Validation in the middle of a training: greedy episodes on unseen cases, each compared with its own first run.

A reward can rise while what it stands for falls, so the weights that are kept are those with the best IoU, among those
that refuse absent targets and no present ones about as well as before the training.
"""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from accelerate import PartialState
from safetensors.torch import load_file, save_file
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ibisagent.agent.policies.local import LocalPolicy
from ibisagent.agent.trajectory import Trajectory
from ibisagent.evals.rewards import RewardConfig, score_trajectory
from ibisagent.evals.stats import Bootstrap, compare
from ibisagent.tools.files import atomic_write
from ibisagent.tools.masks.measure import iou
from ibisagent.tools.masks.rle import decode
from ibisagent.training.grpo.episodes import EpisodeRunner
from ibisagent.training.run_folder import write_json

__all__ = ["ValidationCallback", "best_update", "validation_figures"]

_MAX_LOSS = 0.03  # of the balanced accuracy of refusals
_BOOTSTRAP = Bootstrap(resamples=2000)
_BEST = "best.safetensors"

_logger = logging.getLogger(__name__)


class ValidationCallback(TrainerCallback):
    """Validates before the first update, at every so many, and after the last; keeps the best weights so far.

    ``validation.json`` in the training's folder holds the rows of each validation: a resumed training repeats none.
    """

    def __init__(self, runner: EpisodeRunner, reward: RewardConfig, every: int, out: Path) -> None:
        """Take a runner whose policy is greedy, over the cases to validate on; ``out``: the training's folder."""
        self._runner, self._reward, self._every, self._out = runner, reward, every, out
        self.results = self._read_results()
        self.metrics: dict[str, list[float]] | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **more: Any
    ) -> None:
        """Validate the policy as it is before the training."""
        del args, control
        if state.global_step == 0 and state.is_world_process_zero:
            self._validate(0, more["model"])

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **more: Any) -> None:
        """Validate at every so many updates, and log the figures with those of the update."""
        del args, control
        due = state.global_step % self._every == 0 or state.global_step >= state.max_steps
        if due and state.is_world_process_zero:
            self._validate(state.global_step, more["model"])
            figures = validation_figures(self.results[state.global_step], self.results[0])
            if self.metrics is not None:
                for name, value in figures.items():
                    self.metrics[f"validation/{name}"] = [value]
            if figures.get("reward_change", 0.0) > 0 and figures.get("iou_change_high", 0.0) < 0:
                _logger.warning("update %d: the reward rose and the IoU fell on unseen cases", state.global_step)

    def load_best(self, model: Any) -> int:
        """Load the best weights into the trained model; return the update that they are of.

        The first process validates; the others wait for it, and read what it found.
        """
        PartialState().wait_for_everyone()
        self.results = self._read_results()
        path = self._out / _BEST
        if path.is_file():
            model.load_state_dict(load_file(path), strict=False)
        return best_update(self.results)

    def _read_results(self) -> dict[int, list[dict[str, Any]]]:
        path = self._out / "validation.json"
        held = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        return {int(update): rows for update, rows in held.items()}

    def _validate(self, update: int, model: Any) -> None:
        if update not in self.results:
            was_training, policy = model.training, self._runner.policy
            assert isinstance(policy, LocalPolicy)
            policy.model = getattr(model, "module", model).eval()
            try:
                records = self._runner.record(range(len(self._runner.tasks)), seed=0, update=0)
            finally:
                model.train(was_training)
            self.results[update] = [self._row(number, record) for number, record in enumerate(records)]
            write_json(self._out / "validation.json", self.results)
        if best_update(self.results) == update:
            trained = {name: each.detach().cpu() for name, each in model.named_parameters() if each.requires_grad}
            with atomic_write(self._out / _BEST) as temporary:
                save_file({name: each.contiguous().clone() for name, each in trained.items()}, temporary)

    def _row(self, number: int, record: Trajectory | str) -> dict[str, Any]:
        case = self._runner.tasks.cases[number]
        row = {"case": case.id, "image": case.image.name, "present": case.present}
        reward = None if isinstance(record, str) else score_trajectory(record, self._reward, target=case.target)
        if reward is None or isinstance(record, str) or record.truth is None:
            return row | dict.fromkeys(("iou", "refused", "reward", "steps"))
        found = iou(decode(record.mask), decode(record.truth)) if case.present else None
        refused = float(record.stop == "target_absent")
        return row | {"iou": found, "refused": refused, "reward": reward.total, "steps": reward.terms.steps}


def validation_figures(rows: Sequence[dict[str, Any]], first: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Return figures of a validation, with the changes since the ``first`` one, paired by case, and their intervals.

    ``iou``: of present targets; ``accuracy``: the mean of the shares of absent targets refused and present ones not.
    Figures over nothing are left out, as are the ends of an interval over one picture.
    """
    figures, images = _levels(rows), [row["image"] for row in rows]
    for name in ("reward", "iou", "steps"):
        now, before = ([row[name] for row in some] for some in (rows, first))
        difference = compare(now, before, images, _BOOTSTRAP).difference
        ends = {"": difference.value, "_low": difference.low, "_high": difference.high}
        figures |= {f"{name}_change{end}": value for end, value in ends.items() if value is not None}
    return figures


def _levels(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    scored = [row for row in rows if row["reward"] is not None]
    if not scored:
        return {}
    figures = {"reward": fmean(row["reward"] for row in scored), "steps": fmean(row["steps"] for row in scored)}
    there, gone = ([row["refused"] for row in scored if row["present"] == known] for known in (True, False))
    if there:
        figures |= {"iou": fmean(row["iou"] for row in scored if row["present"]), "refused_present": fmean(there)}
    if gone:
        figures["refused_absent"] = fmean(gone)
    if there and gone:
        figures["accuracy"] = (figures["refused_absent"] + 1 - figures["refused_present"]) / 2
    return figures


def best_update(results: dict[int, list[dict[str, Any]]]) -> int:
    """Return the update with the best IoU whose accuracy of refusals is about that before the first, or better."""
    figures = {update: _levels(rows) for update, rows in results.items()}
    least = figures[0].get("accuracy", 0.0) - _MAX_LOSS
    allowed = [update for update in sorted(figures) if figures[update].get("accuracy", 1.0) >= least]
    return max(allowed, key=lambda update: figures[update].get("iou", 0.0))
