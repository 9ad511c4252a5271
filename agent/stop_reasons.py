"""Why a run ended: every run has one of these reasons."""

from typing import Literal

__all__ = ["FAILURES", "StopReason"]

StopReason = Literal[
    "terminated",  # the policy stopped by itself
    "target_absent",  # it stopped with no active prompt and an empty mask: the target is not in the image
    "declined",  # the policy cannot decide whether the target is there: nothing is asserted
    "answered",  # a plain question was answered without segmenting
    "max_steps",  # as many actions as the configuration allows
    "loop",  # an action repeated on the same mask with the same undone actions
    "stalled",  # the mask no longer changes
    "settled",  # it hardly changes, and the segmenter's score is good (`LoopConfig.self_check`)
    "parse_failures",  # unparseable replies in a row
    "budget",  # seconds, tokens, or super-steps left in the enclosing graph
    "policy_error",  # the model failed
    "segmenter_error",  # the segmenter failed; the mask is that of the step before
    "store_error",  # the run store failed: a full disk, a deleted folder; the mask is that of the step before
    "cancelled",  # the caller cancelled
]

FAILURES: tuple[StopReason, ...] = ("policy_error", "segmenter_error", "store_error")
"""Stop reasons by which something outside the loop failed: the same request may succeed another time."""
