"""The table of proposers, and the one way from a name to a proposer.

``package.module:Class`` names a third party's `Proposer` class, ``command:LINE`` a program. Both open where the
operator gives the name: the command line, Python, a server's start. They are refused under ``--local-only`` unless they
are said to keep pictures on this machine: a class by ``is_local = True``, a program as ``local-command:LINE``.
"""

from typing import Any

from ibisagent.agent.policies.options import DEFAULTS, PolicyOptions
from ibisagent.agent.proposers.base import Proposer
from ibisagent.tools.errors import InputError
from ibisagent.tools.registry import Entry, Table, instantiate

__all__ = ["PROPOSERS", "get_proposer", "open_proposer", "require_local_proposer"]

_HERE = "ibisagent.agent.proposers"
_DRAWING = f"{_HERE}.named_drawing:open_drawing"
_MODELS = ("torch", "transformers")

PROPOSERS = Table(
    "propose",
    (
        Entry("none", "", "no proposal"),
        Entry("nano", _DRAWING, "what nano draws", "models", _MODELS),
        Entry(
            "hf:FOLDER_OR_ID",
            _DRAWING,
            "what a model of nano's kind draws",
            "models",
            _MODELS,
        ),
        Entry("command:LINE", f"{_HERE}.command:open_command", "a program", is_local=False),
        Entry("local-command:LINE", f"{_HERE}.command:open_command", "a program that keeps pictures on this machine"),
    ),
    methods=("propose",),
    remedy="see ibisagent.agent.proposers.Proposer",
)


def get_proposer(
    proposer: Proposer | str | None, policy: object = None, options: PolicyOptions = DEFAULTS
) -> Proposer | None:
    """Return the proposer that the operator named; a proposer itself passes through.

    None is the ``policy``'s own where it has one, its attribute ``proposer``; "none" is no proposer.
    """
    if proposer is None:
        own: Proposer | None = getattr(policy, "proposer", None)
        return own
    if not isinstance(proposer, str):
        return proposer
    if proposer == "none":
        return None
    require_local_proposer(proposer, options.local_only)
    if not PROPOSERS.is_third_party(proposer):
        opened: Proposer = PROPOSERS.find(proposer).load_factory()(proposer, options)
        return opened
    made: Any = instantiate("propose", proposer, PROPOSERS.import_class(proposer), {"seed": options.seed})
    if not isinstance(getattr(made, "name", None), str):
        raise InputError(f"propose {proposer!r}: got one without name (str); {PROPOSERS.remedy}")
    named: Proposer = made
    return named


def open_proposer(proposer: str | None, policy: object, options: PolicyOptions) -> Proposer | str:
    """Return what ``--propose`` names, or the ``policy``'s own, or "none": an argument of `build_graph`."""
    return get_proposer(proposer, policy, options) or "none"


def require_local_proposer(proposer: str, local_only: bool) -> None:
    """Raise `InputError` for a name that ``local_only`` forbids."""
    if not local_only:
        return
    if PROPOSERS.is_third_party(proposer):
        if not getattr(PROPOSERS.import_class(proposer), "is_local", False):
            got = "got a class that does not say is_local = True, which --local-only needs"
            raise InputError(f"propose {proposer!r}: {got}; add that to it, or leave out --local-only")
    elif not PROPOSERS.find(proposer).is_local:
        got = "got a program that may send the picture to another machine, which --local-only forbids"
        raise InputError(f"propose {proposer[:80]!r}: {got}; write local-command: if it does not")
