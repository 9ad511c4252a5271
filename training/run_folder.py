"""The files of a training beside its model: its settings, its last checkpoint and its log."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ibisagent.tools.errors import InputError
from ibisagent.tools.files import atomic_write, printable_text
from ibisagent.tools.jobs import jsonl

__all__ = ["LogCallback", "keep_settings", "last_checkpoint", "write_json"]


def keep_settings(out: Path, settings: dict[str, Any]) -> None:
    """Write ``settings.json`` into a new folder; in an existing one, `InputError` names what differs."""
    path, now = out / "settings.json", json.loads(json.dumps(settings))
    if not path.is_file():
        write_json(path, now)
        return
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
        differing = list(_differences(before, now))
    except (OSError, ValueError, AttributeError) as error:
        remedy = "expected those of a training; choose another --out"
        raise InputError(f"{printable_text(path)}: got settings that cannot be read ({error}), {remedy}") from error
    if differing:
        remedy = "use what it began with, or choose another --out"
        raise InputError(f"{printable_text(out)}: got {', '.join(differing)}; {remedy}")


def _differences(before: dict[str, Any], now: dict[str, Any]) -> Iterator[str]:
    for name in sorted(before.keys() | now.keys()):
        old, new = before.get(name), now.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from (f"{name}.{each}" for each in _differences(old, new))
        elif name in ("data", "prompt_file", "starts") and old != new:
            yield f"other {name} than before"
        elif old != new:
            yield f"{name} {new!r} after {old!r}"


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file, whole or not at all."""
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1), encoding="utf-8")


def last_checkpoint(folder: Path) -> Path | None:
    """Return the last checkpoint that was written completely, None where there is none."""
    found = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    return next((path for path in reversed(found) if _is_whole(path)), None)


def _is_whole(checkpoint: Path) -> bool:
    try:
        json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))  # the last file of it
    except (OSError, ValueError):
        return False
    return True


class LogCallback(TrainerCallback):
    """Writes the logged metrics to a file as they come, one JSON object a line."""

    def __init__(self, path: Path) -> None:
        """Take the file's path."""
        self._path = path

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **more: Any
    ) -> None:
        """Begin with the metrics up to the checkpoint that the training resumes from."""
        del args, control, more
        if state.is_world_process_zero:
            with atomic_write(self._path) as temporary:
                temporary.touch()
                jsonl.append_rows(temporary, state.log_history)

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **more: Any) -> None:
        """Add a line."""
        del args, control, more
        if state.is_world_process_zero:
            jsonl.append_rows(self._path, state.log_history[-1:])
