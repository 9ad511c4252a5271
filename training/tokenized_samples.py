"""Samples in tokens: prompt and reply, with labels where the reply is learned."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ibisagent.agent.coordinates import CoordinateFrame
from ibisagent.agent.policies.local import EncodedConversation, QwenInputs
from ibisagent.agent.policies.local.qwen_inputs import escape_control_tokens
from ibisagent.tools.errors import InputError
from ibisagent.training.samples import Sample

__all__ = ["IGNORED", "TokenizedSample", "pad_samples", "tokenize_sample"]

IGNORED = -100


@dataclass(frozen=True, slots=True, eq=False)
class TokenizedSample:
    """A sample in tokens: ``ids`` of prompt and reply, ``labels`` of the same length, `IGNORED` where none is learned.

    ``reply_start``: where the reply begins.
    """

    encoded: EncodedConversation
    ids: list[int]
    labels: list[int]
    reply_start: int


def tokenize_sample(sample: Sample, inputs: QwenInputs) -> TokenizedSample:
    """Encode a sample; its prompt carries no loss, nor does the action of a mistake.

    `InputError` where its numbers are pixels of a picture that the model sees at another size.
    """
    _require_same_size(sample.frame, inputs)
    encoded = inputs.encode(sample.conversation)
    reply = inputs.reply_ids(sample.reply)
    labels = list(reply)
    if not sample.action_has_loss:
        kept = _count_thought_tokens(sample.reply, inputs)
        labels = [*labels[:kept], *[IGNORED] * (len(labels) - kept)]
    return TokenizedSample(encoded, [*encoded.ids, *reply], [IGNORED] * len(encoded.ids) + labels, len(encoded.ids))


def _require_same_size(frame: CoordinateFrame, inputs: QwenInputs) -> None:
    size = (frame.height or 1, frame.width or 1)
    seen = inputs.smart_resize.resized_size(*size)
    if frame.profile == "pixels" and seen != size:
        raise InputError(
            f"got clicks in pixels of pictures of {size[1]} x {size[0]}, which this model sees at "
            f"{seen[1]} x {seen[0]}; make the trajectories with its own processor, or in other coordinates"
        )


def _count_thought_tokens(reply: str, inputs: QwenInputs) -> int:
    """Count the tokens that begin before a reply's action; where it has none that is marked as one, none."""
    spans = inputs.tokenizer(escape_control_tokens(reply), add_special_tokens=False, return_offsets_mapping=True)[
        "offset_mapping"
    ]
    action = escape_control_tokens(reply).find("<action>")
    return sum(start < action for start, _ in spans)


def pad_samples(several: Sequence[TokenizedSample], inputs: QwenInputs) -> dict[str, torch.Tensor]:
    """Return a batch, padded on the right as for any language model, with each row's pictures."""
    longest = max(len(each.ids) for each in several)
    ids = torch.full((len(several), longest), inputs.tokenizer.pad_token_id)
    labels = torch.full((len(several), longest), IGNORED)
    real = torch.zeros((len(several), longest), dtype=torch.long)
    for row, each in enumerate(several):
        length = len(each.ids)
        ids[row, :length] = torch.tensor(each.ids)
        labels[row, :length] = torch.tensor(each.labels)
        real[row, :length] = 1
    return {
        "input_ids": ids,
        "attention_mask": real,
        "labels": labels,
        "mm_token_type_ids": (ids == inputs.image_token_id).int(),
        "pixel_values": torch.from_numpy(np.concatenate([each.encoded.patches for each in several])),
        "image_grid_thw": torch.from_numpy(np.concatenate([each.encoded.grid for each in several])),
    }
