"""How much memory a GRPO training needs on each GPU: arithmetic, by which `ibisagent doctor --train` warns."""

import json
import math
import struct
from pathlib import Path

from ibisagent.agent.policies.local.policy import MAX_TOKENS
from ibisagent.tools.errors import InputError
from ibisagent.training.grpo.config import GRPOTraining

__all__ = ["count_parameters", "estimate_memory"]

_SEVEN_B = 8.29e9
# Parameters of published bases, whose files need not be here for an estimate.
_PUBLISHED = {
    "Qwen/Qwen2.5-VL-3B-Instruct": 3.75e9,
    "Qwen/Qwen2.5-VL-7B-Instruct": _SEVEN_B,
    "Qwen/Qwen2.5-VL-32B-Instruct": 33.5e9,
}
_LORA = 0.3 / 8  # GB a rank: weights in float32, gradients, Adam; all linear layers of the language model
_ROW = 0.16  # GB: activations of a row of 780 tokens, with checkpointing
_LAYER = 1.0  # GB: one layer whole and a part of the head
_VOCABULARY, _CACHE = 152_064, 900 * 56e-6  # tokens; GB of an episode's key-value cache
_TURNS = 5  # of an episode, on average
_BYTES = {"float32": 4, "bfloat16": 2}


def estimate_memory(config: GRPOTraining, parameters: float, processes: int) -> dict[str, float]:
    """Return gigabytes by what they are for, on each GPU of ``processes``; ``parameters``: of the model.

    The figures are of Qwen2.5-VL-7B with pictures of 512 x 512 pixels, scaled by the number of parameters.
    """
    rollouts, scale, width = config.rollouts, parameters / _SEVEN_B, _BYTES[config.dtype]
    per_chunk = rollouts.tasks * rollouts.group_size / processes / rollouts.chunks
    trained = _LORA * config.lora.get("r", 8) * scale if config.lora is not None else parameters * (width + 8) / 1e9
    parts = {
        "weights": parameters * width / 1e9,
        "gradients and optimizer": trained,
        "a chunk's activations": (_ROW * _TURNS * per_chunk + _LAYER) * scale,
    }
    if not rollouts.server:
        logits = rollouts.workers * MAX_TOKENS * _VOCABULARY * 4 / 1e9
        parts["episodes at once"] = rollouts.workers * _CACHE * scale + logits
    return parts


def count_parameters(base: str, folder: Path | None) -> float:
    """Return the number of a base's parameters, from its weights' files in ``folder``, or by its published name.

    `InputError` where neither tells.
    """
    files = sorted(folder.glob("*.safetensors")) if folder is not None else []
    if files:
        return float(sum(map(_count_in_file, files)))
    if base not in _PUBLISHED:
        known = ", ".join(_PUBLISHED)
        raise InputError(f"base {base!r}: got no weights here, expected a folder or one of {known}; download it first")
    return _PUBLISHED[base]


def _count_in_file(path: Path) -> int:
    """Count the numbers in a safetensors file by its header."""
    with path.open("rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
    return sum(math.prod(each["shape"]) for name, each in header.items() if name != "__metadata__")
