"""The components of a compiled graph: policy, memoised segmenter, proposer, stores, settings, view."""

from dataclasses import dataclass

from ibisagent.agent.actions import ALL_KINDS
from ibisagent.agent.config import LoopConfig
from ibisagent.agent.policies.base import Policy
from ibisagent.agent.proposers.base import Proposer
from ibisagent.agent.stores import ImageStore, RunStore
from ibisagent.agent.view import View
from ibisagent.tools.segmenters.memo import Memo

__all__ = ["Components"]

_DEFAULT_REPLY_TIMEOUT = 600.0


@dataclass(frozen=True, slots=True, eq=False)
class Components:
    """The fixed components of a loop; nothing in it changes between runs but caches, which do not alter results."""

    policy: Policy
    memo: Memo
    config: LoopConfig
    images: ImageStore
    store: RunStore
    view: View
    proposer: Proposer | None = None

    @property
    def actor(self) -> str:
        """The actor of the policy's actions: ``person`` when a person acts, else ``policy``."""
        return "person" if getattr(self.policy, "is_person", False) else "policy"

    @property
    def reply_timeout(self) -> float | None:
        """Seconds that the policy has for a reply, None without a limit."""
        limit = self.config.policy_seconds
        return getattr(self.policy, "reply_timeout", _DEFAULT_REPLY_TIMEOUT) if limit is None else limit

    @property
    def allowed_kinds(self) -> tuple[str, ...]:
        """The kinds of action that are read in a reply; a person may use all. The segmenter may refuse one of them."""
        return ALL_KINDS if self.actor == "person" else self.config.actions
