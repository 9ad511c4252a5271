"""Fit geocut's and geonet's score on states that policies reach: ``python -m ibisagent.training.segmenter.score_fit``.

Policies run on the targets of data-set folders (nano with and without its proposal, random, an expert with faults from
nothing and from a perturbed mask); every mask on the way is a state, its numbers and its IoU. ``--states FILE`` keeps
them, and is read in place of running when it is there. ``--out FILE`` takes the rule, by default the one that ships.
It prints how well each source is ranked by a rule that never saw it.
"""

import argparse
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from scipy import optimize, stats

from ibisagent.agent import ImageStore, LoopConfig, Policy, RandomPolicy, build_graph, get_policy
from ibisagent.agent.episode import run_episode
from ibisagent.agent.state import Input
from ibisagent.tools.clicks import Prompt
from ibisagent.tools.datasets import Case, read_dataset
from ibisagent.tools.imaging.grids import Mask
from ibisagent.tools.jobs.run_settings import case_seed
from ibisagent.tools.masks.measure import iou
from ibisagent.tools.perturbations.initial_masks import make_initial_mask
from ibisagent.tools.segmenters import confidence
from ibisagent.tools.segmenters.base import Prediction
from ibisagent.tools.segmenters.confidence import ScoreContext, ScoreRule, measure_mask
from ibisagent.tools.segmenters.features import Features
from ibisagent.tools.segmenters.geocut import GeocutSegmenter
from ibisagent.tools.segmenters.geodesic import MaskPrior
from ibisagent.tools.segmenters.geonet.segmenter import GeonetSegmenter
from ibisagent.training.experts.expert import Expert
from ibisagent.training.experts.noisy_expert import MistakeRates, NoisyExpert

Floats = NDArray[np.float64]

__all__ = ["MeasuredState", "collect_states", "fit_rule", "main"]

RUNS = ("nano", "nano without proposal", "random", "expert", "expert from a mask")
STEPS = 5  # actions of a run, at most
POLICY_WEIGHT = 3  # of a policy's state, beside 1 of an expert's, who is right more often than policies are


class MeasuredState(NamedTuple):
    """A mask on the way of a run: where from, the score that it got, its numbers (`NAMES`), its IoU."""

    source: str
    case: str
    run: str
    score: float
    numbers: list[float]
    iou: float


@dataclass(frozen=True)
class _MeasuringSegmenter(GeocutSegmenter):
    """Geocut, which also notes the numbers and the IoU of each of its masks that is neither empty nor everything."""

    truth: Mask = field(default_factory=lambda: np.zeros((1, 1), np.bool_))
    seen: list[tuple[Floats, float, float]] = field(default_factory=list)
    measured: list[Floats] = field(default_factory=list)

    def _estimate(self, embedding: Features, label: Mask, context: ScoreContext) -> float:
        self.measured[:] = [measure_mask(embedding, label, context)] if label.any() and not label.all() else []
        return super()._estimate(embedding, label, context)

    def predict(self, embedding: Features, prompts: Sequence[Prompt], prior: MaskPrior | None) -> Prediction:
        """Predict as geocut does."""
        self.measured.clear()
        prediction = super().predict(embedding, prompts, prior)
        if self.measured and prediction.score is not None:
            self.seen.append((self.measured[0], prediction.score, iou(prediction.mask, self.truth)))
        return prediction


@dataclass(frozen=True)
class _MeasuringGeonet(_MeasuringSegmenter, GeonetSegmenter):
    """Geonet, which notes the same."""


def collect_states(
    case: Case, seed: int = 0, runs: Sequence[str] = RUNS, segmenter_name: str = "geocut"
) -> Iterator[MeasuredState]:
    """Yield the states of the runs on one case."""
    image = case.open()
    truth = case.read_truth(image)
    drawn = case_seed(seed, case.id)
    for run in runs:
        kind = _MeasuringGeonet if segmenter_name == "geonet" else _MeasuringSegmenter
        segmenter = kind(truth=truth)
        begin = Input(image=image, request=case.request)
        if run == "expert from a mask":
            mask = make_initial_mask("perturbed_mask", truth, [], np.random.default_rng(drawn))
            if mask is None:
                continue
            begin["initial_mask"] = mask
        proposer = None if run == "nano" else "none"
        policy = _open_policy(run, case, truth, drawn)
        graph = build_graph(policy, segmenter, LoopConfig(max_steps=STEPS), proposer=proposer, images=ImageStore())
        run_episode(graph, begin, truth=truth)
        for numbers, score, value in segmenter.seen:
            yield MeasuredState(f"{case.source}, {case.modality}", case.id, run, score, numbers.tolist(), value)


_OPENED: dict[str, Policy] = {}


def _open_policy(run: str, case: Case, truth: Mask, seed: int) -> Policy:
    if run == "random":
        return RandomPolicy(seed)
    if run.startswith("nano"):
        return _OPENED.setdefault("nano", get_policy("nano"))
    return NoisyExpert(Expert(truth, case.target, seed=seed), MistakeRates.from_total(0.4), seed)


def fit_rule(states: Sequence[MeasuredState], l2: float = 0.03) -> ScoreRule:
    """Fit the rule: cross entropy with the IoU; targets weigh the same, a policy's states more than an expert's."""
    numbers = np.array([state.numbers for state in states])
    values = np.array([state.iou for state in states])
    counts = Counter(state.case for state in states)
    weights = np.array([(1 if "expert" in state.run else POLICY_WEIGHT) / counts[state.case] for state in states])
    weights /= weights.sum()
    scale = ScoreRule(numbers.mean(axis=0), numbers.std(axis=0) + 1e-3, np.zeros(0), 0.0)
    terms = np.concatenate([scale.expand(numbers), np.ones((len(states), 1))], axis=1)

    def loss(rule: Floats) -> tuple[float, Floats]:
        merit = terms @ rule
        value = float(weights @ (np.logaddexp(0, merit) - values * merit)) + l2 * float(rule[:-1] @ rule[:-1])
        slope = terms.T @ (weights * (1 / (1 + np.exp(-merit)) - values)) + 2 * l2 * np.append(rule[:-1], 0)
        return value, slope

    found = optimize.minimize(loss, np.zeros(terms.shape[1]), jac=True, method="L-BFGS-B").x
    return scale._replace(weights=found[:-1], bias=float(found[-1]))


def describe_fit(name: str, scores: Floats, values: Floats) -> str:
    """Return how well scores rank and meet the IoU, in one line."""
    rank = float(stats.spearmanr(scores, values).statistic) if len(scores) > 2 else float("nan")
    error = float(np.abs(scores - values).mean())
    bias = float((scores - values).mean())
    return f"{name:44s} n {len(scores):5d}  Spearman {rank:5.2f}  bias {bias:+.3f}  MAE {error:.3f}"


def _print_held_out(states: Sequence[MeasuredState], l2: float, console: Console) -> None:
    """Print each source, and each kind of run, as ranked by a rule that was fitted without the source."""
    scores = np.zeros(len(states))
    values = np.array([state.iou for state in states])
    sources = np.array([state.source for state in states])
    if len(set(sources)) < 2:
        return
    for source in sorted(set(sources)):
        rule = fit_rule([state for state in states if state.source != source], l2)
        own = np.flatnonzero(sources == source)
        scores[own] = rule.estimate(np.array([states[int(index)].numbers for index in own]))
        console.print(describe_fit(f"without {source}", scores[own], values[own]))
    for run in RUNS:
        own = np.flatnonzero([state.run == run for state in states])
        if own.size:
            console.print(describe_fit(f"source left out: {run}", scores[own], values[own]))
    console.print(describe_fit("source left out: all", scores, values))


def _read_states(options: argparse.Namespace) -> list[MeasuredState]:
    path: Path | None = options.states
    done: list[MeasuredState] = []
    if path is not None and path.exists():
        done = [MeasuredState(**json.loads(line)) for line in path.read_text("utf-8").splitlines()]
    seen = {state.case for state in done}
    cases: list[Case] = []
    for folder in options.folders:
        every = [case for case in read_dataset(folder) if case.present and options.split in (None, case.split)]
        rng, counts = np.random.default_rng(options.seed), dict[str, int]()
        for index in rng.permutation(len(every)):
            case = every[index]
            counts[case.source] = counts.get(case.source, 0) + 1
            if counts[case.source] <= options.per_source:
                cases.append(case)
    for case in cases:
        if case.id not in seen:
            new = list(collect_states(case, options.seed, options.run or RUNS, options.segmenter))
            done += new
            if path is not None:
                with path.open("a", encoding="utf-8") as file:
                    file.writelines(json.dumps(state._asdict()) + "\n" for state in new)
    return done


def main(arguments: Sequence[str] | None = None) -> None:
    """Collect, fit, print and write."""
    parser = argparse.ArgumentParser(prog="python -m ibisagent.training.segmenter.score_fit", description=__doc__)
    parser.add_argument("folders", nargs="*", type=Path, help="data-set folders")
    parser.add_argument("--split", help="only the rows of this split")
    parser.add_argument("--per-source", type=int, default=30, help="targets of a source, at most")
    parser.add_argument("--run", action="append", choices=RUNS, help="only these runs; repeatable")
    parser.add_argument("--segmenter", choices=("geocut", "geonet"), default="geocut", help="whose masks are scored")
    parser.add_argument("--states", type=Path, help="file of states, read and added to")
    parser.add_argument("--l2", type=float, default=0.03, help="penalty on the rule's weights")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--check", action="store_true", help="measure the rule that ships; fit nothing")
    parser.add_argument("--out", type=Path, default=Path(confidence.__file__).with_suffix(".json"))
    options: Any = parser.parse_args(arguments)
    states, console = _read_states(options), Console(width=120, highlight=False)
    if options.check:
        for run in (*RUNS, ""):
            own = [state for state in states if run in ("", state.run)]
            if own:
                scores, values = (np.array([getattr(state, name) for state in own]) for name in ("score", "iou"))
                console.print(describe_fit(run or "all", scores, values))
        return
    _print_held_out(states, options.l2, console)
    options.out.write_text(fit_rule(states, options.l2).to_json(), "utf-8")


if __name__ == "__main__":
    main()
