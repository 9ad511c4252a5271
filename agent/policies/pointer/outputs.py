"""What a call of the pointer model returns, and what the call that continues it needs."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from transformers.modeling_outputs import CausalLMOutputWithPast

from ibisagent.agent.policies.pointer.pointer_head import PointerMaps

__all__ = ["PointerOutput", "PointerState"]


class PointerState(NamedTuple):
    """What a call that continues a cache needs of the call before.

    ``maps``: of each turn; ``reply_of``: (B,) long, the row of the maps that each row of the batch replies by, their
    count for none; ``last_tokens``: (B, 2) long, the last two tokens in the cache.
    """

    maps: PointerMaps
    reply_of: torch.Tensor
    last_tokens: torch.Tensor


@dataclass
class PointerOutput(CausalLMOutputWithPast):
    """Transformers' own output, its cache under the installed version's name, with the ``pointer_state``.

    ``logits``: (B, L, vocabulary), or (n, vocabulary) of the places asked for.
    """

    pointer_state: PointerState | None = None
