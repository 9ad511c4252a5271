"""Data sets of the user's own in an experiment: which part of a folder is taken; where it lies is said at each call."""

from dataclasses import dataclass
from pathlib import Path

from ibisagent.tools.datasets import Case, read_dataset
from ibisagent.tools.datasets.sampling import CaseFilter, sample_evenly
from ibisagent.tools.errors import InputError

__all__ = ["FolderSettings", "parse_folders"]


@dataclass(frozen=True, slots=True)
class FolderSettings:
    """The part of a data set that is taken: its rows of ``split``, empty for all, and of those what a filter leaves.

    ``only``, ``without``: sources; ``only_modality``, ``without_modality``: modalities. ``limit``: at most so many
    cases, spread over the rest; 0: all.
    """

    split: str = ""
    only: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    only_modality: tuple[str, ...] = ()
    without_modality: tuple[str, ...] = ()
    limit: int = 0

    def read(self, name: str, path: Path) -> list[Case]:
        """Return the cases of the folder ``path``, sorted by id; `InputError` names the folder by its ``name``."""
        part = CaseFilter(self.without, self.only, self.without_modality, self.only_modality)
        try:
            cases = read_dataset(path, split=self.split or None, local_only=True)
            return sample_evenly(part.select(cases), self.limit or None)
        except InputError as error:
            raise InputError(f"[folders.{name}]: {error}") from error


def parse_folders(given: list[str]) -> dict[str, Path]:
    """Return the path of each ``NAME=PATH``; `InputError` for a text of another form."""
    parts = [text.partition("=") for text in given]
    for text, (name, _, path) in zip(given, parts, strict=True):
        if not name or not path:
            raise InputError(f"--folder: got {text[:80]!r}, expected NAME=PATH; write it so")
    return {name: Path(path) for name, _, path in parts}
