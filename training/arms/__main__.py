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
from ibisagent.training.arms.experiment import Experiment, read_experiment, shipped_experiment
from ibisagent.training.arms.measuring import measure_model
from ibisagent.training.arms.report import cell_folder, list_measurements, write_table
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
        experiment = read_experiment(options.experiment)
        tables = options.table or list(experiment.tables)
        _require_known(options.table or [], experiment.tables, "table")
        _require_known([options.set], experiment.sets, "set")
        if options.action == "run":
            _run(experiment, tables, options)
        for table in tables:
            text = write_table(experiment, table, options.set, options.seed, options.out)
            (options.out / f"{table}-{options.set}.md").write_text(text, encoding="utf-8")
            sys.stdout.write(f"{text}\n")
            _draw(experiment, table, options)
    except IbisError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _require_known(names: list[str], known: Iterable[str], kind: str) -> None:
    for name in names:
        if name not in known:
            raise InputError(f"--{kind}: {describe_unknown_name(name, sorted(known))}; correct it")


def _run(experiment: Experiment, tables: list[str], options: argparse.Namespace) -> None:
    cases = find_cases(experiment, options.set, options.out)
    for seed in options.seed:
        for table in tables:
            for stage in experiment.tables[table].stages:
                if options.stage and stage not in options.stage:
                    continue
                model = make_stage(experiment, stage, seed, options.out)
                for measurement in (
                    () if options.train_only else list_measurements(experiment, experiment.tables[table], options.set)
                ):
                    path = measurement.file(cell_folder(experiment, stage, seed, options.out), cases)
                    said = f"{stage}, seed {seed}, {path.stem}"
                    measure_model(model, cases, measurement, path, partial(_tell, said))


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
    parser.add_argument("--experiment", type=Path, default=shipped_experiment(), help="TOML file; default: our own")
    parser.add_argument("--table", action="append", help="only this table; repeatable")
    parser.add_argument("--stage", action="append", help="only this stage of the tables; repeatable")
    parser.add_argument("--seed", type=int, action="append", help="seed of trainings; repeatable; default: 0")
    parser.add_argument("--set", default="choose", help="set to measure on; 'figure' is for what is reported")
    parser.add_argument("--train-only", action="store_true", help="leave the measurements for another call")
    options = parser.parse_args(arguments)
    options.seed = options.seed or [0]
    options.out = Path(os.path.abspath(options.out))
    return options


if __name__ == "__main__":
    warnings.filterwarnings("ignore", category=FutureWarning)
    sys.exit(main())
