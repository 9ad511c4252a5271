"""Untrained modules that a training adds to its base."""

from typing import Any

import torch

from ibisagent.agent.policies.pointer import PointerForConditionalGeneration
from ibisagent.tools.errors import InputError
from ibisagent.training.config_files import build_settings
from ibisagent.training.sft.config import Graft

__all__ = ["graft_modules"]


def graft_modules(model: Any, table: dict[str, Any] | None, seed: int) -> None:
    """Add what the table ``graft`` of a training file asks for and ``model`` lacks, drawn by ``seed``.

    `InputError` where the model cannot have it, or has it of another size.
    """
    if table is None:
        return
    channels = build_settings(Graft, table, "graft").fine_channels
    if not isinstance(model, PointerForConditionalGeneration):
        raise InputError(
            f"[graft]: got a base of type {model.config.model_type!r}, expected a pointer model; leave it out"
        )
    present = model.config.fine_channels
    if present not in (0, channels):
        raise InputError(
            f"[graft]: got fine_channels={channels} for a base with {present}, expected as many; correct it"
        )
    if not present:
        torch.manual_seed(seed)
        model.add_fine_drawing(channels)
