"""`ibisagent doctor --train CONFIG`: whether a GRPO training of a config can run here, one line a check."""

from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import NamedTuple

from packaging.requirements import Requirement
from rich.console import Console

from ibisagent.tools.errors import InputError, MissingExtra, RunFailed, describe_error

MissingExtra.require("train", "torch", "transformers", "trl", "peft", "datasets", "accelerate")

import torch  # noqa: E402

from ibisagent.agent.policies.local import NANO, find_model_folder  # noqa: E402
from ibisagent.training.grpo.config import GRPOTraining, read_grpo_training  # noqa: E402
from ibisagent.training.grpo.memory import count_parameters, estimate_memory  # noqa: E402
from ibisagent.training.grpo.served_policy import find_served_model  # noqa: E402

__all__ = ["run_training_doctor"]

_PACKAGES = ("torch", "transformers", "trl", "peft", "accelerate", "datasets")
_SHARE = 0.95  # of a GPU's memory that a training may take


class _Check(NamedTuple):
    """One line of the report; ``fault``: what is wrong, None for what is well."""

    said: str
    fault: str | None = None


def run_training_doctor(config: str, overrides: Sequence[str] = (), base: str | None = None) -> None:
    """Print a line for each check of a training config; `RunFailed` names those that failed."""
    training, console = read_grpo_training(config, overrides), Console()
    checks = [*_packages(training), _gpus(training), _memory(training, base or training.base)]
    checks += [_server(training.rollouts.server)] if training.rollouts.server else []
    for check in checks:
        verdict = "ok" if check.fault is None else check.fault
        console.print(f"{check.said}: {verdict}", soft_wrap=True, markup=False, highlight=False)
    if faults := [f"{check.said}: {check.fault}" for check in checks if check.fault is not None]:
        raise RunFailed(f"{config}: {len(faults)} of {len(checks)} checks failed; first {faults[0]}")


def _packages(training: GRPOTraining) -> Iterator[_Check]:
    further = (("deepspeed", training.train.get("deepspeed")), ("vllm", training.rollouts.server))
    for name in (*_PACKAGES, *(name for name, used in further if used)):
        needed = _requirement(name)
        asked = f"needs {needed.specifier or 'any version'}"
        try:
            found = version(name)
        except PackageNotFoundError:
            yield _Check(f"{name} ({asked})", "missing; install it")
            continue
        fits = needed.specifier.contains(found, prereleases=True)
        yield _Check(f"{name} {found} ({asked})", None if fits else "another version; install that")


def _requirement(name: str) -> Requirement:
    """Return what this package asks of another, whatever the extra that asks it."""
    asked = (Requirement(line) for line in requires("ibisagent") or ())
    return next((each for each in asked if each.name == name), Requirement(name))


def _gpus(training: GRPOTraining) -> _Check:
    found = torch.cuda.device_count()
    said = f"GPUs: {found} (the config is for {training.gpus}{', besides the server' * bool(training.rollouts.server)})"
    return _Check(said, "too few; set tasks and chunks for what is there" if found < training.gpus else None)


def _memory(training: GRPOTraining, base: str) -> _Check:
    if not training.gpus:
        folder = NANO if base == "nano" else _folder_of(training, base)
        found = folder is not None and (folder / "config.json").is_file()
        fault = None if found else "no model of that name on this machine; correct it or fetch the model first"
        return _Check(f"base {base}; memory: no estimate for a config without GPUs", fault)
    try:
        parameters = count_parameters(base, _folder_of(training, base))
    except InputError as error:
        return _Check("memory", str(error))
    parts = estimate_memory(training, parameters, training.gpus)
    total = sum(parts.values())
    listed = ", ".join(f"{name} {size:.1f}" for name, size in parts.items())
    said = f"memory: {total:.0f} GB a GPU by estimate ({listed})"
    held = [torch.cuda.get_device_properties(n).total_memory / 1e9 for n in range(torch.cuda.device_count())]
    if not held:
        return _Check(said, "no GPU to compare it with")
    fault = f"more than {_SHARE:.0%} of {min(held):.0f} GB; raise rollouts.chunks or lower rollouts.workers"
    return _Check(f"{said}, {min(held):.0f} GB here", fault if total > _SHARE * min(held) else None)


def _folder_of(training: GRPOTraining, base: str) -> Path | None:
    """Return the folder of a base that is here, None of one that would have to be downloaded."""
    beside = training.folder / base
    if beside.is_dir():
        return beside
    try:
        return find_model_folder(base, local_only=True)
    except InputError:
        return None


def _server(url: str) -> _Check:
    try:
        return _Check(f"server {url}: serves {find_served_model(url)}")
    except InputError as error:
        return _Check(f"server {url}", describe_error(error, 300))
