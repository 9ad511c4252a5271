"""What torchrun, accelerate or deepspeed started this training as."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ibisagent.tools.errors import InputError

__all__ = ["count_processes", "refuse_parted_weights"]


def count_processes() -> int:
    """Return the number of processes of the training, 1 where no launcher started it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def refuse_parted_weights(train: Mapping[str, Any]) -> None:
    """Raise `InputError` where each process would hold a part of the weights; ``train``: settings of `GRPOConfig`.

    Under ZeRO-3 and FSDP a forward pass waits for all processes, and `generate` is called as often as the episodes of a
    process turn out to need it: they would wait for each other for ever.
    """
    found = _parting(train)
    if found is not None:
        reason = "processes call generate unequally often, and would wait for each other for ever"
        expected = "expected whole weights in each process; launch with ZeRO-2 or plain data parallelism"
        raise InputError(f"training: got {found}, {expected}, as {reason}")


def _parting(train: Mapping[str, Any]) -> str | None:
    if train.get("fsdp") or _is_set("ACCELERATE_USE_FSDP"):
        return "FSDP"
    given = train.get("deepspeed")
    if given is None and _is_set("ACCELERATE_USE_DEEPSPEED"):
        given = os.environ.get("ACCELERATE_DEEPSPEED_CONFIG_FILE", "none")
        given = {"zero_optimization": {"stage": _launched_stage()}} if given == "none" else given
    return "ZeRO-3" if given is not None and _stage(given) == 3 else None


def _launched_stage() -> int:
    return int(os.environ.get("ACCELERATE_DEEPSPEED_ZERO_STAGE", "2"))  # accelerate's own default


def _stage(given: Any) -> int:
    """Return the stage of a DeepSpeed configuration, a table or a file."""
    try:
        table = given if isinstance(given, Mapping) else json.loads(Path(given).read_text(encoding="utf-8"))
        stage = table.get("zero_optimization", {}).get("stage", 0)
        return _launched_stage() if stage == "auto" else int(stage)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"deepspeed: {given!s:.200}: not a readable JSON configuration ({reason}); check it"
        ) from error


def _is_set(name: str) -> bool:
    return os.environ.get(name, "false").lower() in ("true", "1")
