"""Builds the trainer of a GRPO training: TRL's settings, the policy that rolls out, the data set of tasks."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from trl.trainer.grpo_config import GRPOConfig

from ibisagent.agent.config import LoopConfig
from ibisagent.agent.coordinates import model_profile
from ibisagent.agent.policies.local import LocalPolicy, QwenInputs
from ibisagent.agent.policies.pointer import PointerForConditionalGeneration
from ibisagent.agent.prompting import PromptSet, load_prompts
from ibisagent.tools.errors import InputError, MissingExtra, RunFailed, describe_error
from ibisagent.training.config_files import build_settings
from ibisagent.training.grpo.config import GRPOTraining
from ibisagent.training.grpo.episodes import EpisodeRunner
from ibisagent.training.grpo.launched_processes import count_processes, refuse_parted_weights
from ibisagent.training.grpo.log_prob_gate import LogProbGate
from ibisagent.training.grpo.served_policy import ServedPolicy
from ibisagent.training.grpo.tasks import TaskSet, order_tasks
from ibisagent.training.grpo.trainer import GraphGRPOTrainer
from ibisagent.training.model_folder import build_lora_config, freeze_modules, open_trainable
from ibisagent.training.training_run import StartModel

__all__ = ["TrainedPolicy", "build_grpo_config", "build_grpo_trainer"]

_DEFAULTS = {
    "activation_checkpointing": False,  # its older name, which TRL sets, gives way to it
    "bf16": False,
    "beta": 0.0,
    "disable_dropout": True,
    "disable_tqdm": True,
    "logging_steps": 1,
    "remove_unused_columns": False,
    "report_to": "none",
    "shuffle_dataset": False,  # `order_tasks` does
}
_FIXED = (
    *("output_dir", "remove_unused_columns", "loss_type", "beta", "temperature", "top_p", "top_k", "min_p"),
    *("per_device_train_batch_size", "steps_per_generation", "gradient_accumulation_steps", "generation_batch_size"),
    *("num_generations", "max_completion_length", "repetition_penalty", "gradient_checkpointing"),
    *("shuffle_dataset", "use_vllm", "vllm_mode", "vllm_server_base_url", "vllm_importance_sampling_mode"),
)
_SERVED = {
    "use_vllm": True,
    "vllm_mode": "server",
    # Weighs each token by what the trainer's probability is to the server's, which rounds otherwise, at most by 2.
    "vllm_importance_sampling_mode": "token_truncate",
    "vllm_importance_sampling_clip_max": 2.0,
}
_LOSSES = {"paper": "grpo", "dr_grpo": "dr_grpo"}
_CONTROL = ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id", "turn_token_id")


def build_grpo_config(config: GRPOTraining, checkpoints: Path, max_tokens: int) -> GRPOConfig:
    """Return TRL's settings; `InputError` for those that do not exist, or that are not a training's to choose.

    An update is one optimizer step on the rows of its tasks, which all processes share. ``max_tokens``: of a reply.
    """
    fixed = sorted(config.train.keys() & set(_FIXED))
    if fixed:
        raise InputError(f"[train]: got {fixed[0]!r}, expected settings without it; leave it out, see [rollouts]")
    refuse_parted_weights(config.train)
    rollouts = config.rollouts
    processes = count_processes()
    own_tasks, left_over = divmod(rollouts.tasks, processes)
    if left_over or own_tasks * rollouts.group_size % rollouts.chunks:
        got = f"got {rollouts.tasks} tasks in {rollouts.chunks} chunks for {processes} processes"
        expected = "expected as many for each, and chunks of equal size"
        raise InputError(f"[rollouts]: {got}, {expected}; change tasks or chunks")
    ours = _DEFAULTS | {
        "output_dir": str(checkpoints),
        "use_cpu": not torch.cuda.is_available(),
        "loss_type": _LOSSES[config.estimator],
        "num_generations": rollouts.group_size,
        "per_device_train_batch_size": own_tasks * rollouts.group_size // rollouts.chunks,
        "steps_per_generation": rollouts.chunks,
        "gradient_accumulation_steps": rollouts.chunks,
        "temperature": rollouts.temperature,
        "max_completion_length": max_tokens,
    }
    if rollouts.server:
        ours |= _SERVED | {"vllm_server_base_url": rollouts.server}
    return build_settings(GRPOConfig, config.train, "train", **ours)


@dataclass(frozen=True, slots=True, eq=False)
class TrainedPolicy:
    """The model that is trained with what its policy needs: inputs, prompts, profile of coordinates, tokens a reply."""

    model: Any
    inputs: QwenInputs
    prompts: PromptSet
    coordinates: str
    max_tokens: int

    @classmethod
    def open(cls, start: StartModel, config: GRPOTraining) -> "TrainedPolicy":
        """Open a model as GRPO trains it, without a proposal of its own."""
        model, inputs = open_trainable(
            start.folder,
            dtype=config.dtype,
            attn_implementation=config.attn_implementation,
            max_pixels=config.max_pixels,
        )
        freeze_modules(model, config.freeze)
        family = "unit" if start.profile else model_profile(f"{start.folder.name} {model.config.model_type}")
        return cls(model, inputs, load_prompts(start.prompt_file), family, start.max_tokens)

    def build_runner(self, config: GRPOTraining, tasks: TaskSet, temperature: float) -> EpisodeRunner:
        """Return what runs episodes over the same weights, at a ``temperature``; at 0 greedy, and never by a server."""
        control = sorted({found for name in _CONTROL if (found := getattr(self.model.config, name, None)) is not None})
        server = config.rollouts.server if temperature > 0 else None
        return EpisodeRunner(
            self._build_local(temperature, control) if server is None else self._build_served(server, temperature),
            self.prompts,
            tasks,
            config.reward,
            segmenter=config.rollouts.segmenter,
            loop=LoopConfig(max_steps=config.rollouts.max_steps, context=config.rollouts.context),
            workers=config.rollouts.workers,
            control_ids=control,
            replay_starts=config.rollouts.replay_starts,
        )

    def _build_local(self, temperature: float, control: list[int]) -> LocalPolicy:
        return LocalPolicy(
            self.model,
            self.inputs,
            prompts=self.prompts,
            name="trained",
            temperature=temperature,
            max_tokens=self.max_tokens,
            coordinates=self.coordinates,
            logprobs=temperature > 0,
            suppressed_ids=control,
        )

    def _build_served(self, server: str, temperature: float) -> ServedPolicy:
        if isinstance(self.model, PointerForConditionalGeneration):
            got, expected = "got a pointer model", "expected one of the Qwen-VL family, which vLLM serves"
            raise InputError(f"[rollouts]: {got}, {expected}; leave rollouts.server out")
        eos = self.model.generation_config.eos_token_id
        ends = {self.inputs.tokenizer.eos_token_id, *(eos if isinstance(eos, list) else [eos])} - {None}
        return ServedPolicy(
            server,
            self.inputs,
            self.prompts,
            temperature=temperature,
            max_tokens=self.max_tokens,
            end_ids=ends,
            coordinates=self.coordinates,
        )


def build_grpo_trainer(
    config: GRPOTraining, trained: TrainedPolicy, tasks: TaskSet, settings: GRPOConfig
) -> GraphGRPOTrainer:
    """Return the trainer, with what rolls out over the same weights."""
    if len(tasks) < config.rollouts.tasks:
        expected = f"expected {config.rollouts.tasks} or more, those of an update"
        raise InputError(f"data: got {len(tasks)} tasks, {expected}; add some, or lower rollouts.tasks")
    inputs = trained.inputs
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)  # what peft asks
            return GraphGRPOTrainer(
                model=trained.model,
                args=settings,
                train_dataset=Dataset.from_dict(
                    {"prompt": [""] * len(tasks), "task": order_tasks(tasks, settings.seed)}
                ),
                processing_class=inputs.tokenizer,
                peft_config=build_lora_config(config.lora),
                runner=trained.build_runner(config, tasks, config.rollouts.temperature),
                estimator=config.estimator,
                credit=config.credit,
                gate=LogProbGate(config.gate_max, config.gate_mean),
                picture_id=inputs.image_token_id,
                merge_size=inputs.pictures.merge_size,
            )
    except ImportError as error:
        raise MissingExtra(f"[rollouts]: {describe_error(error, 200)}") from error
    except OSError as error:  # of TRL's client, whose server does not answer
        raise RunFailed(f"{config.rollouts.server}: {describe_error(error, 200)}; start the server first") from error
    except ValueError as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"got settings that the trainer refuses ({reason}); correct [train] or [lora]") from error
