"""How a segmentation is asked for: wordings for a target, and questions that do not name it."""

from string import Template

import numpy as np

from ibisagent.training.requests.questions import Question, questions
from ibisagent.training.requests.words import CATEGORIES, TARGETS, verb_of

__all__ = ["Question", "initial", "questions", "refining"]

_OTHERWISE = 0.4
"""How often a target goes by another of its names."""


def initial(target: str, rng: np.random.Generator) -> str:
    """Word a first request; a target without synonyms of ours goes by its own name.

    >>> initial("spleen", np.random.default_rng(3))
    'Where is the spleen?'
    """
    return _worded("initial", target, rng)


def refining(target: str, rng: np.random.Generator) -> str:
    """Word the request to go on from a mask that is there."""
    return _worded("refining", target, rng)


def _worded(stage: str, target: str, rng: np.random.Generator) -> str:
    categories = list(CATEGORIES[stage].values())
    templates = categories[int(rng.integers(len(categories)))]
    template = templates[int(rng.integers(len(templates)))]
    names = TARGETS.synonyms.get(target, ())
    named = names[int(rng.integers(len(names)))] if names and rng.random() < _OTHERWISE else target
    return Template(template).substitute({"target": named, "is": verb_of(target)})
