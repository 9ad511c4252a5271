"""Checkpoints that a trainer of TRL can resume from."""

from functools import partial
from typing import Any, cast

from transformers import PreTrainedModel

__all__ = ["ResumableCheckpoints"]


class ResumableCheckpoints:
    """Base, before a trainer class, that writes checkpoints under names that the trainer finds again.

    transformers saves Qwen-VL's weights under the names of its first releases, and on resuming looks for today's: it
    warns, and continues from the weights that the training began with (its issue 43701).
    """

    model: Any

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        whole, save = self.model, cast(Any, super())._save_checkpoint
        if not isinstance(whole, PreTrainedModel):  # adapters keep their names
            save(model, trial)
            return
        vars(whole)["save_pretrained"] = partial(whole.save_pretrained, save_original_format=False)
        try:
            save(model, trial)
        finally:
            del vars(whole)["save_pretrained"]

    def _issue_warnings_after_load(self, load_result: Any) -> None:
        tied = set(getattr(self.model, "all_tied_weights_keys", None) or ())
        wrong = {*load_result.missing_keys, *load_result.unexpected_keys} - tied
        if wrong:
            raise RuntimeError(
                f"the checkpoint's weights are not the model's: {len(wrong)} names, such as {min(wrong)}"
            )
