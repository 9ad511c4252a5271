"""`python -m ibisagent.training.arms`: make and measure the stages of an experiment's tables, and print the tables."""

import argparse
import logging
import os
import sys
import warnings
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

from transformers.utils import logging as transformers_logging

from ibisagent.tools.errors import IbisError, InputError
from ibisagent.tools.suggestions import describe_unknown_name
from ibisagent.training.arms.curves import draw_curves
from ibisagent.training.arms.data import find_cases
from ibisagent.training.arms.experiment import Experiment, StageTable, read_experiment
from ibisagent.training.arms.folders import parse_folders
from ibisagent.training.arms.measuring import measure_model
from ibisagent.training.arms.report import cell_folder, list_measurements, write_source_table, write_table
from ibisagent.training.arms.stages import LAST, make_stage, stage_folder

_logger = logging.getLogger("arms")


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return 0, or 1 for what a user has to correct."""
    options = _parse(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", force=True)
    loud: Any = transformers_logging
    loud.set_verbosity_error()
    loud.disable_progress_bar()
    try:
        experiment = read_experiment(options.experiment, parse_folders(options.folder))
        tables = options.table or list(experiment.tables)
        _require_known(options.table or [], experiment.tables, "table")
        for table in tables:
            _require_known(_sets_of(experiment.tables[table], options), experiment.sets, "set")
        if options.action == "run":
            _run(experiment, tables, options)
        for table in tables:
            for case_set in _sets_of(experiment.tables[table], options):
                _report(experiment, table, case_set, options)
            _draw(experiment, table, options)
    except IbisError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _require_known(names: list[str], known: Iterable[str], kind: str) -> None:
    for name in names:
        if name not in known:
            raise InputError(f"--{kind}: {describe_unknown_name(name, sorted(known))}; correct it")


def _sets_of(table: StageTable, options: argparse.Namespace) -> list[str]:
    return options.set or list(table.sets) or ["choose"]


def _run(experiment: Experiment, tables: list[str], options: argparse.Namespace) -> None:
    jobs = [
        (seed, table, stage)
        for seed in options.seed
        for table in tables
        for stage in experiment.tables[table].stages
        if not options.stage or stage in options.stage
    ]
    for seed, _, stage in jobs:
        cell_folder(experiment, stage, seed, options.out)  # a folder that was not given is named before hours of work
    names = dict.fromkeys(name for table in tables for name in _sets_of(experiment.tables[table], options))
    cases = {name: find_cases(experiment, name, options.out, options.workers) for name in names}
    for seed, table, stage in jobs:
        model = make_stage(experiment, stage, seed, options.out, workers=options.workers)
        for name in () if options.train_only else _sets_of(experiment.tables[table], options):
            for measurement in list_measurements(experiment, experiment.tables[table], name):
                path = measurement.file(cell_folder(experiment, stage, seed, options.out), cases[name])
                said = f"{stage}, seed {seed}, {path.stem}"
                measure_model(model, cases[name], measurement, path, partial(_tell, said))


def _report(experiment: Experiment, table: str, case_set: str, options: argparse.Namespace) -> None:
    given = experiment, table, case_set, options.seed, options.out
    text = write_table(*given)
    (options.out / f"{table}-{case_set}.md").write_text(text, encoding="utf-8")
    (options.out / f"{table}-{case_set}-sources.md").write_text(write_source_table(*given), encoding="utf-8")
    sys.stdout.write(f"{text}\n")


def _tell(said: str, done: int, of: int) -> None:
    _logger.info("%s: %d of %d", said, done, of)


def _draw(experiment: Experiment, table: str, options: argparse.Namespace) -> None:
    seed = options.seed[0]
    names = dict.fromkeys(stage.removesuffix(LAST) for stage in experiment.tables[table].stages)
    trained = {
        name: stage_folder(experiment, name, seed, options.out)
        for name in names
        if name in experiment.stages and experiment.stages[name].kind == "grpo"
    }
    trained = {name: folder for name, folder in trained.items() if (folder / "log.jsonl").is_file()}
    if trained:
        draw_curves(options.out / f"{table}-curves.png", trained)


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m ibisagent.training.arms", description=__doc__)
    parser.add_argument("action", choices=("run", "report"), help="run: make and measure what is missing, then report")
    parser.add_argument("out", type=Path, help="folder of data, trainings and figures; an unfinished one is resumed")
    parser.add_argument("--experiment", default="proof", help="TOML file, or proof (default) or real, which ship")
    parser.add_argument("--table", action="append", help="only this table; repeatable")
    parser.add_argument("--stage", action="append", help="only this stage of the tables; repeatable")
    parser.add_argument("--seed", type=int, action="append", help="seed of trainings; repeatable; default: 0")
    parser.add_argument("--set", action="append", help="set to measure on; repeatable; default: the table's own")
    parser.add_argument("--folder", action="append", default=[], help="NAME=PATH, where a data set lies; repeatable")
    parser.add_argument("--workers", type=int, default=1, help="processes that make data, which do not depend on it")
    parser.add_argument("--train-only", action="store_true", help="leave the measurements for another call")
    options = parser.parse_args(arguments)
    if options.workers < 1:
        parser.error(f"--workers: got {options.workers}, expected 1 or more")
    options.seed = options.seed or [0]
    options.out = Path(os.path.abspath(options.out))
    return options


if __name__ == "__main__":
    warnings.filterwarnings("ignore", category=FutureWarning)
    sys.exit(main())
