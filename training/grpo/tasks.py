"""The tasks of a GRPO training: requests on pictures with their true masks, in a chosen share of absent targets.

A share of them may begin at recorded states.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice
from math import ceil
from pathlib import Path
from typing import TypeVar

import numpy as np

from ibisagent.agent.record_images import open_recorded_image
from ibisagent.tools.cache import OnceCache
from ibisagent.tools.datasets import Case
from ibisagent.tools.errors import InputError
from ibisagent.tools.imaging.grids import Mask
from ibisagent.tools.imaging.medical_image import MedicalImage
from ibisagent.tools.masks.rle import decode
from ibisagent.training.starts import Start

__all__ = [
    "OpenedCase",
    "RecordedStarts",
    "TaskSet",
    "balance_cases",
    "choose_cases",
    "hold_out",
    "mix_starts",
    "order_tasks",
]

_Task = TypeVar("_Task")

_KEPT = 64  # opened cases
_LEAST_PICTURES = 5


@dataclass(frozen=True, slots=True, eq=False)
class OpenedCase:
    """A task with its picture and its true mask, (H, W) bool.

    ``target``: its name, None where it is not known; ``start``: the recorded state at which it begins, None: afresh.
    """

    request: str
    target: str | None
    image: MedicalImage
    truth: Mask
    start: Start | None = None


@dataclass(frozen=True, slots=True)
class RecordedStarts:
    """Starts, each as often as it is to be a task; ``folder``: of their file, ``roots``: others with their pictures."""

    starts: list[Start] = field(default_factory=list)
    folder: Path = Path()
    roots: tuple[Path, ...] = ()

    def open(self, number: int) -> OpenedCase:
        """Open a start's picture; `InputError` where it is not the recorded one."""
        start = self.starts[number]
        assert start.record.truth is not None
        image = open_recorded_image(start.record.image, self.folder, self.roots)
        return OpenedCase(start.record.request, None, image, decode(start.record.truth), start)


class TaskSet:
    """The cases that are trained on, by number, and after them the starts; the last that were opened stay open."""

    def __init__(self, cases: Sequence[Case], recorded: RecordedStarts | None = None) -> None:
        """Take the cases and the starts, each as often as it is to be a task."""
        self.cases, self.recorded = list(cases), recorded or RecordedStarts()
        self._opened: OnceCache[OpenedCase] = OnceCache(_KEPT)

    def __len__(self) -> int:
        """Return the number of tasks."""
        return len(self.cases) + len(self.recorded.starts)

    def open(self, number: int) -> OpenedCase:
        """Open a task; `InputError` for one that cannot be used."""
        if number >= len(self.cases):
            return self._opened.get(number, lambda: self.recorded.open(number - len(self.cases)))
        case = self.cases[number]
        return self._opened.get((case.image, case.id), lambda: _open(case))


def order_tasks(tasks: TaskSet, seed: int) -> list[int]:
    """Return the numbers of all tasks in a random order, in which any few in a row have about the shares of the whole.

    The shares of present and of absent targets, and of starts: what is worth refusing depends on them, so that updates
    with other shares would pull to and fro.
    """
    rng, kinds = np.random.default_rng([seed, 1]), dict[str, list[int]]()
    for number in range(len(tasks)):
        kind = "start" if number >= len(tasks.cases) else "present" if tasks.cases[number].present else "absent"
        kinds.setdefault(kind, []).append(number)
    placed = list[tuple[float, int]]()
    for numbers in kinds.values():
        places = (np.arange(len(numbers)) + rng.random()) / len(numbers)
        placed += zip(places.tolist(), rng.permutation(numbers).tolist(), strict=True)
    return [number for _, number in sorted(placed)]


def _open(case: Case) -> OpenedCase:
    image = case.open()
    return OpenedCase(case.request, case.target, image, case.read_truth(image))


def mix_starts(
    cases: Sequence[Case], starts: Sequence[Start], share: float, seed: int
) -> tuple[list[Case], list[Start]]:
    """Return the cases and the starts, some of them repeatedly, so that the starts are about a ``share`` of all.

    Each occurs at least once; with a share of 1 no case does.
    """
    total = len(starts) / share if share == 1 else max(len(cases) / (1 - share), len(starts) / share)
    rng = np.random.default_rng(seed)
    return _repeat(cases, ceil(total * (1 - share)), rng), _repeat(starts, ceil(total * share), rng)


def _repeat(some: Sequence[_Task], count: int, rng: np.random.Generator) -> list[_Task]:
    more = count - len(some)
    order = rng.permutation(len(some)).tolist()
    repeated = list(islice(cycle(some[number] for number in order), max(more, 0)))
    return [*some[:count], *repeated]


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
