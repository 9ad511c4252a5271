"""The training loop: rounds of steps, each round with its own pool of runs, and a checkpoint after it."""

import copy
import hashlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ibisagent.tools.datasets.sampling import ALL_CASES, CaseFilter
from ibisagent.tools.errors import InputError
from ibisagent.tools.files import atomic_write, make_folder, printable_text
from ibisagent.tools.jobs import jsonl
from ibisagent.tools.segmenters.geonet.network import GeonetNetwork, load_network, save_network
from ibisagent.training.run_folder import keep_settings, write_json
from ibisagent.training.segmenter.interactive_runs import ClickState, InteractiveRun, UncutGeocut, begin_run, stack
from ibisagent.training.segmenter.samples import SampleSource

__all__ = ["SegmenterTraining", "train_segmenter"]

WEIGHTS = "geonet.safetensors"
_CHECKPOINT, _LOG, _FINISHED = "checkpoint.pt", "log.jsonl", "training.json"
OnRound = Callable[[dict[str, Any], int, int], None]


@dataclass(frozen=True, slots=True)
class SegmenterTraining:
    """How geonet is trained.

    ``rounds`` of ``steps``, each of ``batch`` states out of ``pool`` runs in progress; the rate falls as a cosine from
    ``learning_rate`` to 0. ``average``: how much of the averaged weights, which are kept, stays at a step.
    """

    rounds: int = 22
    steps: int = 200
    batch: int = 16
    pool: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    average: float = 0.998
    seed: int = 0

    @property
    def states(self) -> int:
        """Return how many states the training sees."""
        return self.rounds * self.steps * self.batch


def train_segmenter(
    settings: SegmenterTraining,
    data: Sequence[Path],
    out: Path,
    *,
    part: CaseFilter = ALL_CASES,
    start: Path | None = None,
    on_round: OnRound | None = None,
) -> Path:
    """Train on the data sets' targets of split train, and return the file of weights, ``out``/geonet.safetensors.

    ``part``: which of them. ``start``: weights to begin from, else they are drawn. ``on_round`` gets the figures of
    each round, which ``out``/log.jsonl holds too, its number and how many there are. The same call resumes after the
    last whole round, with equal draws; with other data, start or settings it is an `InputError`.
    """
    source, opened = SampleSource(data, part), None if start is None else load_network(start)
    if out.is_dir() and any(out.iterdir()) and not (out / "settings.json").is_file():
        got = "got a folder that holds something else, expected a new one or that of a training"
        raise InputError(f"{printable_text(out)}: {got}; choose another --out")
    make_folder(out)
    digest = hashlib.sha256(repr([(c.id, c.image.name, c.target) for c in source.cases]).encode()).hexdigest()[:16]
    begun = {} if opened is None else {"start": opened.digest}
    keep_settings(out, {"data": digest, "part": str(part), **begun, "settings": asdict(settings)})
    if (out / _FINISHED).is_file():
        return out / WEIGHTS
    trainer = _Trainer(settings, None if opened is None else opened.network)
    done = trainer.load(out / _CHECKPOINT) if (out / _CHECKPOINT).is_file() else []
    with atomic_write(out / _LOG) as temporary:
        temporary.touch()
        jsonl.append_rows(temporary, done)
    for number in range(len(done), settings.rounds):
        figures = trainer.run_round(number, source)
        done.append(figures)
        trainer.save(out / _CHECKPOINT, done)
        jsonl.append_rows(out / _LOG, [figures])
        if on_round is not None:
            on_round(figures, len(done), settings.rounds)
    save_network(trainer.averaged.module, out / WEIGHTS)
    write_json(out / _FINISHED, {"seconds": sum(row["seconds"] for row in done), "states": settings.states})
    return out / WEIGHTS


class _Trainer:
    """Network, optimizer and averaged weights."""

    def __init__(self, settings: SegmenterTraining, start: GeonetNetwork | None) -> None:
        self.settings = settings
        torch.manual_seed(settings.seed)
        self.network = GeonetNetwork() if start is None else copy.deepcopy(start).requires_grad_()
        average = get_ema_multi_avg_fn(settings.average)  # type: ignore[no-untyped-call]
        self.averaged: Any = AveragedModel(self.network, multi_avg_fn=average, use_buffers=True)
        decayed = [value for value in self.network.parameters() if value.ndim > 1]
        plain = [value for value in self.network.parameters() if value.ndim <= 1]
        groups: list[dict[str, Any]] = [{"params": decayed}, {"params": plain, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=settings.learning_rate, weight_decay=settings.weight_decay)
        total = settings.rounds * settings.steps
        warm = min(200, total // 10 + 1)

        def rate(step: int) -> float:
            return min(1, (step + 1) / warm) * 0.5 * (1 + math.cos(math.pi * min(1, step / total)))

        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, rate)

    def run_round(self, number: int, source: SampleSource) -> dict[str, Any]:
        """Train a round; return its mean loss, and the IoU by the number of clicks."""
        rng, started = np.random.default_rng([self.settings.seed, number]), time.perf_counter()
        segmenter = UncutGeocut()
        fresh = _begin_runs(segmenter, source, rng)
        pool = [next(fresh) for _ in range(self.settings.pool)]
        losses: list[float] = []
        ious: dict[int, list[float]] = {}
        for _ in range(self.settings.steps):
            chosen = rng.permutation(len(pool))[: self.settings.batch]
            states = [pool[index].look() for index in chosen]
            loss, log_odds = self._step(states)
            losses.append(loss)
            for index, state, answer in zip(chosen, states, log_odds, strict=True):
                run = pool[index]
                ious.setdefault(len(run.prompts), []).append(_iou(answer, state))
                if not run.advance(state, answer):
                    pool[index] = next(fresh)
        by_clicks = {f"iou_at_{k}": round(float(np.mean(ious[k])), 4) for k in (1, 3, 5) if k in ious}
        seconds = round(time.perf_counter() - started, 1)
        rate = float(self.schedule.get_last_lr()[0])
        mean = round(float(np.mean(losses)), 4)
        return {"round": number, "loss": mean, **by_clicks, "learning_rate": rate, "seconds": seconds}

    def _step(self, states: Sequence[ClickState]) -> tuple[float, Any]:
        inputs, truths, within = stack(states)
        self.network.train()
        with torch.autocast("cpu", torch.bfloat16):
            log_odds = self.network(inputs)
        log_odds = log_odds.float()
        loss = _measure_loss(log_odds, truths, within)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self.schedule.step()
        self.averaged.update_parameters(self.network)
        return float(loss.detach()), log_odds.detach().numpy()

    def save(self, path: Path, done: Sequence[dict[str, Any]]) -> None:
        """Write all that a later call goes on from."""
        parts = {name: getattr(self, name).state_dict() for name in ("network", "averaged", "optimizer", "schedule")}
        with atomic_write(path) as temporary:
            torch.save({"done": list(done), **parts}, temporary)

    def load(self, path: Path) -> list[dict[str, Any]]:
        """Go on from a checkpoint; return the figures of its rounds."""
        kept = torch.load(path, weights_only=True)
        done: list[dict[str, Any]] = kept.pop("done")
        for name, state in kept.items():
            getattr(self, name).load_state_dict(state)
        return done


def _begin_runs(segmenter: UncutGeocut, source: SampleSource, rng: np.random.Generator) -> Iterator[InteractiveRun]:
    while True:
        run = begin_run(segmenter, source.draw(rng), np.random.default_rng(rng.integers(2**63)))
        if run is not None:
            yield run


def _measure_loss(log_odds: Tensor, truths: Tensor, within: Tensor) -> Tensor:
    """Return cross entropy, half of it weighted by each pixel's error, plus Dice; all (B, S, S)."""
    entropy = torch.nn.functional.binary_cross_entropy_with_logits(log_odds, truths, reduction="none")
    chances = torch.sigmoid(log_odds)
    error = (chances - truths).abs().detach() * within
    count = within.sum(dim=(1, 2)).clamp(min=1)
    weights = within * (0.5 + 0.5 * error * (count / error.sum(dim=(1, 2)).clamp(min=1e-6))[:, None, None])
    mean = (entropy * weights).sum(dim=(1, 2)) / count
    both = (chances * truths * within).sum(dim=(1, 2))
    dice = 1 - (2 * both + 1) / ((chances * within).sum(dim=(1, 2)) + (truths * within).sum(dim=(1, 2)) + 1)
    return (mean + dice).mean()


def _iou(log_odds: Any, state: ClickState) -> float:
    mask, truth = (log_odds > 0) & (state.within > 0), state.truth >= 0.5
    return float((mask & truth).sum() / max(1, (mask | truth).sum()))
