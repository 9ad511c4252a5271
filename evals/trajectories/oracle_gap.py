"""A run against an oracle's clicks."""

from itertools import takewhile

from ibisagent.agent.actions import Terminate, to_plain, write_reply
from ibisagent.agent.config import Guard, LoopConfig
from ibisagent.agent.episode import run_episode
from ibisagent.agent.graph import build_graph
from ibisagent.agent.policies import OraclePolicy, ScriptedPolicy
from ibisagent.agent.state import Input
from ibisagent.agent.trajectory import Trajectory
from ibisagent.evals.trajectories.step_kinds import TOOL_FAILURES, indexed_prompts, is_policy_step
from ibisagent.tools.errors import InputError
from ibisagent.tools.imaging.medical_image import MedicalImage
from ibisagent.tools.masks.measure import iou
from ibisagent.tools.masks.rle import decode
from ibisagent.tools.segmenters import Segmenter

__all__ = ["oracle_gap"]


def oracle_gap(record: Trajectory, segmenter: Segmenter | str, image: MedicalImage) -> float | None:
    """Return an oracle's final IoU minus the record's.

    The oracle begins as the record's policy did (initial mask, a person's prompts, the guard) and makes at most as
    many prompts as were made after that: it also ends when no error is left or the mask no longer changes. Undoing
    prompts on an absent target is free. None without a truth or when a tool failed; `InputError` for another segmenter
    or image than the record's.
    """
    if record.truth is None:
        return None
    truth = decode(record.truth)
    before = len(list(takewhile(lambda step: not is_policy_step(step), record.steps)))
    made = list(indexed_prompts(record))
    given = [to_plain(prompt) for index, prompt in made if index < before]
    moves = len(made) - len(given) if truth.any() else len(given) + 1
    policy = OraclePolicy(truth, target_iou=1.0) if moves else ScriptedPolicy([write_reply("", Terminate())])
    guard = record.config.get("guard")
    settings = LoopConfig(max_steps=max(moves, 1), guard=Guard(**guard) if guard else None, protect=False)
    graph = build_graph(policy, segmenter, settings)
    _require_same("segmenter", graph.components.memo.fingerprint, record.segmenter)
    _require_same("image", image.sha, record.image["sha"])
    begin = Input(image=image, request=record.request, prompts=given, kind="segment")
    begin["initial_mask"] = record.start if record.has_initial_mask else None
    oracle = run_episode(graph, begin)
    if oracle.stop in TOOL_FAILURES:
        return None
    return iou(decode(oracle.mask), truth) - iou(decode(record.mask), truth)


def _require_same(what: str, got: str, recorded: str) -> None:
    if got != recorded:
        raise InputError(f"{what}: got {got!r}, expected the record's {recorded!r}; give that one")
