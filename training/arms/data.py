"""The data of an experiment, made where they are missing: phantoms, and trajectories of an expert on them."""

from dataclasses import asdict
from pathlib import Path

from ibisagent.tools.datasets import Case, read_dataset
from ibisagent.tools.datasets.sampling import sample_evenly
from ibisagent.tools.jobs.run_settings import hash_json
from ibisagent.training.arms.experiment import Experiment
from ibisagent.training.experts.noisy_expert import MistakeRates
from ibisagent.training.phantoms.folder import write_phantoms
from ibisagent.training.trajectories.generation import make_trajectories
from ibisagent.training.trajectories.settings import Filters, InitialMaskRates

__all__ = ["find_cases", "find_set", "find_trajectories"]


def find_phantoms(experiment: Experiment, name: str, out: Path) -> Path:
    """Return a folder of phantoms, drawn if it is not there."""
    spec = experiment.phantoms[name]
    folder = out / "data" / f"{name}-{hash_json(spec.to_json())[:8]}"
    write_phantoms(spec, folder, workers=1)
    return folder


def find_set(experiment: Experiment, name: str, out: Path) -> list[Path]:
    """Return the folders of a set of cases."""
    return [find_phantoms(experiment, each, out) for each in experiment.sets[name]]


def find_cases(experiment: Experiment, name: str, out: Path) -> list[Case]:
    """Return the cases of a set; their ids are unique, since no two pictures of it have a seed in common."""
    return [case for folder in find_set(experiment, name, out) for case in read_dataset(folder)]


def find_trajectories(experiment: Experiment, name: str, out: Path) -> Path:
    """Return a folder of an expert's trajectories, made if it is not there."""
    settings = experiment.trajectories[name]
    spec = experiment.phantoms[settings.phantoms]
    folder = out / "data" / f"{name}-{hash_json([asdict(settings), spec.to_json()])[:8]}"
    cases = sample_evenly(read_dataset(find_phantoms(experiment, settings.phantoms, out)), settings.limit or None)
    make_trajectories(
        cases,
        folder,
        segmenter=settings.segmenter,
        mistakes=MistakeRates.from_total(settings.mistakes),
        initial_masks=InitialMaskRates(settings.perturbed, settings.foreign),
        filters=Filters(min_dice=0.0),
        max_steps=settings.max_steps,
        seed=settings.seed,
        workers=1,
    )
    return folder
