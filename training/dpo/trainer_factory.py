"""Builds the trainer of a preference training: TRL's settings, the reference, the data set of pairs."""

import copy
import warnings
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from trl.trainer.dpo_config import DPOConfig

from ibisagent.agent.policies.local import QwenInputs
from ibisagent.tools.errors import InputError
from ibisagent.training.config_files import build_settings
from ibisagent.training.dpo.collator import PairCollator
from ibisagent.training.dpo.config import DPOTraining
from ibisagent.training.dpo.trainer import PairTrainer
from ibisagent.training.model_folder import build_lora_config
from ibisagent.training.samples import Samples

__all__ = ["build_dpo_config", "build_dpo_trainer"]

_DEFAULTS = {
    "activation_checkpointing": False,  # its older name, which TRL sets, gives way to it
    "bf16": False,
    "disable_dropout": True,
    "disable_tqdm": True,
    "logging_steps": 1,
    "max_length": None,
    "remove_unused_columns": False,
    "report_to": "none",
}
_FIXED = (
    *("output_dir", "max_length", "truncation_mode", "remove_unused_columns", "gradient_checkpointing"),
    *("precompute_ref_log_probs", "padding_free", "use_weighting", "sync_ref_model"),
)


def build_dpo_config(config: DPOTraining, checkpoints: Path) -> DPOConfig:
    """Return TRL's settings; `InputError` for those that do not exist, or that are not a training's to choose."""
    fixed = sorted(config.train.keys() & set(_FIXED))
    if fixed:
        raise InputError(f"[train]: got {fixed[0]!r}, expected settings without it; leave it out")
    ours = _DEFAULTS | {"output_dir": str(checkpoints), "use_cpu": not torch.cuda.is_available()}
    return build_settings(DPOConfig, config.train, "train", **ours)


def build_dpo_trainer(
    config: DPOTraining, model: Any, inputs: QwenInputs, pairs: Samples, settings: DPOConfig
) -> PairTrainer:
    """Return the trainer; the reference is a copy of the model as it is now, or with adapters, the model without."""
    lora = build_lora_config(config.lora)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)  # what peft asks
            return PairTrainer(
                model=model,
                ref_model=None if lora is not None else copy.deepcopy(model).requires_grad_(False),
                args=settings,
                train_dataset=Dataset.from_dict({"pair": list(range(len(pairs)))}),
                data_collator=PairCollator(pairs, inputs),
                processing_class=inputs.tokenizer,
                peft_config=lora,
                picture_id=inputs.image_token_id,
                merge_size=inputs.pictures.merge_size,
            )
    except ValueError as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"got settings that the trainer refuses ({reason}); correct [train] or [lora]") from error
