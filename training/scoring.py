"""Log-probabilities of replies under the weights in training, each with its own state's pictures."""

from functools import wraps
from typing import Any, NamedTuple

import torch
from torch.nn import functional
from trl.trainer.utils import FusedCausalLMOutput

__all__ = ["TokenScores", "count_picture_features", "require_pictures", "score_by_logits", "score_from_logits"]

_UNLEARNED = -100


class TokenScores(NamedTuple):
    """Scores of tokens, (B, T) each: log-probabilities, and without gradient the distribution's entropy, mean logit,
    and whether the token is its most likely one.
    """

    logps: torch.Tensor
    entropies: torch.Tensor
    mean_logits: torch.Tensor
    is_top1: torch.Tensor


def count_picture_features(grid: torch.Tensor, merge_size: int) -> int:
    """Return how many tokens pictures of these grids, (pictures, 3), have."""
    return int((grid.prod(dim=1) // merge_size**2).sum())


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
) -> TokenScores:
    """Score the last ``count`` tokens of rows, (B, count).

    For a model whose logits are more than its head's, such as the pointer model: they hold what it drew.
    """
    out = model(
        input_ids=input_ids, attention_mask=attention_mask, logits_to_keep=count + 1, use_cache=False, **pictures
    )
    logits = out.logits[:, :-1].float() / temperature
    likely = functional.log_softmax(logits, dim=-1)
    chosen = input_ids[:, -count:]
    logps = likely.gather(2, chosen[..., None])[..., 0]
    with torch.no_grad():
        entropies = -(likely.exp() * likely).sum(dim=-1)
        return TokenScores(logps, entropies, logits.mean(dim=-1), logits.argmax(dim=-1) == chosen)


def score_from_logits(model: Any) -> None:
    """Have a model answer TRL's calls with ``fused_lm_head=True`` by `score_by_logits`.

    TRL's own answer multiplies hidden states by the head, and cannot see what a pointer model drew. Labels are as in
    transformers: tokens with -100 are not scored.
    """
    plain = type(model).forward

    @wraps(plain)
    def forward(*args: Any, fused_lm_head: bool = False, labels: torch.Tensor | None = None, **kwargs: Any) -> Any:
        if not fused_lm_head or labels is None:
            return plain(model, *args, labels=labels, **kwargs)
        rows = (kwargs.pop("input_ids"), kwargs.pop("attention_mask"))
        kwargs.pop("use_cache", None)
        first = max(1, int((labels != _UNLEARNED).any(dim=0).int().argmax()))
        scores = score_by_logits(model, *rows, labels.shape[1] - first, 1.0, **kwargs)
        learned = labels[:, first:] != _UNLEARNED
        logps, entropies, mean_logits, is_top1 = (
            functional.pad(each.masked_fill(~learned, 0), (first - 1, 0)) for each in scores
        )
        return FusedCausalLMOutput(log_probs=logps, entropy=entropies, mean_logits=mean_logits, is_top1=is_top1)

    model.forward = forward
