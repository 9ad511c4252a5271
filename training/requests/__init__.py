"""Segmentation requests: wordings for a target, and reasoning requests that do not name it."""

import re
from functools import cache
from string import Template

import numpy as np

from ibisagent.tools.vocabulary.words import REQUEST_TEMPLATES, VOCABULARY, verb_of
from ibisagent.training.requests.questions import ReasoningRequest, build_reasoning_requests, is_description

__all__ = [
    "ReasoningRequest",
    "build_reasoning_requests",
    "read_target_name",
    "write_initial_request",
    "write_refinement_request",
]

_SYNONYM_RATE = 0.4
"""How often a target is called by a synonym."""


def write_initial_request(target: str, rng: np.random.Generator) -> str:
    """Write a first request; a target without synonyms in our list keeps its own name.

    >>> write_initial_request("spleen", np.random.default_rng(3))
    'Where is the spleen?'
    """
    return _write_request("initial", target, rng)


def write_refinement_request(target: str, rng: np.random.Generator) -> str:
    """Write a request to refine an existing mask."""
    return _write_request("refining", target, rng)


def read_target_name(request: str) -> tuple[str, str] | None:
    """Return the target that a request in one of our wordings asks for, and the name by which it does, in lower case.

    None where the wording is another or describes the target; a name alone is one only where it is in our list.

    >>> read_target_name("Where is the hepatic artery?"), read_target_name("liver lesion")
    (('hepatic artery', 'hepatic artery'), ('liver tumour', 'liver lesion'))
    """
    found = [match["target"] for pattern in _name_patterns() if (match := pattern.fullmatch(request))]
    name = min(found, key=len, default=request).lower()
    target = _targets_by_name().get(name)
    if is_description(name) or not (found or target):
        return None
    return target or name, name


@cache
def _name_patterns() -> list[re.Pattern[str]]:
    """Return patterns of all wordings but a name alone."""
    whole = {template for table in REQUEST_TEMPLATES.values() for some in table.values() for template in some}
    return [_build_pattern(template) for template in sorted(whole - {"$target"})]


def _build_pattern(template: str) -> re.Pattern[str]:
    pattern = re.escape(template).replace(r"\$is", "(?:is|are)")
    return re.compile(pattern.replace(r"\$target", r"(?P<target>[^.,:?!]+)"))


@cache
def _targets_by_name() -> dict[str, str]:
    others = {name: target for target, names in VOCABULARY.synonyms.items() for name in names}
    return others | {target: target for target in (*VOCABULARY.names, *VOCABULARY.synonyms)}


def _write_request(stage: str, target: str, rng: np.random.Generator) -> str:
    categories = list(REQUEST_TEMPLATES[stage].values())
    templates = categories[int(rng.integers(len(categories)))]
    template = templates[int(rng.integers(len(templates)))]
    names = VOCABULARY.synonyms.get(target, ())
    name = names[int(rng.integers(len(names)))] if names and rng.random() < _SYNONYM_RATE else target
    return Template(template).substitute({"target": name, "is": verb_of(target)})
