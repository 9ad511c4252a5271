"""The tasks of a GRPO training: requests on pictures with their true masks, in a chosen share of absent targets."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, islice

import numpy as np

from ibisagent.tools.cache import OnceCache
from ibisagent.tools.datasets import Case
from ibisagent.tools.errors import InputError
from ibisagent.tools.imaging.grids import Mask
from ibisagent.tools.imaging.medical_image import MedicalImage

__all__ = ["OpenedCase", "TaskSet", "balance_cases", "choose_cases", "hold_out"]

_KEPT = 64  # opened cases
_LEAST_PICTURES = 5


@dataclass(frozen=True, slots=True, eq=False)
class OpenedCase:
    """A case with its picture and its true mask, (H, W) bool."""

    case: Case
    image: MedicalImage
    truth: Mask


class TaskSet:
    """The cases that are trained on, by number; the last ones that were opened stay open."""

    def __init__(self, cases: Sequence[Case]) -> None:
        """Take the cases, each as often as it is to be a task."""
        self.cases = list(cases)
        self._opened: OnceCache[OpenedCase] = OnceCache(_KEPT)

    def __len__(self) -> int:
        """Return the number of tasks."""
        return len(self.cases)

    def open(self, number: int) -> OpenedCase:
        """Open a task's case; `InputError` for one that cannot be used."""
        case = self.cases[number]
        return self._opened.get((case.image, case.id), lambda: _open(case))


def _open(case: Case) -> OpenedCase:
    image = case.open()
    return OpenedCase(case, image, case.read_truth(image))


def hold_out(cases: Sequence[Case], pictures: int, seed: int) -> tuple[list[Case], list[Case]]:
    """Split cases by their pictures' files, of which ``pictures`` are held out, but at most a fifth of them.

    `InputError` for fewer than five pictures.
    """
    keys = list(dict.fromkeys(case.image for case in cases))
    if len(keys) < _LEAST_PICTURES:
        expected = f"expected {_LEAST_PICTURES} or more, a part of which is held out"
        raise InputError(f"data: got {len(keys)} pictures, {expected}; give a validation set, or validation.every = 0")
    count = min(pictures, len(keys) // _LEAST_PICTURES)
    held = {keys[number] for number in np.random.default_rng(seed).permutation(len(keys))[:count]}
    return [case for case in cases if case.image not in held], [case for case in cases if case.image in held]


def choose_cases(cases: Sequence[Case], count: int, seed: int) -> list[Case]:
    """Draw ``count`` cases by picture, a third of them with absent targets, fewer where there are fewer."""
    rng, chosen = np.random.default_rng(seed), list[Case]()
    for present, wanted in ((False, count // 3), (True, count - count // 3)):
        kind = [case for case in cases if case.present == present]
        chosen += [kind[number] for number in rng.permutation(len(kind))[:wanted]]
    return sorted(chosen, key=lambda case: (case.image, case.id))


def balance_cases(cases: Sequence[Case], absent: float, seed: int) -> list[Case]:
    """Return the cases with present targets, and of the others as many as make the share, some of them repeatedly.

    ``absent`` below 0: all cases as they are. `InputError` where one kind is wanted and there is none.
    """
    there, gone = ([case for case in cases if case.present == present] for present in (True, False))
    if absent < 0:
        return list(cases)
    if not there or (absent > 0 and not gone):
        kind = "absent" if there else "present"
        raise InputError(f"data: got no case with an {kind} target, expected some; add them or set rollouts.absent")
    order = np.random.default_rng(seed).permutation(len(gone)).tolist()
    count = round(len(there) * absent / (1 - absent))
    return [*there, *islice(cycle(gone[number] for number in order), count if gone else 0)]
