"""TRL's SFT trainer, resumable, and with the loss of the nano recipe: coordinates weigh more, near misses less."""

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional
from trl.trainer.sft_trainer import SFTTrainer

from ibisagent.training.resumable_checkpoints import ResumableCheckpoints
from ibisagent.training.sft.auxiliary_losses import AuxiliaryHeads, PositionTokens
from ibisagent.training.sft.config import Loss
from ibisagent.training.tokenized_samples import IGNORED

__all__ = ["PackedTrainer", "PointerTrainer", "ResumableTrainer"]

_MASKED_SCORE = -1e4
_TARGET_BCE_WEIGHT, _MASK_BCE_WEIGHT = 4.0, 2.0  # weights of cross entropies beside a Dice loss of 1


class ResumableTrainer(ResumableCheckpoints, SFTTrainer):
    """TRL's trainer with checkpoints that it can resume from."""


class PackedTrainer(ResumableTrainer):
    """Trains on packed rows (`Collator` with a rope), in one process: the wrapped model is not called as a whole."""

    loss_is_scaled_for_ga: Any = False  # `compute_loss` returns the mean of its own batch

    def __init__(
        self,
        *args: Any,
        loss: Loss,
        auxiliary_heads: AuxiliaryHeads | None,
        coordinates: Sequence[int],
        position_words: Sequence[int],
        image_id: int,
        **options: Any,
    ) -> None:
        """Take what `SFTTrainer` does, the loss, and ids: coordinates in order, words of a row, the picture token's."""
        super().__init__(*args, **options)
        self._loss, self._auxiliary_heads, self._image_id = loss, auxiliary_heads, image_id
        self._position_words = torch.tensor(list(position_words))
        self._first, self._count = coordinates[0], len(coordinates)
        away = torch.arange(self._count)[None] - torch.arange(self._count)[:, None]
        near = torch.exp(-((away / max(loss.coordinate_sigma, 1e-3)) ** 2) / 2)
        self._near = near / near.sum(dim=1, keepdim=True)

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Return the mean loss of a batch; TRL's own metrics are logged beside ours."""
        del num_items_in_batch
        core = self.accelerator.unwrap_model(model)
        # The state before a token predicts it; no token is predicted across the border of two samples, whose first
        # tokens belong to the prompt and carry no label.
        is_labeled = inputs["labels"][:, 1:] != IGNORED
        target_ids = inputs["labels"][:, 1:][is_labeled]
        with self.accelerator.autocast():  # the wrapped model would do it by itself, its parts do not
            logits, out = self._forward(core, inputs, is_labeled)
        each, nll = self._token_loss(logits, target_ids)
        each = torch.where(inputs["is_refusal"][:, 1:][is_labeled], each * self._loss.refusals, each)
        total = each.mean() + self._auxiliary_loss(core, out, inputs, is_labeled, target_ids)
        self._log_metric("nll", nll.mean())
        self._log_metric("mean_token_accuracy", (logits.argmax(dim=-1) == target_ids).float().mean())
        point = self._is_coordinate(target_ids)
        if point.any():
            self._log_metric("coordinate_nll", nll[point].mean())
        return (total, out) if return_outputs else total

    def _forward(self, core: Any, inputs: dict[str, Any], is_labeled: torch.Tensor) -> tuple[torch.Tensor, Any]:
        """Return the logits of the tokens that are learned, (n, vocabulary), and the model's whole output."""
        out = core.model(
            input_ids=inputs["input_ids"],
            pixel_values=inputs["pixel_values"],
            image_grid_thw=inputs["image_grid_thw"],
            position_ids=inputs["position_ids"],
            attention_mask=_attention_bias(inputs["segments"]),
            use_cache=False,
        )
        return core.lm_head(out.last_hidden_state[:, :-1][is_labeled]).float(), out

    def _auxiliary_loss(
        self, core: Any, out: Any, inputs: dict[str, Any], is_labeled: torch.Tensor, target_ids: torch.Tensor
    ) -> torch.Tensor | float:
        """Return the weighted losses beside that of the tokens: here those of the auxiliary heads, if there are any."""
        del out
        return (
            self._compute_head_losses(self._auxiliary_heads, core, inputs, is_labeled, target_ids)
            if self._auxiliary_heads is not None
            else 0.0
        )

    def _log_metric(self, name: str, value: torch.Tensor) -> None:
        assert self.model is not None
        self._metrics["train" if self.model.training else "eval"][name].append(value.item())

    def _is_coordinate(self, ids: torch.Tensor) -> torch.Tensor:
        return (ids >= self._first) & (ids < self._first + self._count)

    def _token_loss(self, logits: torch.Tensor, target_ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return each token's loss, and its negative log-likelihood."""
        likely = functional.log_softmax(logits, dim=-1)
        nll = -likely.gather(1, target_ids[:, None])[:, 0]
        point = self._is_coordinate(target_ids)
        each = nll
        if point.any():
            among = likely[point][:, self._first : self._first + self._count]
            target = (
                self._near.to(among.device)[target_ids[point] - self._first] if self._loss.coordinate_sigma else None
            )
            near = nll[point] if target is None else -(target * among).sum(dim=1)
            each = nll.clone()
            each[point] = near * self._loss.coordinates
        return each, nll

    def _compute_head_losses(
        self,
        auxiliary_heads: AuxiliaryHeads,
        core: Any,
        inputs: dict[str, Any],
        is_labeled: torch.Tensor,
        target_ids: torch.Tensor,
    ) -> torch.Tensor:
        """Return the weighted losses of the auxiliary heads."""
        names = self._is_coordinate(target_ids) | torch.isin(target_ids, self._position_words.to(target_ids.device))
        attention_loss = auxiliary_heads.attention_loss(PositionTokens(inputs, is_labeled, names, self._image_id))
        table = core.lm_head.weight[self._first : self._first + self._count]
        position_loss = auxiliary_heads.position_loss(table, inputs["image_grid_thw"])
        auxiliary_heads.clear()
        self._log_metric("attention_loss", attention_loss)
        self._log_metric("position_loss", position_loss)
        return self._loss.attention * attention_loss + self._loss.position * position_loss


class PointerTrainer(PackedTrainer):
    """Trains a pointer model: its maps are compared with the target's mask and with the mask that is shown."""

    def _forward(self, core: Any, inputs: dict[str, Any], is_labeled: torch.Tensor) -> tuple[torch.Tensor, Any]:
        out = core(
            input_ids=inputs["input_ids"],
            pixel_values=inputs["pixel_values"],
            position_ids=inputs["position_ids"],
            attention_mask=_attention_bias(inputs["segments"]),
            segments=inputs["segments"],
            keep=functional.pad(is_labeled, (0, 1)),
            draw_fine=True,
            use_cache=False,
        )
        return out.logits, out

    def _auxiliary_loss(
        self, core: Any, out: Any, inputs: dict[str, Any], is_labeled: torch.Tensor, target_ids: torch.Tensor
    ) -> torch.Tensor | float:
        del core, is_labeled, target_ids
        maps, masks = out.pointer_state.maps, inputs["masks"]
        pooled = _pool(masks, maps.target_logits.shape[-1])
        covered = functional.binary_cross_entropy_with_logits(maps.mask_logits, pooled[:, 1])
        loss = _target_loss(maps.target_logits, pooled[:, 0]) + _MASK_BCE_WEIGHT * covered
        finest = maps.target_logits
        if maps.fine_logits is not None:
            finest = maps.fine_logits
            loss = loss + _target_loss(finest, masks[:, 0])
        self._log_metric("mask_iou", _mean_overlap(finest, masks[:, 0]))
        weighted: torch.Tensor = self._loss.mask * loss
        return weighted


def _pool(maps: torch.Tensor, side: int) -> torch.Tensor:
    """Return maps, (n, 2, h, w), at the ``side`` that divides theirs; nan stays nan."""
    times = maps.shape[-1] // side
    return maps if times == 1 else functional.avg_pool2d(maps, times)


def _target_loss(logits: torch.Tensor, truths: torch.Tensor) -> torch.Tensor:
    """Return cross entropy and Dice loss of drawings, (n, h, w), where the truth is known, which is not nan."""
    known = ~torch.isnan(truths[:, 0, 0])
    target, truth, sums = logits[known], truths[known], (1, 2)
    bce = functional.binary_cross_entropy_with_logits(target, truth, reduction="none").mean(dim=sums)
    there = truth.flatten(1).amax(dim=1) > 0
    shown = torch.sigmoid(target[there])
    both, either = (shown * truth[there]).sum(sums), (shown + truth[there]).sum(sums)
    dice = (1 - (2 * both + 1) / (either + 1)).sum() / max(len(truth), 1)
    return _TARGET_BCE_WEIGHT * bce.mean() + dice


def _mean_overlap(logits: torch.Tensor, truths: torch.Tensor) -> torch.Tensor:
    """Return the mean IoU of the drawings of targets that are there, 0 if there are none."""
    there = truths.flatten(1).amax(dim=1) > 0  # nan is not
    hard, real = logits[there] > 0, truths[there] > 0.5
    overlap = (hard & real).sum((1, 2)) / (hard | real).sum((1, 2)).clamp(min=1)
    return overlap.mean() if there.any() else overlap.sum()


def _attention_bias(segments: torch.Tensor) -> torch.Tensor:
    """Return the attention bias, (B, 1, L, L): a token sees what its group shares and its sample up to itself."""
    length = segments.shape[1]
    same = (segments[:, :, None] == segments[:, None]) | (segments[:, None] == 0)
    causal = torch.ones(length, length, dtype=torch.bool, device=segments.device).tril()
    return torch.zeros(same.shape, device=segments.device).masked_fill_(~(same & causal), _MASKED_SCORE)[:, None]
