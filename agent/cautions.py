"""What a person is told beside a run's result: that its policy or its prompts may not carry it."""

from ibisagent.agent.policies.registry import POLICIES
from ibisagent.agent.state import State, active_target, current_mask
from ibisagent.agent.steps import has_examples
from ibisagent.tools.masks.rle import decode

__all__ = ["list_cautions"]

_MOST = 0.5  # of the picture, for examples of small things


def list_cautions(state: State, policy: str) -> list[str]:
    """Return sentences without a full stop; ``state``: of a run that has begun, ``policy``: its policy's name.

    One for a policy that is known to be weak on scans, one for examples that mark most of the picture.
    """
    said = [entry.caution for entry in POLICIES.entries if entry.form == policy and entry.caution]
    if state.get("target_states") and has_examples(active_target(state)["prompts"]):
        share = float(decode(current_mask(state)).mean())
        if share > _MOST:
            remedy = "add an example of what is not meant (a negative one), or click instead"
            said.append(f"the examples' look covers {share:.0%} of the picture: {remedy}")
    return said
