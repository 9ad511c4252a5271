"""What is compared, chosen and drawn, on fixed figures: no model is opened."""

import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ibisagent.tools.errors import InputError
from ibisagent.training.arms.cpu_clock import CPUClock, read_cpu_seconds
from ibisagent.training.arms.curves import draw_curves
from ibisagent.training.arms.experiment import read_experiment, shipped_experiment
from ibisagent.training.arms.figures import change_figures, level_figures
from ibisagent.training.arms.imitation import choose_best
from ibisagent.training.arms.measuring import COLUMNS

EXPERIMENT = """
[phantoms.few]
count = 4
seed = 3
size = [64, 96]
[sets]
tasks = ["few"]
validate = ["few"]
[stages.rl]
kind = "grpo"
base = "nano"
config = "nano-grpo"
data = ["tasks"]
[stages.again]
kind = "grpo"
base = "rl"
config = "nano-grpo"
data = ["tasks"]
[tables.both]
stages = ["nano", "rl@last"]
"""


def write_experiment(folder: Path, *changes: tuple[str, str]) -> Path:
    text = EXPERIMENT
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = folder / "experiment.toml"
    path.write_text(text)
    return path


def row(case: str, present: bool, iou: float | None, refused: int, actions: float = 2.0) -> dict[str, Any]:
    known = {"case": case, "image": f"{case}.png", "present": float(present), "iou": iou, "refused": float(refused)}
    return dict.fromkeys(COLUMNS) | known | {"actions": actions, "wasted": 1.0, "default": 0.5, "paper": 0.5}


def rolled(*rewards: float | None) -> list[Any]:
    """Rollouts with these rewards, None for a failed one."""
    return [
        SimpleNamespace(
            number=number,
            reward=None if reward is None else SimpleNamespace(total=reward),
            path=None if reward is None else SimpleNamespace(total=reward),
        )
        for number, reward in enumerate(rewards)
    ]


def test_the_best_of_each_group_is_chosen_and_none_of_equal_ones() -> None:
    best: list[Any] = choose_best(rolled(0.1, 0.7, 0.7, None, 0.2, 0.2, 0.2, None, None, None, 0.9, None), group_size=4)
    assert [each.number for each in best] == [1]
    best = choose_best(rolled(0.1, 0.4, -0.5, -0.9), group_size=2)
    assert best[1].number == 2


def test_a_key_changes_with_what_a_training_depends_on_and_with_nothing_else(tmp_path: Path) -> None:
    experiment = read_experiment(write_experiment(tmp_path))
    key = experiment.stage_key("again", 0)
    assert key.startswith("again-s0-")
    assert experiment.stage_key("again", 1) != key
    shipped = experiment.stage_key("nano", 1)
    assert re.fullmatch("nano-[0-9a-f]{8}", shipped)
    assert shipped == experiment.stage_key("nano", 0)
    for old, new in (("seed = 3", "seed = 4"), ('base = "nano"', 'base = "nano"\nset = ["credit=\'turn\'"]')):
        changed = read_experiment(write_experiment(tmp_path, (old, new)))
        assert changed.stage_key("again", 0) != key, new
    other_table = read_experiment(write_experiment(tmp_path, ('"nano", "rl@last"', '"again"')))
    assert other_table.stage_key("again", 0) == key
    once = replace(experiment.stages["again"], seeded=False)
    unseeded = replace(experiment, stages=experiment.stages | {"again": once}, keys={})
    assert unseeded.stage_key("again", 1) == unseeded.stage_key("again", 0)


def test_another_version_of_the_policy_that_ships_makes_other_trainings(tmp_path, monkeypatch) -> None:
    keys = []
    for words in ("card", "other card", "weights"):
        folder = tmp_path / words
        folder.mkdir()
        (folder / "README.md").write_text(words)
        (folder / "model.safetensors").write_text("other" if words == "weights" else "same")
        monkeypatch.setattr("ibisagent.training.arms.experiment.NANO_FOLDER", folder)
        experiment = read_experiment(write_experiment(tmp_path))
        keys.append([experiment.stage_key(name, 0) for name in ("nano", "rl", "again")])
    assert keys[0] == keys[1]
    assert all(one != other for one, other in zip(keys[1], keys[2], strict=True))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('base = "rl"', 'base = "rr"', r"stages\.again\.base"),
        ('kind = "grpo"', 'kind = "ppo"', r"kind is 'ppo', expected one of reset, sft, grpo, imitation"),
        ('"rl@last"', '"lr@last"', r"tables\.both\.stages.*lr"),
        ("count = 4", "many = 4", r"phantoms\.few.*many"),
        ('validate = ["few"]', 'unseen = ["few"]', r"\[validation\]"),
    ],
)
def test_what_is_wrong_with_a_file_is_named(tmp_path: Path, old: str, new: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        read_experiment(write_experiment(tmp_path, (old, new)))


def test_the_shipped_experiment_reports_on_pictures_that_nothing_is_trained_or_chosen_on() -> None:
    experiment = read_experiment(shipped_experiment())
    seeds = {name: range(spec.seed, spec.seed + spec.count) for name, spec in experiment.phantoms.items()}
    for name, own in seeds.items():
        others = {seed for other, some in seeds.items() if other != name for seed in some}
        assert not others & set(own), name
    assert all(seeds[name].start >= 11_000_000 for name in experiment.sets["figure"])
    assert max(own.stop for name, own in seeds.items() if name not in experiment.sets["figure"]) < 10_000_000


def test_figures_and_changes_are_those_of_their_cases() -> None:
    before = [row("a", True, 0.2, 0), row("b", True, 0.0, 1), row("c", False, None, 1), row("d", False, None, 0)]
    after = [row("a", True, 0.5, 0, 1.0), row("b", True, 0.3, 0), row("c", False, None, 1), row("d", False, None, 0)]
    levels = level_figures(after)
    assert levels["iou"] == pytest.approx(0.4)
    assert (levels["refused_present"], levels["refused_absent"], levels["accuracy"]) == (0.0, 0.5, 0.75)
    assert levels["actions"] == 1.5
    changes = change_figures(after, before)
    assert changes["iou"].value == pytest.approx(0.3)
    assert changes["accuracy"].value == pytest.approx(0.25)
    assert changes["refused_present"].value == pytest.approx(-0.5)
    assert changes["actions"].value == pytest.approx(-0.5)
    assert changes["iou"].low == pytest.approx(0.3)


def test_the_clock_counts_on_from_the_checkpoint_of_a_killed_training(tmp_path: Path) -> None:
    path = tmp_path / "cpu.json"
    path.write_text(json.dumps({"1": 10.0, "2": 20.0, "3": 30.0}))
    clock, state, other = CPUClock(path), SimpleNamespace(global_step=2), SimpleNamespace()
    unused: Any = other
    at: Any = state
    clock.on_train_begin(unused, at, unused)
    sum(number * number for number in range(200_000))
    clock.on_optimizer_step(unused, at, unused)
    state.global_step = 3
    clock.on_step_end(unused, at, unused)
    assert list(json.loads(path.read_text())) == ["1", "2", "3"]
    assert 20.0 < read_cpu_seconds(path) < 30.0


def test_curves_are_drawn_from_a_training_that_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "rl"
    folder.mkdir()
    updates = [{"step": 1, "reward": 0.2, "reward/answer": 0.3, "iou": 0.1}, {"step": 1, "train_loss": 1.0}]
    updates += [{"step": 2, "reward": 0.3, "reward/answer": 0.4, "iou": 0.2, "refused_absent": 1.0}]
    (folder / "log.jsonl").write_text("".join(f"{json.dumps(update)}\n" for update in updates))
    known = {"case": "a", "image": "a.png", "present": True, "iou": 0.5, "refused": 0.0, "reward": 0.5, "steps": 2.0}
    (folder / "validation.json").write_text(json.dumps({"0": [known, known | {"image": "b.png"}]}))
    draw_curves(tmp_path / "curves.png", {"rl": folder, "not begun": tmp_path / "none"})
    assert (tmp_path / "curves.png").read_bytes()[:4] == b"\x89PNG"
