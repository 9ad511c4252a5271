"""Training samples from trajectories: one for each state before a reply, read from its file when it is needed."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ibisagent.agent.actions import ALL_KINDS
from ibisagent.agent.coordinates import CoordinateFrame
from ibisagent.agent.prompting import Message, PromptSet
from ibisagent.agent.record_images import find_recorded_image
from ibisagent.agent.reply_parser import parse_reply
from ibisagent.agent.reply_sections import join_pieces, split_sections
from ibisagent.agent.trajectory import Step, Trajectory
from ibisagent.tools.errors import InputError
from ibisagent.tools.files import printable_text
from ibisagent.tools.masks.rle import decode, rle_key
from ibisagent.training.rendering import StateRenderer, is_rendered

__all__ = ["MistakeHandling", "Sample", "SampleRef", "Samples", "find_shards", "is_of_model", "replaces_reply"]

_REMEDY = "bring it back, or name its folder with --root"
_SIZE_SETTINGS = (
    "picture_side",
    "enlarge",
    "coordinates",
    "smart_resize",
)  # settings that a picture's size follows from
MistakeHandling = Literal["mask", "correct"]
"""What is learned of a reply that the expert relabeled: its own thought without the action, or the expert's reply."""


@dataclass(frozen=True, slots=True)
class SampleRef:
    """A reference to a sample: the byte ``offset`` in ``file`` at which its record begins, and the state's index in it.

    ``view_key`` names the picture with its mask: samples of one name are shown the same.
    """

    file: int
    offset: int
    state_index: int
    view_key: str


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """What the policy is shown, and the reply that it learns.

    ``rejected``: what the policy replied where ``reply`` is the label that replaces it.
    ``action_has_loss``: the tokens of the action carry loss, as those of the thought do; not so those of a mistake.
    ``mask``: (H, W) bool, the one that is shown; ``truth``: the target's, None where the run had none; ``frame``: in
    which the reply's numbers are written.
    """

    conversation: list[Message]
    reply: str
    rejected: str | None
    action_has_loss: bool
    mask: NDArray[np.bool_]
    truth: NDArray[np.bool_] | None
    frame: CoordinateFrame

    @property
    def is_refusal(self) -> bool:
        """Whether the reply says that the target is not there."""
        return self.truth is not None and not self.truth.any() and "Terminate" in self.reply

    @property
    def click_region(self) -> NDArray[np.bool_] | None:
        """Return where a click of the reply may lie, (H, W) bool, None for every other reply."""
        if self.truth is None:
            return None
        if "Positive Point" in self.reply:
            return self.truth & ~self.mask
        return self.mask & ~self.truth if "Negative Point" in self.reply else None


class Samples:
    """The samples of trajectory files; only their `SampleRef` are kept in memory."""

    def __init__(
        self,
        files: Sequence[Path],
        prompts: PromptSet,
        *,
        mistakes: MistakeHandling = "correct",
        roots: Sequence[Path] = (),
        pairs: bool = False,
    ) -> None:
        """Find the samples of ``.jsonl`` files; each record's settings decide what its policy is shown.

        ``roots``: folders with the records' images, beside the files' own. ``pairs``: only replies with another action
        as their label, which are then samples with a ``rejected`` reply. `InputError` for a file that cannot be read, a
        record whose image is not there, and for files without samples.
        """
        self.files, self._mistakes, self._roots = list(files), mistakes, tuple(roots)
        self._is_learned = _is_pair if pairs else partial(_is_learned, mistakes=mistakes)
        self._renderer = StateRenderer(prompts)
        self._images: dict[tuple[Any, ...], dict[str, Any]] = {}
        self._has_history = False
        self.refs = list(self._find_refs())
        if not self.refs:
            kind = "reply with another action as its label" if pairs else "state"
            raise InputError(f"got no {kind} in {len(self.files)} trajectory files, expected some; make trajectories")

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.refs)

    def __getitem__(self, index: int) -> Sample:
        """Render a sample with the loop's own code for observations."""
        ref = self.refs[index]
        record = self._read_record(ref)
        image = self._find_image(record, self.files[ref.file])
        conversation, observation, step = self._renderer.render_state(record, image, ref.state_index)
        label = step.completion.get("label")
        corrected = label is not None and self._mistakes == "correct"
        return Sample(
            conversation=conversation,
            reply=str(label if corrected else step.reply),
            rejected=step.reply if corrected else None,
            action_has_loss=corrected or label is None,
            mask=observation.mask,
            truth=decode(record.truth) if record.truth is not None else None,
            frame=observation.frame,
        )

    def records(self) -> Iterator[Trajectory]:
        """Yield the records that have samples, each once."""
        for ref in {(ref.file, ref.offset): ref for ref in self.refs}.values():
            yield self._read_record(ref)

    def texts_of(self, index: int) -> Iterator[str]:
        """Yield a sample's prompt and reply as text, from which a tokenizer is trained."""
        sample = self[index]
        yield from (message.text for message in sample.conversation)
        yield sample.reply

    def groups(self, max_size: int) -> list[list[int]]:
        """Gather samples that are shown the same picture, at most ``max_size`` of them together.

        `InputError` when several are wanted and a record shows all turns: its samples are shown many pictures each.
        """
        if max_size > 1 and self._has_history:
            raise InputError("got runs in the context 'history' with 'pack', expected 'stateless'; set pack = 0")
        together: dict[str, list[int]] = {}
        # In files the targets that are there come first: in that order some rows would hold refusals alone.
        for index in np.random.default_rng(0).permutation(len(self.refs)).tolist():
            together.setdefault(self.refs[index].view_key, []).append(index)
        return [some[start : start + max_size] for some in together.values() for start in range(0, len(some), max_size)]

    def _find_refs(self) -> Iterator[SampleRef]:
        for number, path in enumerate(self.files):
            for offset, record in _read_records(path):
                self._find_image(record, path)
                self._has_history |= record.config.get("context") == "history"
                for index, view_key in enumerate(_view_keys(record, self._is_learned)):
                    if view_key is not None:
                        yield SampleRef(number, offset, index, view_key)

    def _read_record(self, ref: SampleRef) -> Trajectory:
        with self.files[ref.file].open("rb") as file:
            file.seek(ref.offset)
            return Trajectory.from_json(json.loads(file.readline()))

    def _find_image(self, record: Trajectory, path: Path) -> dict[str, Any]:
        """Return the reference of a record's image, with a path that may be opened; each is looked up once."""
        key = (path.parent, *(repr(record.image.get(name)) for name in ("uri", "sha", "slice", "window")))
        if key not in self._images:
            try:
                self._images[key] = find_recorded_image(record.image, path.parent, self._roots, _REMEDY)
            except InputError as error:
                raise InputError(f"{printable_text(path)}: {error}") from error
        return self._images[key]


def _read_records(path: Path) -> Iterator[tuple[int, Trajectory]]:
    offset = 0
    try:
        with path.open("rb") as file:
            for line in file:
                yield offset, Trajectory.from_json(json.loads(line))
                offset += len(line)
    except InputError as error:
        raise InputError(f"{printable_text(path)}: {error}") from error
    except (OSError, ValueError) as error:
        raise InputError(
            f"{printable_text(path)}: not a readable trajectory file ({type(error).__name__}); make it"
        ) from error


def _view_keys(record: Trajectory, is_learned: Callable[[Trajectory, Step], bool]) -> Iterable[str | None]:
    """Yield a key of what is shown at each rendered step; None where nothing is to be learned."""
    mask, sizes = record.start, [record.config.get(each) for each in _SIZE_SETTINGS]
    for step in record.steps:
        if is_rendered(step):
            yield f"{record.image['sha']} {rle_key(mask)} {sizes}" if is_learned(record, step) else None
        mask = step.mask


def _is_learned(_record: Trajectory, step: Step, mistakes: MistakeHandling) -> bool:
    """Whether a reply or its label is learned: the policy's own, unless an empty label says that nothing is."""
    label = step.completion.get("label")
    if label and step.reply is None and mistakes == "mask":
        got = "got a person's action to learn with mistakes = 'mask'"
        raise InputError(f"{got}, expected 'correct': there is no reply whose thought could be learned; set that")
    if label is None or mistakes == "mask":
        return label != "" and step.actor == "policy" and step.action is not None
    return bool(label)


def _is_pair(record: Trajectory, step: Step) -> bool:
    return replaces_reply(step) and is_of_model(record, step)


def is_of_model(record: Trajectory, step: Step) -> bool:
    """Whether a model drew a reply: one with weights counts its tokens, but not where its wrapper replied for it."""
    return record.weights is None or bool(step.completion.get("usage"))


def replaces_reply(step: Step) -> bool:
    """Whether a step has a reply of the policy and, as its label, one with another action."""
    label = step.completion.get("label")
    if not label or step.reply is None or step.actor != "policy":
        return False
    return _read_action(str(label)) != _read_action(step.reply)


def _read_action(text: str) -> object:
    """Return the action of a reply; where it cannot be read, such as one in pixels, the text of its action."""
    return parse_reply(text, allow=ALL_KINDS).action or join_pieces(split_sections(text).action)


def find_shards(data: Sequence[Path]) -> list[Path]:
    """Return the ``.jsonl`` files of folders of trajectories; `InputError` for a folder without any."""
    shards = [sorted(folder.glob("*.jsonl")) for folder in data]
    for folder, found in zip(data, shards, strict=True):
        if not found:
            raise InputError(f"{printable_text(folder)}: got no .jsonl file, expected trajectories; make some")
    if not shards:
        raise InputError("got no folder of trajectories, expected one or more; name it")
    return [shard for found in shards for shard in found]
