"""Local models by name, shared by all graphs of this process."""

import os
import threading
from importlib.resources import files
from pathlib import Path
from weakref import WeakValueDictionary

import torch

from ibisagent.agent.policies.abstention import AbstainingPolicy
from ibisagent.agent.policies.base import Policy
from ibisagent.agent.policies.local.loading import download_folder, open_local
from ibisagent.agent.policies.local.own_proposal import OwnProposalPolicy
from ibisagent.agent.policies.local.policy import LocalPolicy
from ibisagent.agent.policies.options import COUNT, DEFAULTS, PROFILE_NAME, PolicyOptions, one_of
from ibisagent.tools.errors import InputError, describe_error
from ibisagent.tools.files import printable_text
from ibisagent.tools.registry import parse_options

__all__ = ["NANO", "find_model_folder", "open_named", "open_policy"]

NANO = Path(str(files("ibisagent.agent.policies") / "nano"))
"""The folder of the model that is part of the package."""

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_OPTIONS = {
    "dtype": one_of(**_DTYPES),
    "device": ("cpu|cuda|cuda:N", lambda value: str(torch.device(value))),
    "max_pixels": COUNT,
    "max_tokens": COUNT,
    "coordinates": PROFILE_NAME,
}

_shared: "WeakValueDictionary[object, LocalPolicy]" = WeakValueDictionary()
_lock = threading.Lock()


def open_policy(name: str, options: PolicyOptions) -> Policy:
    """Return the policy of a model; one whose folder lists its learned targets declines any other target.

    One that draws its targets stops at a mask that its own drawing proposed.
    """
    model = open_named(name, options)
    policy: Policy = OwnProposalPolicy(model) if model.draws else model
    return AbstainingPolicy(policy, model.targets) if model.targets is not None else policy


def open_named(name: str, options: PolicyOptions = DEFAULTS, *, nano: Path = NANO) -> LocalPolicy:
    """Return the model ``nano``, or ``hf:FOLDER_OR_ID``, the same one while it is in use and its files are unchanged.

    ``hf:`` takes options at its end, ``?dtype=bf16&device=cuda:1&max_pixels=262144&max_tokens=256``. ``nano``: a folder
    in place of the shipped one. The shipped model runs on the CPU, where it is
    the same everywhere, any other on CUDA where there is some.
    """
    if name == "nano" and not (nano / "model.safetensors").is_file():
        raise InputError(
            "policy 'nano': got a build without its model, expected the released one; install that, or name hf:FOLDER"
        )
    bare, own = parse_options("policy", name, _OPTIONS)
    source = bare.partition(":")[2]
    folder = nano if name == "nano" else find_model_folder(source, local_only=options.local_only)
    key = (name, repr(options.prompts), folder.resolve(), _modification_times(folder))
    with _lock:
        policy = _shared.get(key)
        if policy is None:
            cuda = name != "nano" and torch.cuda.is_available()
            given = {"name": name, "prompts": options.prompts, "device": "cuda" if cuda else "cpu"}
            policy = open_local(folder, **given | own)
            _shared[key] = policy
        return policy


def find_model_folder(source: str, *, local_only: bool = False) -> Path:
    """Return a local folder, or download a hub's ``owner/model`` or ``owner/model/folder`` unless it is cached."""
    folder = Path(source)
    if source and os.path.isdir(folder):
        return folder
    named = f"policy 'hf:{printable_text(source)}'"
    if local_only:
        raise InputError(f"{named}: got no folder here, and --local-only forbids to ask the hub; give a folder")
    try:
        return download_folder(source)
    except (OSError, ValueError) as error:
        raise InputError(
            f"{named}: got no folder here and no hub id that can be downloaded ({describe_error(error, 120)})"
        ) from error


def _modification_times(folder: Path) -> tuple[tuple[str, int], ...]:
    """Return each file of a folder with its time of modification; empty if there is no folder."""
    try:
        return tuple(sorted((each.name, each.stat().st_mtime_ns) for each in folder.iterdir() if each.is_file()))
    except OSError:
        return ()
