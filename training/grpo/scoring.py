"""Log-probabilities of sampled tokens under the weights in training, each with its own turn's pictures."""

from typing import Any

import torch
from torch.nn import functional

from ibisagent.training.grpo.rows import count_picture_features

__all__ = ["require_pictures", "score_by_logits"]


def require_pictures(input_ids: torch.Tensor, image_grid_thw: torch.Tensor | None, picture_id: int, merge: int) -> None:
    """Raise `RuntimeError` where the picture tokens of rows, (B, L), are not as many as their pictures' features."""
    tokens = int((input_ids == picture_id).sum())
    features = count_picture_features(image_grid_thw, merge) if image_grid_thw is not None else 0
    if tokens != features or not tokens:
        got = f"got {tokens} picture tokens and {features} picture features"
        raise RuntimeError(f"{got}, expected as many: the model would not see its turns")


def score_by_logits(
    model: Any,
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor,
    count: int,
    temperature: float,
    **pictures: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the log-probabilities of the last ``count`` tokens of rows, (B, count), and the entropies at them.

    For a model whose logits are more than its head's, such as the pointer model: they hold what it drew.
    """
    out = model(
        input_ids=input_ids, attention_mask=attention_mask, logits_to_keep=count + 1, use_cache=False, **pictures
    )
    likely = functional.log_softmax(out.logits[:, :-1].float() / temperature, dim=-1)
    logps = likely.gather(2, input_ids[:, -count:, None])[..., 0]
    with torch.no_grad():
        return logps, -(likely.exp() * likely).sum(dim=-1)
