"""The data of an experiment, made where they are missing: phantoms, parts of folders, and trajectories on them."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from ibisagent.tools.datasets import Case, read_dataset, write_manifest
from ibisagent.tools.datasets.sampling import sample_evenly
from ibisagent.tools.errors import InputError
from ibisagent.tools.files import make_folder
from ibisagent.tools.jobs.run_settings import find_common_folder, hash_json, to_relative_path
from ibisagent.training.arms.experiment import Experiment
from ibisagent.training.experts.noisy_expert import MistakeRates
from ibisagent.training.phantoms.folder import write_phantoms
from ibisagent.training.trajectories.generation import make_trajectories
from ibisagent.training.trajectories.settings import Filters, InitialMaskRates
from ibisagent.training.trajectories.shards import SUMMARY

__all__ = ["find_cases", "find_roots", "find_set", "find_trajectories"]

_FILES = "files"  # in the folder of a manifest, a link to where its pictures and masks lie
_logger = logging.getLogger(__name__)


def find_data(experiment: Experiment, name: str, out: Path, workers: int = 1) -> Path:
    """Return a data set: phantoms, drawn if they are not there, or what is taken of a folder."""
    if name in experiment.folders:
        return _link_folder(experiment, name, out)
    spec = experiment.phantoms[name]
    folder = out / "data" / f"{name}-{hash_json(spec.to_json())[:8]}"
    write_phantoms(spec, folder, workers=workers)
    return folder


def _link_folder(experiment: Experiment, name: str, out: Path) -> Path:
    """Return a data set of the taken rows, whose files are linked: records of it hold no path outside of ``out``."""
    cases, folder = experiment.read_folder(name), out / "data" / f"{name}-{experiment.hash_folder(name)[:8]}"
    root, link = find_common_folder(cases), folder / _FILES
    make_folder(folder)
    if not link.is_symlink() or link.readlink() != root:
        link.unlink(missing_ok=True)
        link.symlink_to(root, target_is_directory=True)
    linked = {path: link / to_relative_path(root, path) for case in cases for path in (case.image, case.mask) if path}
    write_manifest(
        folder,
        (replace(case, image=linked[case.image], mask=linked[case.mask] if case.mask else None) for case in cases),
    )
    return folder


def find_roots(out: Path) -> list[Path]:
    """Return the folders with the pictures that trajectories in ``out`` show."""
    return [out / "data", *sorted((out / "data").glob(f"*/{_FILES}"))]


def find_set(experiment: Experiment, name: str, out: Path, workers: int = 1) -> list[Path]:
    """Return the folders of a set of cases."""
    return [find_data(experiment, each, out, workers) for each in experiment.sets[name]]


def find_cases(experiment: Experiment, name: str, out: Path, workers: int = 1) -> list[Case]:
    """Return the cases of a set; `InputError` where two have an id in common, as those of two folders may."""
    cases = [case for folder in find_set(experiment, name, out, workers) for case in read_dataset(folder)]
    ids = {case.id: case for case in cases}
    if len(ids) < len(cases):
        twice = next(case.id for case in cases if ids[case.id] is not case)
        raise InputError(f"[sets.{name}]: got id {twice!r} twice, expected each once; make it two sets")
    return cases


def find_trajectories(
    experiment: Experiment, name: str, out: Path, key: str, models: Mapping[str, str], workers: int = 1
) -> Path:
    """Return the folder ``key`` of trajectories, made if it is not there.

    ``models``: what the loop opens for the name of each stage that the trajectories need.
    """
    settings, folder = experiment.trajectories[name], out / "data" / key
    data = find_data(experiment, settings.data, out, workers)  # also of finished ones: their pictures may have moved
    if (folder / SUMMARY).is_file():
        return folder
    cases = sample_evenly(read_dataset(data), settings.limit or None)
    _logger.info("%s: trajectories of %d cases", folder.name, len(cases))
    made = make_trajectories(
        cases,
        folder,
        segmenter=settings.segmenter,
        expert=settings.expert,
        mistakes=MistakeRates.from_total(settings.mistakes),
        initial_masks=InitialMaskRates(settings.perturbed, settings.foreign),
        filters=Filters(min_dice=None if settings.policy else 0.0),
        reword=settings.reword,
        max_steps=settings.max_steps,
        seed=settings.seed,
        policy=models.get(settings.policy),
        propose=models.get(settings.propose, settings.propose or None),
        workers=workers,
    )
    _logger.info("%s: %s", folder.name, ", ".join(f"{made[each]} {each}" for each in ("kept", "dropped", "broken")))
    return folder
