"""TRL's SFT trainer, resumable, and with the loss of the nano recipe: coordinates weigh more, near misses less."""

from collections.abc import Sequence
from functools import partial
from typing import Any, cast

import torch
from torch.nn import functional
from transformers import PreTrainedModel
from trl.trainer.sft_trainer import SFTTrainer

from ibisagent.training.sft.collating import IGNORED
from ibisagent.training.sft.config import Loss
from ibisagent.training.sft.guides import Guides, Named

__all__ = ["PackedTrainer", "PlainTrainer"]

_HIDDEN = -1e4


class PlainTrainer(SFTTrainer):
    """TRL's own, but for checkpoints that it can go on from.

    transformers saves Qwen-VL's weights under the names of its first releases, and on resuming looks for today's: it
    warns, and goes on from the weights that the training began with (its issue 43701).
    """

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        whole, save = cast(Any, self.model), cast(Any, super())._save_checkpoint
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


class PackedTrainer(PlainTrainer):
    """Trains on packed rows (`Collator` with a rope), in one process: the wrapped model is not called as a whole."""

    loss_is_scaled_for_ga: Any = False  # `compute_loss` gives the mean of its own batch

    def __init__(
        self,
        *args: Any,
        loss: Loss,
        guides: Guides | None,
        coordinates: Sequence[int],
        place_words: Sequence[int],
        image_id: int,
        **options: Any,
    ) -> None:
        """Take what `SFTTrainer` does, the loss, and ids: coordinates in order, words of a row, the picture token's."""
        super().__init__(*args, **options)
        self._loss, self._guides, self._image_id = loss, guides, image_id
        self._place_words = torch.tensor(list(place_words))
        self._first, self._count = coordinates[0], len(coordinates)
        away = torch.arange(self._count)[None] - torch.arange(self._count)[:, None]
        near = torch.exp(-((away / max(loss.blur, 1e-3)) ** 2) / 2)
        self._near = near / near.sum(dim=1, keepdim=True)

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Give the mean loss of a batch; TRL's own figures are logged beside ours."""
        del num_items_in_batch
        core = self.accelerator.unwrap_model(model)
        with self.accelerator.autocast():  # the wrapped model would do it by itself, its parts do not
            out = core.model(
                input_ids=inputs["input_ids"],
                pixel_values=inputs["pixel_values"],
                image_grid_thw=inputs["image_grid_thw"],
                position_ids=inputs["position_ids"],
                attention_mask=_visible(inputs["segments"]),
                use_cache=False,
            )
        # The state before a token foretells it; no token is foretold across the border of two samples, whose first
        # tokens belong to the prompt and carry no label.
        states, labels = out.last_hidden_state[:, :-1], inputs["labels"][:, 1:]
        chosen = labels != IGNORED
        with self.accelerator.autocast():
            logits = core.lm_head(states[chosen]).float()
        wanted = labels[chosen]
        each, nll = self._token_loss(logits, wanted)
        total = each.mean()
        if self._guides is not None:
            total = total + self._guided(self._guides, core, inputs, chosen, wanted)
        self._tell("nll", nll.mean())
        self._tell("mean_token_accuracy", (logits.argmax(dim=-1) == wanted).float().mean())
        point = self._is_coordinate(wanted)
        if point.any():
            self._tell("coordinate_nll", nll[point].mean())
        return (total, out) if return_outputs else total

    def _tell(self, name: str, value: torch.Tensor) -> None:
        assert self.model is not None
        self._metrics["train" if self.model.training else "eval"][name].append(value.item())

    def _is_coordinate(self, ids: torch.Tensor) -> torch.Tensor:
        return (ids >= self._first) & (ids < self._first + self._count)

    def _token_loss(self, logits: torch.Tensor, wanted: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Give each token's loss, and its negative log-likelihood."""
        likely = functional.log_softmax(logits, dim=-1)
        nll = -likely.gather(1, wanted[:, None])[:, 0]
        point = self._is_coordinate(wanted)
        each = nll
        if point.any():
            among = likely[point][:, self._first : self._first + self._count]
            target = self._near.to(among.device)[wanted[point] - self._first] if self._loss.blur else None
            near = nll[point] if target is None else -(target * among).sum(dim=1)
            each = nll.clone()
            each[point] = near * self._loss.coordinates
        return each, nll

    def _guided(
        self, guides: Guides, core: Any, inputs: dict[str, Any], chosen: torch.Tensor, wanted: torch.Tensor
    ) -> torch.Tensor:
        """Give the weighted losses of the guides."""
        names = self._is_coordinate(wanted) | torch.isin(wanted, self._place_words.to(wanted.device))
        looking = guides.looking(Named(inputs, chosen, names, self._image_id))
        table = core.lm_head.weight[self._first : self._first + self._count]
        placing = guides.placing(table, inputs["image_grid_thw"])
        guides.forget()
        self._tell("looking", looking)
        self._tell("placing", placing)
        return self._loss.looking * looking + self._loss.placing * placing


def _visible(segments: torch.Tensor) -> torch.Tensor:
    """Let each token see what its group shares and its own sample up to itself: (B, 1, L, L), added to the scores."""
    length = segments.shape[1]
    same = (segments[:, :, None] == segments[:, None]) | (segments[:, None] == 0)
    causal = torch.ones(length, length, dtype=torch.bool, device=segments.device).tril()
    return torch.zeros(same.shape, device=segments.device).masked_fill_(~(same & causal), _HIDDEN)[:, None]
