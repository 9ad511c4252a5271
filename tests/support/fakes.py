"""Fake policies and segmenters: recording, scripted by a function, failing on purpose, counting calls."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ibisagent.agent.policies import Completion, Observation, Policy, SyncPolicy
from ibisagent.agent.policies.simple import ScriptedPolicy
from ibisagent.agent.proposers import Proposal
from ibisagent.tools.clicks import Prompt
from ibisagent.tools.imaging.medical_image import MedicalImage
from ibisagent.tools.segmenters.base import Mask, Pixels, Prediction
from ibisagent.tools.segmenters.disk import DiskSegmenter


def positive(x: float, y: float) -> str:
    return f"<think>Here.</think>\n<action>Positive Point ({x:.4f}, {y:.4f})</action>"


def negative(x: float, y: float) -> str:
    return f"<think>Not here.</think>\n<action>Negative Point ({x:.4f}, {y:.4f})</action>"


UNDO = "<think>That was wrong.</think>\n<action>Backtrack</action>"
STOP = "<think>It fits.</think>\n<action>Terminate</action>\n<answer>There it is.</answer>"
NOT_THERE = STOP.replace("There it is.", "There is none.")


def script(*replies: str | Completion) -> ScriptedPolicy:
    return ScriptedPolicy(replies)


class RecordingPolicy(SyncPolicy):
    """Records every observation and delegates to another policy."""

    name = "recording"

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.seen: list[Observation] = []

    def act(self, observation: Observation) -> Completion:
        self.seen.append(observation)
        return self.policy.act(observation)


class FunctionPolicy(SyncPolicy):
    """Replies with what a function of the observation returns."""

    name = "function"

    def __init__(self, function: Callable[[Observation], str | Completion]) -> None:
        self.function = function

    def act(self, observation: Observation) -> Completion:
        said = self.function(observation)
        return said if not isinstance(said, str) else Completion(said)


@dataclass
class FixedProposer:
    """Proposes one mask, or none, or does whatever its function does; remembers what it was asked."""

    mask: Mask | Callable[[MedicalImage], Mask | None] | None = None
    name: str = "fixed"
    asked: list[tuple[str, str]] = field(default_factory=list)

    def propose(self, image: MedicalImage, request: str) -> Proposal:
        self.asked.append((image.sha, request))
        mask = self.mask(image) if callable(self.mask) else self.mask
        return Proposal(mask, 0.7, self.name, None if mask is not None else "nothing there")


class CountingSegmenter(DiskSegmenter):
    """The disk fake, counting its calls; ``fails_at`` is the number of the prediction that raises."""

    def __init__(self, radius: float = 0.1, fails_at: int | None = None) -> None:
        super().__init__(radius=radius)
        self.embeds, self.predictions, self.fails_at = 0, 0, fails_at

    def embed(self, pixels: Pixels) -> tuple[int, int]:
        self.embeds += 1
        return super().embed(pixels)

    def predict(self, embedding: tuple[int, int], prompts: Sequence[Prompt], prior: Mask | None) -> Prediction:
        self.predictions += 1
        if self.predictions == self.fails_at:
            raise RuntimeError("out of memory\nsecond line")
        return super().predict(embedding, prompts, prior)
