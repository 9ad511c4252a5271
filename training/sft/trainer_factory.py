"""TRL's trainer as a training file wants it."""

import warnings
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from trl.trainer.sft_config import SFTConfig

from ibisagent.agent.policies.local import Inputs
from ibisagent.agent.policies.pointer import PointerForConditionalGeneration
from ibisagent.tools.errors import InputError
from ibisagent.training.from_scratch import COORDINATES
from ibisagent.training.sft.auxiliary_losses import Guides
from ibisagent.training.sft.collator import Collator
from ibisagent.training.sft.config import Loss, Plan, built
from ibisagent.training.sft.samples import Samples
from ibisagent.training.sft.trainer import PackedTrainer, PlainTrainer, PointerTrainer

__all__ = ["settings_of", "trainer_of"]

_OURS = {
    "activation_checkpointing": False,  # its older name, which TRL sets, gives way to it
    "bf16": False,
    "max_length": None,
    "remove_unused_columns": False,
    "report_to": "none",
    "disable_tqdm": True,
    "dataset_kwargs": {"skip_prepare_dataset": True},
}
_ROWS = (" upper", " middle", " lower")  # the first words that tell where a click goes
_FIXED = ("output_dir", "max_length", "remove_unused_columns", "dataset_kwargs", "gradient_checkpointing")


def settings_of(plan: Plan, checkpoints: Path) -> SFTConfig:
    """Give TRL's settings; `InputError` for those that do not exist, or that are not a training's to choose."""
    fixed = sorted(plan.train.keys() & set(_FIXED))
    if fixed:
        raise InputError(f"[train]: got {fixed[0]!r}, expected settings without it; leave it out")
    ours = _OURS | {"output_dir": str(checkpoints), "use_cpu": not torch.cuda.is_available()}
    return built(SFTConfig, plan.train, "train", **ours)


def trainer_of(plan: Plan, model: Any, inputs: Inputs, samples: Samples, settings: SFTConfig) -> PlainTrainer:
    """Give the trainer: TRL's own, with adapters where the plan has some, or the one of packed rows."""
    groups = samples.groups(max(plan.pack, 1))
    given: dict[str, Any] = {
        "model": model,
        "args": settings,
        "train_dataset": Dataset.from_dict({"group": list(range(len(groups)))}),
        "processing_class": inputs.tokenizer,
    }
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)  # what peft asks
            if plan.pack:
                return _packed(plan, inputs, samples, groups, given)
            return PlainTrainer(data_collator=Collator(samples, inputs, groups), peft_config=_lora(plan), **given)
    except InputError:
        raise
    except ValueError as error:
        said = " ".join(str(error).split())[:200]
        raise InputError(f"got settings that the trainer refuses ({said}); correct [train] or [lora]") from error


def _packed(
    plan: Plan, inputs: Inputs, samples: Samples, groups: list[list[int]], given: dict[str, Any]
) -> PackedTrainer:
    model, settings = given["model"], given["args"]
    coordinates = inputs.tokenizer.convert_tokens_to_ids(list(COORDINATES))
    if None in coordinates or coordinates != list(range(coordinates[0], coordinates[0] + len(coordinates))):
        raise InputError("got 'pack' for a model without tokens for coordinates, expected a fresh one's; set pack = 0")
    if settings.world_size > 1:
        raise InputError(f"got 'pack' in {settings.world_size} processes, expected one; start one, or set pack = 0")
    loss = built(Loss, plan.loss, "loss")
    pointer = isinstance(model, PointerForConditionalGeneration)
    if pointer and (loss.looking or loss.placing):
        raise InputError("[loss]: got guides for a pointer model, which draws instead; set looking and placing to 0")
    if loss.looking or loss.placing:
        if model.config.text_config._attn_implementation != "eager":
            raise InputError("[loss]: got guides without attention = 'eager', which alone tells where it looks; set it")
        torch.manual_seed(settings.seed)
        model.guides = Guides(model)
    rope = model.get_rope_index if pointer else model.model.get_rope_index
    return (PointerTrainer if pointer else PackedTrainer)(
        loss=loss,
        guides=getattr(model, "guides", None),
        coordinates=coordinates,
        place_words=[id for word in _ROWS for id in inputs.tokenizer(word, add_special_tokens=False)["input_ids"]],
        image_id=inputs.image_id,
        data_collator=Collator(
            samples,
            inputs,
            groups,
            rope=lambda ids, kinds, grid: rope(ids, kinds, image_grid_thw=grid)[0],
            drawn=model.config.picture // 4 if pointer else None,
        ),
        **given,
    )


def _lora(plan: Plan) -> Any:
    if plan.lora is None:
        return None
    from peft import LoraConfig

    return built(LoraConfig, plan.lora, "lora", task_type="CAUSAL_LM")
