"""Builds TRL's trainer from a training file."""

import warnings
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from trl.trainer.sft_config import SFTConfig

from ibisagent.agent.policies.local import QwenInputs
from ibisagent.agent.policies.pointer import PointerForConditionalGeneration
from ibisagent.tools.errors import InputError
from ibisagent.training.config_files import build_settings
from ibisagent.training.from_scratch import COORDINATES
from ibisagent.training.model_folder import build_lora_config
from ibisagent.training.samples import Samples
from ibisagent.training.sft.auxiliary_losses import AuxiliaryHeads
from ibisagent.training.sft.collator import Collator
from ibisagent.training.sft.config import Loss, TrainingConfig
from ibisagent.training.sft.trainer import PackedTrainer, PointerTrainer, ResumableTrainer

__all__ = ["build_sft_config", "build_trainer"]

_DEFAULTS = {
    "activation_checkpointing": False,  # its older name, which TRL sets, gives way to it
    "bf16": False,
    "max_length": None,
    "remove_unused_columns": False,
    "report_to": "none",
    "disable_tqdm": True,
    "dataset_kwargs": {"skip_prepare_dataset": True},
}
_POSITION_WORDS = (" upper", " middle", " lower")  # the first words of where a click goes
_FIXED = ("output_dir", "max_length", "remove_unused_columns", "dataset_kwargs", "gradient_checkpointing")


def build_sft_config(config: TrainingConfig, checkpoints: Path) -> SFTConfig:
    """Return TRL's settings; `InputError` for those that do not exist, or that are not a training's to choose."""
    fixed = sorted(config.train.keys() & set(_FIXED))
    if fixed:
        raise InputError(f"[train]: got {fixed[0]!r}, expected settings without it; leave it out")
    ours = _DEFAULTS | {"output_dir": str(checkpoints), "use_cpu": not torch.cuda.is_available()}
    return build_settings(SFTConfig, config.train, "train", **ours)


def build_trainer(
    config: TrainingConfig, model: Any, inputs: QwenInputs, samples: Samples, settings: SFTConfig
) -> ResumableTrainer:
    """Return the trainer: TRL's own, with adapters where the file has some, or the one of packed rows."""
    groups = samples.groups(max(config.pack, 1))
    trainer_kwargs: dict[str, Any] = {
        "model": model,
        "args": settings,
        "train_dataset": Dataset.from_dict({"group": list(range(len(groups)))}),
        "processing_class": inputs.tokenizer,
    }
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)  # what peft asks
            if config.pack:
                return _build_packed_trainer(config, inputs, samples, groups, trainer_kwargs)
            return ResumableTrainer(
                data_collator=Collator(samples, inputs, groups),
                peft_config=build_lora_config(config.lora),
                **trainer_kwargs,
            )
    except InputError:
        raise
    except ValueError as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"got settings that the trainer refuses ({reason}); correct [train] or [lora]") from error


def _build_packed_trainer(
    config: TrainingConfig,
    inputs: QwenInputs,
    samples: Samples,
    groups: list[list[int]],
    trainer_kwargs: dict[str, Any],
) -> PackedTrainer:
    model, settings = trainer_kwargs["model"], trainer_kwargs["args"]
    coordinates = inputs.tokenizer.convert_tokens_to_ids(list(COORDINATES))
    if None in coordinates or coordinates != list(range(coordinates[0], coordinates[0] + len(coordinates))):
        raise InputError(
            "got 'pack' for a model without tokens for coordinates, expected one trained from scratch; set pack = 0"
        )
    if settings.world_size > 1:
        raise InputError(f"got 'pack' in {settings.world_size} processes, expected one; start one, or set pack = 0")
    loss = build_settings(Loss, config.loss, "loss")
    pointer = isinstance(model, PointerForConditionalGeneration)
    if pointer and (loss.attention or loss.position):
        raise InputError(
            "[loss]: got auxiliary losses for a pointer model, which predicts maps; set attention and position to 0"
        )
    if loss.attention or loss.position:
        if model.config.text_config._attn_implementation != "eager":
            raise InputError(
                "[loss]: got auxiliary losses, expected attn_implementation = 'eager', which returns attention; set it"
            )
        torch.manual_seed(settings.seed)
        model.auxiliary_heads = AuxiliaryHeads(model)
    rope = model.get_rope_index if pointer else model.model.get_rope_index
    return (PointerTrainer if pointer else PackedTrainer)(
        loss=loss,
        auxiliary_heads=getattr(model, "auxiliary_heads", None),
        coordinates=coordinates,
        position_words=[
            id for word in _POSITION_WORDS for id in inputs.tokenizer(word, add_special_tokens=False)["input_ids"]
        ],
        image_id=inputs.image_token_id,
        data_collator=Collator(
            samples,
            inputs,
            groups,
            rope=lambda ids, kinds, grid: rope(ids, kinds, image_grid_thw=grid)[0],
            map_side=model.config.image_size // (2 if model.config.fine_channels else 4) if pointer else None,
        ),
        **trainer_kwargs,
    )
