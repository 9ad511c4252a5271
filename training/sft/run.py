"""Supervised fine-tuning from a training file: the model made or opened, the trainer run, a model folder written."""

import hashlib
import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import AutoModelForImageTextToText, TrainerCallback
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from ibisagent.agent.policies.local import PROFILE, Inputs, read_profile
from ibisagent.agent.prompting import load_prompts
from ibisagent.tools.errors import InputError
from ibisagent.tools.files import label
from ibisagent.training.fresh import COORDINATES, Fresh, make_fresh
from ibisagent.training.sft.collating import Collator
from ibisagent.training.sft.config import Plan
from ibisagent.training.sft.samples import Samples
from ibisagent.training.sft.trainer import Loss, PackedTrainer

__all__ = ["train_sft"]

_TEXTS = 4000  # texts that a new tokenizer is trained on, drawn over all samples
_OURS = {
    "bf16": False,
    "max_length": None,
    "remove_unused_columns": False,
    "report_to": "none",
    "disable_tqdm": True,
    "dataset_kwargs": {"skip_prepare_dataset": True},
}


def train_sft(
    plan: Plan, data: Sequence[Path], out: Path, *, base: str | None = None, callbacks: Sequence[TrainerCallback] = ()
) -> Path:
    """Train on the ``.jsonl`` files in the folders ``data``; give the model folder ``out``/model.

    ``base`` goes before the plan's own model: a second training goes on from the first. Checkpoints lie in
    ``out``/checkpoints, and the same call goes on from the last of them; ``out``/training.json tells the data's hash,
    the settings and the figures logged.
    """
    if plan.threads:
        torch.set_num_threads(plan.threads)
    files = [file for folder in data for file in sorted(folder.glob("*.jsonl"))]
    if not files:
        raise InputError(f"got no .jsonl file in {', '.join(label(folder) for folder in data)}; make trajectories")
    out.mkdir(parents=True, exist_ok=True)
    digest = _digest(files)
    start = base or plan.base or str(out / "fresh")
    profile = plan.path(plan.profile) if base is None and plan.base is None and plan.profile else Path(start) / PROFILE
    words = plan.path(plan.prompts) if plan.prompts else profile if profile.is_file() else None
    samples = Samples(files, load_prompts(words), mistakes=plan.mistakes)
    settings = _settings(plan, out / "checkpoints")
    if start == str(out / "fresh") and not (out / "fresh" / "config.json").is_file():
        fresh = Fresh(**(plan.fresh or {}))
        every = max(1, len(samples) // _TEXTS)
        texts = islice(
            (text for index in range(0, len(samples), every) for text in samples.texts_of(index)), 4 * _TEXTS
        )
        make_fresh(fresh, texts, profile, out / "fresh", settings.seed)
    model, inputs = _opened(plan, start)
    trainer = _trainer(plan, model, inputs, samples, settings, callbacks)
    begun = time.perf_counter()
    trainer.train(resume_from_checkpoint=_has_checkpoint(out / "checkpoints"))
    seconds = time.perf_counter() - begun
    folder = _written(trainer.model, inputs, start, out / "model")
    told = {
        "data": digest,
        "samples": len(samples),
        "plan": asdict(plan) | {"folder": None},
        "base": base or plan.base,
        "seconds": seconds,
        "log": trainer.state.log_history,
    }
    (out / "training.json").write_text(json.dumps(told, indent=1, default=str), encoding="utf-8")
    return folder


def _settings(plan: Plan, checkpoints: Path) -> SFTConfig:
    wanted = dict(plan.train)
    recompute = wanted.pop("gradient_checkpointing", False)
    settings = SFTConfig(output_dir=str(checkpoints), **_OURS | {"use_cpu": not torch.cuda.is_available()} | wanted)
    # TRL's default is to recompute, and its alias of the setting's new name wins over that name.
    settings.gradient_checkpointing = settings.activation_checkpointing = recompute
    return settings


def _has_checkpoint(folder: Path) -> bool:
    return any(folder.glob("checkpoint-*"))


def _digest(files: Sequence[Path]) -> str:
    """Hash the data, in its order."""
    sha = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                sha.update(block)
    return sha.hexdigest()


def _opened(plan: Plan, start: str) -> tuple[Any, Inputs]:
    square = read_profile(Path(start)).get("square")
    options = {"attn_implementation": plan.attention} if plan.attention else {}
    try:
        model = AutoModelForImageTextToText.from_pretrained(start, dtype=torch.float32, **options)
        inputs = Inputs.of(start, square=square)
    except (OSError, ValueError) as error:
        said = " ".join(str(error).split())[:200]
        raise InputError(f"{label(start)}: got no model that can be opened ({said}); check 'base'") from error
    if plan.max_pixels:
        inputs.pictures.size["longest_edge"] = plan.max_pixels
    if plan.freeze_vision:
        model.model.visual.requires_grad_(False)
    return model, inputs


def _trainer(
    plan: Plan, model: Any, inputs: Inputs, samples: Samples, settings: SFTConfig, callbacks: Sequence[TrainerCallback]
) -> SFTTrainer:
    groups = samples.groups(max(plan.pack, 1))
    rows = Dataset.from_dict({"group": list(range(len(groups)))})
    given: dict[str, Any] = {
        "model": model,
        "args": settings,
        "train_dataset": rows,
        "processing_class": inputs.tokenizer,
        "callbacks": list(callbacks),
    }
    if not plan.pack:
        return SFTTrainer(data_collator=Collator(samples, inputs, groups), peft_config=_lora(plan), **given)
    model.pointer = torch.nn.Linear(
        model.config.text_config.hidden_size, model.config.text_config.hidden_size, bias=False
    )
    rope = model.model.get_rope_index
    return PackedTrainer(
        loss=Loss(**plan.loss),
        coordinates=inputs.tokenizer.convert_tokens_to_ids(list(COORDINATES)),
        image_id=inputs.image_id,
        data_collator=Collator(
            samples, inputs, groups, rope=lambda ids, kinds, grid: rope(ids, kinds, image_grid_thw=grid)[0]
        ),
        **given,
    )


def _lora(plan: Plan) -> Any:
    if plan.lora is None:
        return None
    from peft import LoraConfig

    return LoraConfig(task_type="CAUSAL_LM", **plan.lora)


def _written(model: Any, inputs: Inputs, start: str, folder: Path) -> Path:
    """Write weights, tokenizer, picture processor and profile; an adapter is written as one."""
    shutil.rmtree(folder, ignore_errors=True)
    if hasattr(model, "pointer"):
        del model.pointer
    model.save_pretrained(folder)
    inputs.tokenizer.save_pretrained(folder)
    inputs.pictures.save_pretrained(folder)
    profile = Path(start) / PROFILE
    if profile.is_file():
        shutil.copyfile(profile, folder / PROFILE)
    return folder
