"""The suites that ship. A further one is a further line of `SUITES`, or a `Suite` of your own for `run_suite`."""

from collections.abc import Mapping, Sequence

import numpy as np

from ibisagent.evals.suites.suite import Condition, Suite, SuiteInput
from ibisagent.tools.datasets import Case
from ibisagent.tools.perturbations import request_changes as requests
from ibisagent.tools.perturbations.click_jitter import ClickJitter
from ibisagent.tools.perturbations.picture_shifts import SHIFTS, PictureShift

__all__ = ["SUITES"]

_PIXELS = (2, 5, 10, 20)
_SHARES = (0.01, 0.02, 0.05, 0.1)
_INITIAL_MASKS = {
    "rough": "perturbed_mask",
    "shifted": "shifted_mask",
    "wrong": "disc_mask",
    "other-organ": "other_target_mask",
}


def _segmenters(given: SuiteInput) -> Sequence[Condition]:
    return [Condition(name, segmenter=name) for name in given.segmenters[1:]]


def _jitters(given: SuiteInput) -> Sequence[Condition]:
    del given
    return [
        *(Condition("pixels", number, jitter=ClickJitter(pixels=far)) for number, far in enumerate(_PIXELS, 1)),
        *(Condition("share", number, jitter=ClickJitter(share=far)) for number, far in enumerate(_SHARES, 1)),
    ]


def _paraphrases(given: SuiteInput) -> Sequence[Condition]:
    del given
    return [
        Condition("synonym", request=requests.use_synonym),
        Condition("small-letters", request=requests.make_lower_case),
        Condition("capitals", request=requests.make_upper_case),
        *(Condition("slips", count, request=requests.mistype(count)) for count in (1, 2, 3)),
        Condition("question", request=requests.put_as_question),
        *(Condition(language, request=requests.ask_in(language)) for language in requests.LANGUAGES),
    ]


def _absences(given: SuiteInput) -> Sequence[Condition]:
    return [
        Condition("other-modality", request=_ask_of_other_modality(given.cases)),
        Condition("impossible", request=requests.make_impossible),
        Condition("contradictory", request=requests.contradict),
    ]


def _ask_of_other_modality(cases: Sequence[Case]) -> requests.RequestChange:
    """Return the change to a target that the data set has in other modalities only."""
    there: dict[str, set[str]] = {}
    for case in cases:
        there.setdefault(case.modality, set()).add(case.target)

    def change(case: Case, rng: np.random.Generator) -> Case | None:
        own = there[case.modality]
        others = sorted({each.target for each in cases if each.present} - own) if case.modality else []
        return requests.make_absent(case, others[int(rng.integers(len(others)))]) if others else None

    return change


def _initial_masks(given: SuiteInput) -> Sequence[Condition]:
    del given
    return [Condition(kind, start=start) for kind, start in _INITIAL_MASKS.items()]


def _shifts(given: SuiteInput) -> Sequence[Condition]:
    del given
    made = []
    for kind, shift in SHIFTS.items():
        for severity in range(1, len(shift.levels) + 1):
            degree = severity if len(shift.levels) > 1 else None
            change = requests.swap_sides if kind == "flip" else None
            made.append(Condition(kind, degree, request=change, shift=PictureShift(kind, severity)))
    return made


def _seeds(given: SuiteInput) -> Sequence[Condition]:
    return [Condition(f"seed-{seed}", seed=seed) for seed in given.seeds[1:]]


_SUITES = (
    Suite(
        "segmenter",
        "another segmenter behind the same policy",
        _segmenters,
        ("iou", "dice", "found", "verdict"),
        takes="segmenters",
    ),
    Suite("jitter", "clicks moved, by pixels or shares of the picture's longer side", _jitters),
    Suite("paraphrase", "the same target asked for in other words", _paraphrases, averaged=True),
    Suite(
        "absent",
        "requests for what is not there or cannot be",
        _absences,
        ("verdict", "refused", "declined"),
        accuracy=True,
    ),
    Suite(
        "initial-mask", "runs that begin with a mask that is rough, shifted, wrong or another target's", _initial_masks
    ),
    Suite("shift", "pictures as other scanners, settings and exports make them", _shifts, averaged=True),
    Suite("seeds", "other seeds of a policy that draws", _seeds, takes="seeds", spread=True),
)
SUITES: Mapping[str, Suite] = {suite.name: suite for suite in _SUITES}
"""Every suite by its name."""
