"""TRL's SFT trainer with the loss of the nano recipe: coordinates weigh more, near misses count less than far ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional
from trl.trainer.sft_trainer import SFTTrainer

from ibisagent.training.sft.collating import IGNORED

__all__ = ["Loss", "PackedTrainer"]

_HIDDEN = -1e4


@dataclass(frozen=True, slots=True)
class Loss:
    """The loss over packed rows.

    ``coordinates``: weight of a coordinate token. ``blur``: deviation, in tokens, of the Gaussian target over
    neighbouring coordinates; 0 for the one token. ``pointing``: weight of a loss, by a head thrown away afterwards,
    that the states before coordinates match the picture tokens on which the click belongs.
    """

    coordinates: float = 3.0
    blur: float = 1.5
    pointing: float = 0.2


class PackedTrainer(SFTTrainer):
    """Trains on packed rows (`Collator` with a rope), one process a model."""

    def __init__(self, *args: Any, loss: Loss, coordinates: Sequence[int], image_id: int, **options: Any) -> None:
        """Take what `SFTTrainer` takes, the loss, the ids of the coordinate tokens in order, and the picture token's."""
        super().__init__(*args, **options)
        self._loss, self._image_id = loss, image_id
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
        if self._loss.pointing:
            pointing = self._pointing(core, out.last_hidden_state, inputs, chosen, wanted)
            total = total + self._loss.pointing * pointing
            self._tell("pointing", pointing)
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

    def _pointing(
        self, core: Any, states: torch.Tensor, inputs: dict[str, Any], chosen: torch.Tensor, wanted: torch.Tensor
    ) -> torch.Tensor:
        """Compare where each coordinate's state points with where the click may lie."""
        rows, places = torch.nonzero(chosen, as_tuple=True)
        regions = inputs["pointed"][:, 1:][chosen]
        picked = self._is_coordinate(wanted) & (regions >= 0)
        if not picked.any():
            return states.sum() * 0
        rows, places, regions = rows[picked], places[picked], regions[picked]
        shown = states[inputs["input_ids"] == self._image_id].view(states.shape[0], -1, states.shape[2])
        asked = core.pointer(states[rows, places])
        match = torch.einsum("nd,ntd->nt", asked.float(), shown[rows].float()) / states.shape[2] ** 0.5
        wide: torch.Tensor = inputs["regions"][regions] * functional.log_softmax(match, dim=-1)
        return -wide.sum(dim=1).mean()


def _visible(segments: torch.Tensor) -> torch.Tensor:
    """Let each token see what its group shares and its own sample up to itself: (B, 1, L, L), added to the scores."""
    length = segments.shape[1]
    same = (segments[:, :, None] == segments[:, None]) | (segments[:, None] == 0)
    causal = torch.ones(length, length, dtype=torch.bool, device=segments.device).tril()
    return torch.zeros(same.shape, device=segments.device).masked_fill_(~(same & causal), _HIDDEN)[:, None]
