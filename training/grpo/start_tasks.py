"""A file of recorded starts as tasks of a training, beside its cases."""

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ibisagent.agent.record_images import find_recorded_image
from ibisagent.evals.trajectories.step_kinds import is_policy_step
from ibisagent.tools.errors import InputError
from ibisagent.tools.files import hash_files, printable_text, require_file
from ibisagent.tools.segmenters import get_segmenter
from ibisagent.training.grpo.config import RolloutSettings
from ibisagent.training.grpo.tasks import RecordedStarts, TaskSet, mix_starts
from ibisagent.training.starts import Start, read_starts

__all__ = ["add_starts", "describe_starts"]

_REMEDY = "bring it back, or name its folder by --root"

_logger = logging.getLogger(__name__)


def describe_starts(path: Path | None, settings: RolloutSettings) -> dict[str, Any]:
    """Return what a resumed training has to share: the file's hash and how its starts are used; nothing without one."""
    if path is None:
        return {}
    require_file(path)
    used = {"starts_share": settings.starts, "replay_starts": settings.replay_starts}
    return {"starts": hash_files([path])[:16]} | used


def add_starts(
    tasks: TaskSet, unseen: TaskSet, path: Path, roots: Sequence[Path], settings: RolloutSettings, seed: int
) -> TaskSet:
    """Return the tasks with the starts of a file among them, in the settings' share.

    Left out, and logged, are starts on pictures that are validated on, and those in which the policy has no action
    left. `InputError`: none is left, the picture of one is not there, or one is of another segmenter, unless that is
    wanted.
    """
    validated = {_find_sha(unseen, number) for number in range(len(unseen))}
    left, starts = Counter[str](), list[Start]()
    for start in read_starts(path):
        reason = "on pictures to validate on" if start.image_sha in validated else _why_unusable(start, settings)
        if reason is None:
            find_recorded_image(start.record.image, path.parent, roots, _REMEDY)
            starts.append(start)
        left.update([reason] if reason else [])
    listed = ", ".join(f"{count} {reason}" for reason, count in sorted(left.items()))
    if not starts:
        raise InputError(f"{printable_text(path)}: got no start to train on ({listed}), expected some; mine other runs")
    if not settings.replay_starts:
        _require_segmenter(starts, get_segmenter(settings.segmenter).fingerprint, path)
    if left:
        _logger.warning("starts left out: %s", listed)
    cases, repeated = mix_starts(tasks.cases, starts, settings.starts, seed)
    return TaskSet(cases, RecordedStarts(repeated, path.parent, tuple(roots)))


def _find_sha(tasks: TaskSet, number: int) -> str | None:
    try:
        return tasks.open(number).image.sha
    except InputError:  # nothing is validated on it either
        return None


def _require_segmenter(starts: Sequence[Start], fingerprint: str, path: Path) -> None:
    """Raise `InputError` where a start was recorded with another segmenter, which marked something else."""
    others = Counter(start.record.segmenter for start in starts if start.record.segmenter != fingerprint)
    if others:
        got = f"got {others.total()} of {len(starts)} starts of the segmenter {min(others)[:40]!r}"
        remedy = "mine runs of that one, or set rollouts.replay_starts=true"
        raise InputError(f"{printable_text(path)}: {got}, expected {fingerprint[:40]!r}; {remedy}")


def _why_unusable(start: Start, settings: RolloutSettings) -> str | None:
    made = sum(is_policy_step(step) and step.outcome == "applied" for step in start.record.steps)
    if made >= settings.max_steps:
        return f"with no action of rollouts.max_steps={settings.max_steps} left"
    return None
