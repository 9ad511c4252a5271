"""Segmentation requests: wordings for a target, and reasoning requests that do not name it."""

from string import Template

import numpy as np

from ibisagent.tools.vocabulary.words import REQUEST_TEMPLATES, VOCABULARY, verb_of
from ibisagent.training.requests.questions import ReasoningRequest, build_reasoning_requests

__all__ = ["ReasoningRequest", "build_reasoning_requests", "write_initial_request", "write_refinement_request"]

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


def _write_request(stage: str, target: str, rng: np.random.Generator) -> str:
    categories = list(REQUEST_TEMPLATES[stage].values())
    templates = categories[int(rng.integers(len(categories)))]
    template = templates[int(rng.integers(len(templates)))]
    names = VOCABULARY.synonyms.get(target, ())
    name = names[int(rng.integers(len(names)))] if names and rng.random() < _SYNONYM_RATE else target
    return Template(template).substitute({"target": name, "is": verb_of(target)})
