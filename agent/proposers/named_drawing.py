"""From a name to the proposer of a model's drawings."""

from ibisagent.agent.policies.local.named_models import open_named
from ibisagent.agent.policies.options import PolicyOptions
from ibisagent.agent.proposers.drawing import DrawingProposer

__all__ = ["open_drawing"]


def open_drawing(name: str, options: PolicyOptions) -> DrawingProposer:
    """Return the proposer of ``nano`` or ``hf:FOLDER_OR_ID``."""
    return DrawingProposer(open_named(name, options))
