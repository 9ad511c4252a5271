"""TRL's DPO trainer over pairs of replies to one state, each with that state's pictures."""

import warnings
from typing import Any

import torch
from trl.trainer.dpo_trainer import DPOTrainer

from ibisagent.agent.policies.pointer import PointerForConditionalGeneration
from ibisagent.training.resumable_checkpoints import ResumableCheckpoints
from ibisagent.training.scoring import require_pictures, score_from_logits

__all__ = ["PairTrainer"]


class PairTrainer(ResumableCheckpoints, DPOTrainer):
    """Takes the place of TRL's data preparation, and for a pointer model of its log-probabilities; the rest is TRL's.

    TRL scores replies by a fused head over hidden states, which cannot see what a pointer model drew: those are scored
    by their logits, in the trained model and in the reference alike.
    """

    def __init__(self, *, picture_id: int, merge_size: int, **options: Any) -> None:
        """Take what `DPOTrainer` does, with a collator of whole batches.

        ``picture_id``: the token of a picture's features, ``merge_size`` x ``merge_size`` patches each.
        """
        super().__init__(**options)
        self._picture_id, self._merge_size = picture_id, merge_size
        for model in (self.model, self.ref_model):
            whole: Any = self.accelerator.unwrap_model(model) if model is not None else None
            core = whole.get_base_model() if hasattr(whole, "get_base_model") else whole
            if isinstance(core, PointerForConditionalGeneration):
                score_from_logits(core)

    def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
        """Return the rows as they are: the collator renders and encodes them."""
        return dataset

    def _compute_loss(self, model: Any, inputs: dict[str, Any], return_outputs: bool) -> torch.Tensor:
        """Return TRL's loss; `RuntimeError` where a row's pictures would not be seen."""
        require_pictures(inputs["input_ids"], inputs["image_grid_thw"], self._picture_id, self._merge_size)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)  # what TRL asks
            loss: torch.Tensor = super()._compute_loss(model, inputs, return_outputs)  # type: ignore[no-untyped-call]
        return loss
