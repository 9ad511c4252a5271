"""What a training keeps beside its model: the settings that it began with, its last checkpoint, and its figures."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ibisagent.tools.errors import InputError
from ibisagent.tools.files import atomic, label
from ibisagent.tools.jobs import jsonl

__all__ = ["Log", "keep_settings", "last_checkpoint", "write_json"]


def keep_settings(out: Path, told: dict[str, Any]) -> None:
    """Write ``settings.json`` into a new folder; in one that was begun, `InputError` names what it had otherwise."""
    path, now = out / "settings.json", json.loads(json.dumps(told))
    if not path.is_file():
        write_json(path, now)
        return
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
        differing = list(_differences(before, now))
    except (OSError, ValueError, AttributeError) as error:
        remedy = "expected those of a training; choose another --out"
        raise InputError(f"{label(path)}: got settings that cannot be read ({error}), {remedy}") from error
    if differing:
        remedy = "give what it began with, or choose another --out"
        raise InputError(f"{label(out)}: got {', '.join(differing)}; {remedy}")


def _differences(before: dict[str, Any], now: dict[str, Any]) -> Iterator[str]:
    for name in sorted(before.keys() | now.keys()):
        old, new = before.get(name), now.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from (f"{name}.{said}" for said in _differences(old, new))
        elif name in ("data", "words") and old != new:
            yield f"other {name} than before"
        elif old != new:
            yield f"{name} {new!r} after {old!r}"


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file, whole or not at all."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1), encoding="utf-8")


def last_checkpoint(folder: Path) -> Path | None:
    """Give the last checkpoint that was written to its end, None where there is none."""
    found = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    return next((path for path in reversed(found) if _is_whole(path)), None)


def _is_whole(checkpoint: Path) -> bool:
    try:
        json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))  # the last file of it
    except (OSError, ValueError):
        return False
    return True


class Log(TrainerCallback):
    """Writes the figures logged to a file, one JSON object a line, as they come."""

    def __init__(self, path: Path) -> None:
        """Take the file's path."""
        self._path = path

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **more: Any
    ) -> None:
        """Begin with the figures up to the checkpoint that the training goes on from."""
        del args, control, more
        if state.is_world_process_zero:
            with atomic(self._path) as temporary:
                temporary.touch()
                jsonl.append(temporary, state.log_history)

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **more: Any) -> None:
        """Add a line."""
        del args, control, more
        if state.is_world_process_zero:
            jsonl.append(self._path, state.log_history[-1:])
