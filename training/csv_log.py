"""The log of a training as a CSV file."""

import csv
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ibisagent.tools.files import atomic_write

__all__ = ["CSVLogCallback"]


class CSVLogCallback(TrainerCallback):
    """Writes all logged metrics as a table, whole at each log: one row each, a column for every name that occurred."""

    def __init__(self, path: Path) -> None:
        """Take the file's path."""
        self._path = path

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **more: Any) -> None:
        """Write the table."""
        del args, control, more
        if not state.is_world_process_zero:
            return
        columns = list(dict.fromkeys(name for row in state.log_history for name in row))
        columns.sort(key=lambda name: (name != "step", "/" in name))  # stable: the step first, parts of a figure last
        with atomic_write(self._path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(state.log_history)
