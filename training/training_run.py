"""What every kind of training does around its trainer: where it starts, whether it is done, its run, what it leaves."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from ibisagent.agent.policies.abstention.known_targets import TARGETS_FILE
from ibisagent.agent.policies.local import NANO, PROFILE, QwenInputs, read_profile
from ibisagent.agent.policies.local.policy import MAX_TOKENS
from ibisagent.training.csv_log import CSVLogCallback
from ibisagent.training.model_folder import compose_profile, find_base, find_prompt_file, write_model
from ibisagent.training.run_folder import LogCallback, keep_settings, last_checkpoint, write_json
from ibisagent.training.taught_names import extend_target_list

__all__ = ["StartModel", "begin_training", "describe_origin", "find_start", "finish_training", "run_trainer"]

_FINISHED = "training.json"


@dataclass(frozen=True, slots=True)
class StartModel:
    """The model that a training continues: the name that it was given, its folder, its profile, its prompt file.

    ``origin``: what an adapter names as its base, a folder or a hub id.
    """

    named: str
    folder: Path
    profile: dict[str, Any]
    prompt_file: Path
    origin: str

    @property
    def max_tokens(self) -> int:
        """Return how many tokens a reply may have, by the model's profile."""
        return int(self.profile.get("max_tokens", MAX_TOKENS))


def find_start(base: str | None, config_base: str, config_folder: Path, prompts: str | None) -> StartModel:
    """Find the model ``base``, or the one that the training file in ``config_folder`` names; ``prompts``: its own."""
    named = base or config_base
    folder = find_base(named, None if base else config_folder)
    prompt_file = config_folder / prompts if prompts else find_prompt_file(folder / PROFILE)
    origin = describe_origin(named, folder, config_folder)
    return StartModel(named, folder, read_profile(folder), prompt_file, origin)


def describe_origin(named: str, folder: Path, config_folder: Path) -> str:
    """Return what an adapter names as its base: the hub id by which ``folder`` was found, else the folder itself."""
    return named if folder not in (Path(named), config_folder / named, NANO) else str(folder.resolve())


def begin_training(out: Path, arguments: TrainingArguments, recorded: dict[str, Any]) -> bool:
    """Keep a training's settings in its folder, and return whether there is anything left to do.

    `InputError` where the folder is that of a training with other settings.
    """
    with arguments.main_process_first(local=False):
        keep_settings(out, recorded)
    return not (out / _FINISHED).is_file()


def run_trainer(trainer: Trainer, out: Path, callbacks: Sequence[TrainerCallback]) -> float:
    """Train from the last checkpoint in ``out``/checkpoints, with the logs in ``out``; return the seconds it took."""
    trainer.remove_callback(PrinterCallback)
    for callback in (LogCallback(out / "log.jsonl"), CSVLogCallback(out / "log.csv"), *callbacks):
        trainer.add_callback(callback)
    checkpoint = last_checkpoint(out / "checkpoints")
    started = time.perf_counter()
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    return time.perf_counter() - started


def finish_training(
    trainer: Trainer,
    inputs: QwenInputs,
    start: StartModel,
    out: Path,
    figures: dict[str, Any],
    *,
    save_fp16: bool,
    taught: Mapping[str, Sequence[str]] | None = None,
) -> Path:
    """Write the model folder ``out``/model, and last ``out``/training.json: ``figures`` with the log.

    A base's list of learned targets goes along, with the names ``taught`` since and their synonyms: the new model, too,
    declines every other.
    """
    model: Any = trainer.model
    if save_fp16:
        model.half()
    folder = out / "model"
    write_model(trainer, inputs, start.origin, compose_profile(start.prompt_file, start.profile), folder)
    if trainer.is_world_process_zero():
        if (start.folder / TARGETS_FILE).is_file():
            text = (start.folder / TARGETS_FILE).read_text(encoding="utf-8")
            (folder / TARGETS_FILE).write_text(extend_target_list(text, taught or {}), encoding="utf-8")
        write_json(out / _FINISHED, figures | {"log": trainer.state.log_history})
    return folder
