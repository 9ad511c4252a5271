"""The table of policies with their capabilities, and the one way from a name to a policy.

``package.module:Class`` names a third party's `Policy` class; it opens where the operator gives the name: the command
line, Python, a server's start. It is instantiated with the fields of `PolicyOptions` that its ``__init__`` names
(``seed``, ``truth``, ``prompts``, ``local_only``, ``similar``) and with the options after a question mark as text; one
that takes ``seed`` or ``truth`` is made anew for each case of a data set. Its attributes ``is_person`` and ``is_local``
tell its capabilities: without ``is_local = True`` it is refused under ``--local-only``.
"""

import inspect
from dataclasses import dataclass, fields

from ibisagent.agent.policies.base import Policy
from ibisagent.agent.policies.options import DEFAULTS, PolicyOptions
from ibisagent.tools.errors import InputError
from ibisagent.tools.registry import Entry, Table, constructor_arguments, instantiate, split_options

__all__ = ["POLICIES", "PolicyEntry", "find_policy", "get_policy", "require_autonomous"]


@dataclass(frozen=True, slots=True)
class PolicyEntry(Entry):
    """What a policy's name opens, and what it can do.

    ``factory``: a function of the name and the `PolicyOptions`, or a class. ``needs_truth``: it cannot act without the
    true mask. ``per_case``: each case has its own, with the case's truth and seed. ``uses_prompts``: it is shown a
    `PromptSet`. ``is_person``: it waits for a person. ``adds_prompts``: it acts by itself beyond the prompts given.
    ``caution``: what a person is told beside its results.
    """

    needs_truth: bool = False
    per_case: bool = False
    uses_prompts: bool = False
    is_person: bool = False
    adds_prompts: bool = True
    caution: str = ""

    def open(self, name: str, options: PolicyOptions) -> Policy:
        """Open the policy of a name that is this entry's."""
        if self.needs_truth and options.truth is None:
            remedy = "use OraclePolicy(truth), or `ibisagent simulate`" if self.form == "oracle" else "use it in eval"
            raise InputError(f"policy {name!r}: it needs the true mask; {remedy}")
        factory = self.load_factory()
        if not isinstance(factory, type):
            opened: Policy = factory(name, options)
            return opened
        if options.local_only and not self.is_local:
            got = "got a class that does not say is_local = True, which --local-only needs"
            raise InputError(f"policy {name!r}: {got}; add that to it, or leave out --local-only")
        given = {field.name: getattr(options, field.name) for field in fields(options)}
        made: Policy = instantiate("policy", name, factory, given)
        if not isinstance(getattr(made, "name", None), str):
            raise InputError(f"policy {name!r}: got one without name (str); {POLICIES.remedy}")
        return made


_HERE = "ibisagent.agent.policies"
_LOCAL = f"{_HERE}.local.named_models:open_policy"
_MODELS = ("torch", "transformers")
_PROVIDERS = {
    "openai": "OpenAI, or the server that OPENAI_BASE_URL names",
    "anthropic": "Anthropic",
    "google_genai": "Google",
    "azure_openai": "Azure OpenAI",
    "ollama": "Ollama",
}

POLICIES = Table(
    "policy",
    (
        PolicyEntry(
            "nano",
            _LOCAL,
            "the small model that ships",
            "models",
            _MODELS,
            uses_prompts=True,
            caution="nano learned from synthetic pictures and a few kinds of real ones; on a scan, check what it says",
        ),
        PolicyEntry(
            "hf:FOLDER_OR_ID", _LOCAL, "a vision-language model in this process", "models", _MODELS, uses_prompts=True
        ),
        PolicyEntry(
            "vllm:URL#MODEL",
            f"{_HERE}.vllm:open_vllm",
            "a vLLM server, or another with OpenAI's chat completions",
            "chat",
            ("httpx",),
            is_local=False,
            uses_prompts=True,
        ),
        *(
            PolicyEntry(
                f"{provider}:MODEL",
                f"{_HERE}.chat:open_chat",
                f"a chat model of {owner}",
                "chat",
                is_local=False,
                uses_prompts=True,
            )
            for provider, owner in _PROVIDERS.items()
        ),
        PolicyEntry("person", f"{_HERE}.person:PersonPolicy", "you type the actions", is_person=True),
        PolicyEntry("none", f"{_HERE}.simple:NoPolicy", "only the given prompts", adds_prompts=False),
        PolicyEntry("centre", f"{_HERE}.simple:CentrePolicy", "one click on the centre"),
        PolicyEntry("random", f"{_HERE}.simple:RandomPolicy", "clicks drawn from the seed", per_case=True),
        PolicyEntry("oracle", f"{_HERE}.oracle:OraclePolicy", "knows the true mask", needs_truth=True, per_case=True),
    ),
    methods=("act", "aact"),
    remedy="derive it from ibisagent.agent.policies.SyncPolicy",
)


def find_policy(policy: Policy | str) -> PolicyEntry:
    """Return the entry of a name that the operator gave, or what a policy itself says; a dotted name is imported."""
    if not isinstance(policy, str):
        return PolicyEntry(
            policy.name,
            "",
            "a policy made by the caller",
            is_local=bool(getattr(policy, "is_local", False)),
            uses_prompts=True,
            is_person=bool(getattr(policy, "is_person", False)),
        )
    if not POLICIES.is_third_party(policy):
        return POLICIES.find(policy)
    found = POLICIES.import_class(policy)
    takes, dotted = constructor_arguments(found), split_options(policy)[0]
    return PolicyEntry(
        dotted,
        dotted,
        inspect.getdoc(found) or "",
        is_local=bool(getattr(found, "is_local", False)),
        needs_truth=takes.get("truth", False),
        per_case=bool(takes.keys() & {"seed", "truth"}),
        uses_prompts="prompts" in takes,
        is_person=bool(getattr(found, "is_person", False)),
    )


def get_policy(policy: Policy | str, options: PolicyOptions = DEFAULTS) -> Policy:
    """Return the policy that the operator named; a policy itself is returned as it is.

    `POLICIES` lists the names; ``package.module:Class`` is a third party's. A local model whose folder lists its
    learned targets, as nano's does, declines any other target.
    """
    return find_policy(policy).open(policy, options) if isinstance(policy, str) else policy


def require_autonomous(policy: Policy | str) -> None:
    """Raise `InputError` for a policy that waits for a person."""
    if find_policy(policy).is_person:
        name = policy if isinstance(policy, str) else policy.name
        raise InputError(f"policy {name!r}: got one that asks, expected one that acts alone; use `ibisagent segment`")
