"""From trajectories to samples: one for each state before a reply, found again in its file when it is needed."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ibisagent.agent.components import Parts
from ibisagent.agent.config import LoopConfig
from ibisagent.agent.coordinates import Frame
from ibisagent.agent.prompting import PromptSet, Said
from ibisagent.agent.replay import config_of
from ibisagent.agent.stores import RunStore
from ibisagent.agent.trajectory import Trajectory
from ibisagent.tools.errors import InputError
from ibisagent.tools.files import label
from ibisagent.tools.masks.rle import decode, rle_key
from ibisagent.training.recorded_states import Before, parts_of, states_of

__all__ = ["Mistakes", "Place", "Sample", "Samples"]

_SIZES = ("picture_side", "enlarge", "coordinates", "resizing")  # settings that a picture's size follows from
Mistakes = Literal["mask", "correct"]
"""What is learned where a reply has a teacher's beside it: its own thought without the action, or the teacher's."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a sample lies: the byte in ``file`` at which its record begins, and the state's number in it.

    ``shown`` names the picture with its mask: samples of one name are shown the same.
    """

    file: int
    byte: int
    number: int
    shown: str


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """What the policy is shown, and the reply that it learns.

    ``action_counts``: the tokens of the action carry loss, as those of the thought do; not so those of a mistake.
    ``mask``: (H, W) bool, the one that is shown; ``truth``: the target's, None where the run had none; ``frame``: in
    which the reply's numbers are written.
    """

    conversation: list[Said]
    reply: str
    action_counts: bool
    mask: NDArray[np.bool_]
    truth: NDArray[np.bool_] | None
    frame: Frame

    @property
    def refuses(self) -> bool:
        """Tell whether the reply says that the target is not there."""
        return self.truth is not None and not self.truth.any() and "Terminate" in self.reply

    @property
    def missed(self) -> NDArray[np.bool_] | None:
        """Give where a click of the reply may lie, (H, W) bool, None for every other reply."""
        if self.truth is None:
            return None
        if "Positive Point" in self.reply:
            return self.truth & ~self.mask
        return self.mask & ~self.truth if "Negative Point" in self.reply else None


class Samples:
    """The samples of trajectory files; nothing but their places is held."""

    def __init__(self, files: Sequence[Path], prompts: PromptSet, *, mistakes: Mistakes = "correct") -> None:
        """Find the samples of ``.jsonl`` files; each record's settings decide what its policy is shown.

        `InputError` for a file that cannot be read, a record whose image is not there, and for files without samples.
        """
        self.files, self._prompts, self._mistakes = list(files), prompts, mistakes
        self._parts: dict[LoopConfig, Parts] = {}
        self._remembers = False
        self.places = list(self._find())
        if not self.places:
            raise InputError(f"got no state in {len(self.files)} trajectory files, expected some; make trajectories")

    def __len__(self) -> int:
        """Count them."""
        return len(self.places)

    def __getitem__(self, index: int) -> Sample:
        """Render a sample with the code that the loop shows its states by."""
        place = self.places[index]
        record = self._record(place)
        store = RunStore()
        parts = replace(self._parts_of(config_of(record)), store=store)
        before = next(islice(states_of(record, self.files[place.file].parent, store), place.number, None))
        observation = parts.observation(before.state)
        reply = _reply(before, self._mistakes)
        return Sample(
            conversation=self._prompts.conversation(observation),
            reply=reply,
            action_counts=self._mistakes == "correct" or before.step.completion.get("label") is None,
            mask=observation.mask,
            truth=decode(record.truth) if record.truth is not None else None,
            frame=observation.frame,
        )

    def texts_of(self, index: int) -> Iterator[str]:
        """Give a sample's prompt and reply as text, from which a tokenizer is trained."""
        sample = self[index]
        yield from (said.text for said in sample.conversation)
        yield sample.reply

    def groups(self, most: int) -> list[list[int]]:
        """Gather samples that are shown the same picture, at most ``most`` of them together.

        `InputError` when several are wanted and a record shows all turns: its samples are shown many pictures each.
        """
        if most > 1 and self._remembers:
            raise InputError("got runs in the context 'history' with 'pack', expected 'stateless'; set pack = 0")
        together: dict[str, list[int]] = {}
        # In files the targets that are there come first: in that order some rows would hold refusals alone.
        for index in np.random.default_rng(0).permutation(len(self.places)).tolist():
            together.setdefault(self.places[index].shown, []).append(index)
        return [some[start : start + most] for some in together.values() for start in range(0, len(some), most)]

    def _find(self) -> Iterator[Place]:
        there = set[Path]()
        for number, path in enumerate(self.files):
            for byte, record in _records(path):
                picture = _picture(record, path)
                if picture not in there and not picture.exists():
                    raise InputError(f"{label(picture)}: got no such image for {path.name}, expected it; bring it back")
                there.add(picture)
                self._remembers |= record.config.get("context") == "history"
                for index, shown in enumerate(_shown(record, self._mistakes)):
                    if shown is not None:
                        yield Place(number, byte, index, shown)

    def _record(self, place: Place) -> Trajectory:
        with self.files[place.file].open("rb") as file:
            file.seek(place.byte)
            return Trajectory.from_json(json.loads(file.readline()))

    def _parts_of(self, config: LoopConfig) -> Parts:
        if config not in self._parts:
            self._parts[config] = parts_of(config)
        return self._parts[config]


def _records(path: Path) -> Iterator[tuple[int, Trajectory]]:
    byte = 0
    try:
        with path.open("rb") as file:
            for line in file:
                yield byte, Trajectory.from_json(json.loads(line))
                byte += len(line)
    except InputError as error:
        raise InputError(f"{label(path)}: {error}") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{label(path)}: not a readable trajectory file ({type(error).__name__}); make it") from error


def _picture(record: Trajectory, path: Path) -> Path:
    uri: str | None = record.image.get("uri")
    if uri is None:
        raise InputError(f"{label(path)}: got a run on an image without a file, expected one; leave the run out")
    return path.parent / uri


def _shown(record: Trajectory, mistakes: Mistakes) -> Iterable[str | None]:
    """Name what is shown at each reply; None where nothing is to be learned."""
    mask, sizes = record.start, [record.config.get(each) for each in _SIZES]
    for step in record.steps:
        if step.reply is not None:
            taught = mistakes == "correct" and step.completion.get("label") is not None
            learned = step.by == "policy" and (step.action is not None or taught)
            yield f"{record.image['sha']} {rle_key(mask)} {sizes}" if learned else None
        mask = step.mask


def _reply(before: Before, mistakes: Mistakes) -> str:
    said = before.step.completion.get("label")
    return str(said if said is not None and mistakes == "correct" else before.step.reply)
