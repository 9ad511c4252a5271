"""What a training costs: CPU seconds, without its validations."""

import json
import time
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ibisagent.training.run_folder import write_json

__all__ = ["CPUClock", "read_cpu_seconds"]


class CPUClock(TrainerCallback):
    """Writes the CPU seconds up to each step; a resumed training counts on from its checkpoint.

    To be the last callback: what the ones before do at the end of a step, such as a validation, is not counted.
    """

    def __init__(self, path: Path) -> None:
        """Take the file to write."""
        self._path, self._begun = path, 0.0
        self._seconds: dict[str, float] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **more: Any
    ) -> None:
        """Begin with the seconds up to the checkpoint that the training resumes from."""
        del args, control, more
        self._seconds = {step: spent for step, spent in self._seconds.items() if int(step) <= state.global_step}
        self._begun = time.process_time()

    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **more: Any
    ) -> None:
        """Count the step that ends with this one of the optimizer."""
        del args, control, more
        spent = time.process_time() - self._begun
        self._seconds[str(state.global_step + 1)] = self._seconds.get(str(state.global_step), 0.0) + spent

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **more: Any) -> None:
        """Write what was counted, and begin the next step."""
        del args, state, control, more
        write_json(self._path, self._seconds)
        self._begun = time.process_time()


def read_cpu_seconds(path: Path) -> float:
    """Return the CPU seconds of a training up to its last step."""
    return float(max(json.loads(path.read_text(encoding="utf-8")).values(), default=0.0))
