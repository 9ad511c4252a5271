"""TRL's GRPO trainer over episodes of the graph: every turn is a row with its own picture."""

import time
from collections.abc import Sequence
from typing import Any

import torch
from accelerate.utils import gather_object
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer

from ibisagent.agent.policies.pointer import PointerForConditionalGeneration
from ibisagent.tools.errors import RunFailed
from ibisagent.tools.files import printable_text
from ibisagent.training.grpo.episodes import EpisodeRunner, Rollout, TurnRow
from ibisagent.training.grpo.estimator import Credit, Estimator, compute_advantages, row_weights
from ibisagent.training.grpo.log_prob_gate import LogProbGap, LogProbGate
from ibisagent.training.grpo.metrics import RolloutFacts, rollout_facts, rollout_metrics
from ibisagent.training.grpo.rows import pad_rows, to_batch
from ibisagent.training.grpo.served_policy import ServedPolicy
from ibisagent.training.resumable_checkpoints import ResumableCheckpoints
from ibisagent.training.scoring import require_pictures, score_by_logits

__all__ = ["GraphGRPOTrainer"]

_NO_TASK = "a batch is scored by its episodes"


class GraphGRPOTrainer(ResumableCheckpoints, GRPOTrainer):
    """Takes the place of TRL's rollouts, and for a pointer model of its log-probabilities; the rest is TRL's.

    TRL's losses, clipping, buffering, adapters and distribution are used as they are; its data set's prompts, chat
    templates, processors and reward functions are not. TRL scores replies by a fused head over hidden states, which
    cannot see what a pointer model drew: those are scored by their logits.
    """

    def __init__(
        self,
        *,
        args: GRPOConfig,
        runner: EpisodeRunner,
        estimator: Estimator,
        credit: Credit,
        gate: LogProbGate,
        picture_id: int,
        merge_size: int,
        **options: Any,
    ) -> None:
        """Take what `GRPOTrainer` does but reward functions; ``train_dataset`` has a column ``task``, a number.

        ``picture_id``: the token of a picture's features, ``merge_size`` x ``merge_size`` patches each.
        """
        untyped: Any = super()
        untyped.__init__(args=args, reward_funcs=[_unused], **options)
        self._chunks, self._group_size = int(args.steps_per_generation or 1), int(args.num_generations or 1)
        self._runner, self._estimator, self._credit, self._gate = runner, estimator, credit, gate
        self._picture_id, self._merge_size = picture_id, merge_size
        self._is_pointer = isinstance(self.accelerator.unwrap_model(self.model), PointerForConditionalGeneration)
        self._sampled: tuple[torch.Tensor, torch.Tensor] | None = None
        self._reply_ids = torch.zeros(0, 0)

    @property
    def metrics(self) -> dict[str, list[float]]:
        """What the next log of the training holds the means of, by name."""
        return self._metrics["train"]

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        """Return the batch of an update's rows: its tasks' episodes, their advantages, and their pictures."""
        begun = time.perf_counter()
        rollouts = self._roll_out([int(each["task"]) for each in inputs])
        rolled = time.perf_counter()
        facts: list[RolloutFacts] = gather_object([rollout_facts(rollout) for rollout in rollouts])
        self._require_some(facts, rollouts)
        rows, advantages = self._build_rows(rollouts, facts)
        batch = to_batch(
            rows,
            advantages,
            self._tokenizer.pad_token_id,
            self._picture_id,
            self.accelerator.device,
        )
        if self._is_pointer:
            del batch["mm_token_type_ids"]
        corrects = self.use_vllm and self.vllm_importance_sampling_correction
        if corrects or self.args.gradient_accumulation_steps % (self._chunks * self.num_iterations):
            batch["old_per_token_logps"] = self._score_old(batch)
        if corrects:
            ratio = torch.exp(batch["old_per_token_logps"] - batch["sampling_per_token_logps"])
            bounds = self.vllm_importance_sampling_clip_min, self.vllm_importance_sampling_clip_max
            batch["importance_sampling_ratio"] = ratio.clamp(*bounds)
        self._log_rollouts(facts, rolled - begun, time.perf_counter() - rolled)
        return batch

    def _roll_out(self, tasks: Sequence[int]) -> list[Rollout]:
        policy, drawn_by = self._runner.policy, {"seed": self.args.seed, "update": self.state.global_step}
        if isinstance(policy, ServedPolicy):
            if self.state.global_step != self._last_loaded_step:
                generation: Any = self.vllm_generation
                generation.sync_weights()  # by all processes
                self._last_loaded_step = self.state.global_step
            rollouts = self._runner.run(tasks, **drawn_by)
            if policy.fault is not None:
                raise RunFailed(f"update {self.state.global_step}: {policy.fault}")
            return rollouts
        core = self.accelerator.unwrap_model(self.model)
        was_training = core.training
        policy.model = core.eval()
        try:
            rollouts = self._runner.run(tasks, **drawn_by)
        finally:
            core.train(was_training)
        return rollouts

    def _require_some(self, facts: Sequence[RolloutFacts], rollouts: Sequence[Rollout]) -> None:
        """Raise `RunFailed` where no process has an episode to learn from."""
        if all(each.path is None for each in facts):
            failed = f"update {self.state.global_step}: every episode failed, the first with {rollouts[0].dropped}"
            raise RunFailed(f"{failed}; fix that, then run the same command again")

    def _build_rows(
        self, rollouts: Sequence[Rollout], facts: Sequence[RolloutFacts]
    ) -> tuple[list[TurnRow], list[float]]:
        """Return the rows of this process, as many as every other has, and the advantages of those with loss.

        Each process gathers figures of its rows within TRL's loss, which takes as many rows from all of them.
        """
        rows = [row for rollout in rollouts for row in rollout.rows]
        counts: list[int] = gather_object([len(rows)])
        spares: list[TurnRow] = rows[:1] if all(counts) else gather_object(rows[:1])
        padded = pad_rows(rows, spares[0], max(counts), self._chunks)
        scored = sum(each.path is not None for each in facts) / self.accelerator.num_processes
        advantages: list[float] = []
        for start in range(0, len(rollouts), self._group_size):
            paths = [rollout.path for rollout in rollouts[start : start + self._group_size]]
            for path, own in zip(paths, compute_advantages(paths, self._estimator, self._credit), strict=True):
                if path is not None:
                    weights = row_weights(path, len(padded), scored, self._estimator)
                    advantages += [each * weight for each, weight in zip(own, weights, strict=True)]
        return padded, advantages

    def _score_old(self, batch: dict[str, Any]) -> torch.Tensor:
        names = ("pixel_values", "image_grid_thw", "num_images", "mm_token_type_ids")
        with torch.no_grad():
            logps, _, _ = self._get_per_token_logps_and_entropies(
                self.model,
                torch.cat([batch["prompt_ids"], batch["completion_ids"]], dim=1),
                torch.cat([batch["prompt_mask"], batch["completion_mask"]], dim=1),
                batch["completion_ids"].shape[1],
                batch_size=len(batch["prompt_ids"]) // self._chunks,
                **{name: batch[name] for name in names if name in batch},
            )
        return logps

    def _get_per_token_logps_and_entropies(
        self,
        model: Any,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        compute_entropy: bool = False,
        **options: Any,
    ) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
        """Return what TRL does, (B, logits_to_keep) each; `RuntimeError` where a row's picture would not be seen."""
        require_pictures(input_ids, options.get("image_grid_thw"), self._picture_id, self._merge_size)
        scored: tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]
        if not self._is_pointer:
            scored = super()._get_per_token_logps_and_entropies(
                model, input_ids, attention_mask, logits_to_keep, batch_size, compute_entropy, **options
            )
        else:
            scored = self._score_by_logits(model, input_ids, attention_mask, logits_to_keep, batch_size, **options)
        self._check_log_probs(scored[0])
        return scored

    def _score_by_logits(
        self,
        model: Any,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        logits_to_keep: int,
        batch_size: int | None,
        *,
        pixel_values: torch.Tensor,
        image_grid_thw: torch.Tensor,
        num_images: list[int],
        **_: Any,
    ) -> tuple[torch.Tensor, torch.Tensor, None]:
        size, logps, entropies = batch_size or len(input_ids), [], []
        pictures = torch.split(pixel_values, image_grid_thw.prod(dim=1).tolist())
        for start in range(0, len(input_ids), size):
            part = slice(start, start + size)
            first, last = sum(num_images[:start]), sum(num_images[: start + size])
            with self.accelerator.autocast():
                scores = score_by_logits(
                    model,
                    input_ids[part],
                    attention_mask[part],
                    logits_to_keep,
                    self.temperature,
                    pixel_values=torch.cat(pictures[first:last]),
                )
            logps.append(scores.logps)
            entropies.append(scores.entropies)
        return torch.cat(logps), torch.cat(entropies), None

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        """Return TRL's loss, once the gate has compared the log-probabilities of new rows with the sampled ones."""
        every = self._chunks * self.num_iterations
        is_new = self.model.training and self._step % every < self.current_gradient_accumulation_steps
        self._sampled = (inputs["sampling_per_token_logps"], inputs["completion_mask"]) if is_new else None
        self._reply_ids = inputs["completion_ids"]
        try:
            loss: torch.Tensor = super()._compute_loss(model, inputs)  # type: ignore[no-untyped-call]
            return loss
        finally:
            self._sampled = None

    def _check_log_probs(self, logps: torch.Tensor) -> None:
        if self._sampled is None:
            return
        own = LogProbGap.of(logps, *self._sampled)
        gap = own.across(gather_object([own]))
        self._log("logp_gap_max", gap.max)
        self._log("logp_gap_mean", gap.mean)
        if (why := self._gate.why_closed(gap)) is not None:
            reply = self._tokenizer.decode(self._reply_ids[gap.row], skip_special_tokens=True)
            raise RunFailed(f"update {self.state.global_step}, reply {printable_text(reply[:60])!r}: {why}")

    def _log_rollouts(self, facts: Sequence[RolloutFacts], rollout_seconds: float, row_seconds: float) -> None:
        for name, value in rollout_metrics(facts, self._group_size).items():
            self._log(name, value)
        self._log("seconds/rollouts", rollout_seconds)
        self._log("seconds/rows", row_seconds)

    def _log(self, name: str, value: float) -> None:
        self._metrics["train" if self.model.training else "eval"][name].append(value)


def _unused(**_: Any) -> list[float]:
    raise AssertionError(_NO_TASK)
