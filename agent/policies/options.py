"""What a policy is opened with: the caller's values, and readers for the options at the end of a name."""

from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

from ibisagent.agent.coordinates import PROFILES
from ibisagent.agent.prompting import PromptSet, load_prompts
from ibisagent.tools.registry import OptionReader

__all__ = ["COUNT", "DEFAULTS", "NUMBER_PAIR", "PROFILE_NAME", "PolicyOptions", "one_of", "read_policy_options"]


@dataclass(frozen=True, slots=True, eq=False)
class PolicyOptions:
    """The caller's values for a policy; each policy takes what it uses.

    ``seed``: of what it draws; ``truth``: the true mask in any form that `OraclePolicy` takes; ``prompts``: in place of
    the policy's own; ``local_only``: refuse what may send a picture to another machine, and ask no model hub;
    ``similar``: of a policy that clicks by rule, each click is an example (`ibisagent.tools.clicks.Similar`).
    """

    seed: int = 0
    truth: Any = None
    prompts: PromptSet | None = None
    local_only: bool = False
    similar: bool = False


DEFAULTS = PolicyOptions()


def read_policy_options(*, seed: int = 0, prompt_file: Path | None = None, local_only: bool = False) -> PolicyOptions:
    """Return the options that a command line gives, its prompt file read; `InputError` for a wrong file."""
    prompts = load_prompts(prompt_file) if prompt_file is not None else None
    return PolicyOptions(seed=seed, prompts=prompts, local_only=local_only)


def one_of(**values: Any) -> tuple[str, OptionReader]:
    """Return the form and the parser of an option that is one of a few words, each with a value."""
    return "|".join(values), values.__getitem__


def _count(text: str) -> int:
    if (count := int(text)) < 1:
        raise ValueError(text)
    return count


def _numbers(text: str) -> tuple[float, ...]:
    first, second = (float(part) for part in text.split(","))
    if not (0 <= first < inf and 0 <= second < inf):
        raise ValueError(text)
    return first, second


NUMBER_PAIR: tuple[str, OptionReader] = ("X,Y", _numbers)
COUNT: tuple[str, OptionReader] = ("N", _count)
PROFILE_NAME: tuple[str, OptionReader] = one_of(**{profile: profile for profile in PROFILES})
