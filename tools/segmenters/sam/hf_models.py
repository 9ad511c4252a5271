"""SAM, MedSAM and SAM 2 as transformers stores them: a folder of `config.json` and weights, or a hub id."""

import json
from math import isqrt
from pathlib import Path
from typing import Any

import torch

from ibisagent.tools.errors import InputError, describe_error
from ibisagent.tools.files import printable_text
from ibisagent.tools.quiet_loading import suppress_load_output
from ibisagent.tools.segmenters.sam.models import DecoderBatch, FeatureMaps, MaskLogits
from ibisagent.tools.segmenters.sam.weights import describe_differing_keys, import_optional

__all__ = ["HFSam", "HFSam2", "list_weight_files", "load_model"]

_KINDS = {"SamModel": ("sam",), "Sam2Model": ("sam2", "sam2_video")}  # published SAM 2 folders are of the video model


class HFSam:
    """transformers' `SamModel`."""

    bound = float("inf")

    def __init__(self, model: Any) -> None:
        """Take a model in eval mode."""
        self._model, self.side = model, int(model.config.vision_config.image_size)

    def to(self, device: torch.device) -> "HFSam":
        """Move the weights."""
        return HFSam(self._model.to(device))

    def encode(self, pixels: torch.Tensor) -> FeatureMaps:
        """Return one map, of side / 16."""
        return (self._model.get_image_embeddings(pixels),)

    def decode(self, features: FeatureMaps, batch: DecoderBatch) -> MaskLogits:
        """Decode n queries."""
        return _decode(self._model, features[0], batch)


class HFSam2:
    """transformers' `Sam2Model`."""

    bound = 32.0  # as the official predictor; see `sam2_package`

    def __init__(self, model: Any) -> None:
        """Take a model in eval mode."""
        size = model.config.prompt_encoder_config.image_size
        self._model, self.side = model, int(size if isinstance(size, int) else size[0])

    def to(self, device: torch.device) -> "HFSam2":
        """Move the weights."""
        return HFSam2(self._model.to(device))

    def encode(self, pixels: torch.Tensor) -> FeatureMaps:
        """Return maps of side / 4, / 8 and / 16, shaped by their content: the config may name another side."""
        flat = self._model.get_image_features(pixels, return_dict=True).fpn_hidden_states
        high, middle, low = (level.permute(1, 2, 0).unflatten(2, [isqrt(len(level))] * 2) for level in flat)
        return high, middle, low + self._model.no_memory_embedding.reshape(1, -1, 1, 1)

    def decode(self, features: FeatureMaps, batch: DecoderBatch) -> MaskLogits:
        """Decode n queries."""
        return _decode(self._model, list(features), batch)


def _decode(model: Any, features: Any, batch: DecoderBatch) -> MaskLogits:
    """Decode the masks of one object in each of n pictures."""
    clicks = batch.labels.shape[1] > 0
    answer = model(
        image_embeddings=features,
        input_points=batch.points[:, None] if clicks else None,
        input_labels=batch.labels[:, None] if clicks else None,
        input_boxes=None if batch.boxes is None else batch.boxes[:, None],
        input_masks=batch.logits,
        multimask_output=batch.multimask,
    )
    return MaskLogits(answer.pred_masks[:, 0], answer.iou_scores[:, 0])


def list_weight_files(folder: Path) -> tuple[Path, ...]:
    """List the files of a model's folder that its masks depend on."""
    weights = sorted(folder.glob("model*.safetensors")) or sorted(folder.glob("pytorch_model*.bin"))
    if not weights:
        raise InputError(
            f"{printable_text(folder)}: got no weights there, expected model.safetensors; download it whole"
        )
    return (folder / "config.json", *weights)


def load_model(folder: Path, kind: str) -> Any:
    """Load a folder's weights strictly into transformers' class ``kind``, in eval mode."""
    found = _read_model_type(folder)
    if found not in _KINDS[kind]:
        raise InputError(
            f"{printable_text(folder)}: got a model of type {found!r}, expected {' or '.join(_KINDS[kind])}"
        )
    transformers = import_optional("transformers")
    with suppress_load_output(transformers.utils.logging):
        try:
            model, info = getattr(transformers, kind).from_pretrained(
                folder,
                local_files_only=True,
                weights_only=True,
                ignore_mismatched_sizes=True,  # they come back by name
                output_loading_info=True,
                dtype=torch.float32,
            )
        except Exception as error:  # whatever a broken config or file makes of itself
            raise InputError(
                f"{printable_text(folder)}: got {describe_error(error, 120)}, expected a {kind}; check its files"
            ) from error
    reshaped = [item[0] for item in info["mismatched_keys"]]
    wrong = describe_differing_keys(info["missing_keys"], info["unexpected_keys"], reshaped)
    if wrong is not None:
        raise InputError(
            f"{printable_text(folder)}: got {wrong}, expected those of {kind} and its config.json; check its files"
        )
    return model.eval()


def _read_model_type(folder: Path) -> Any:
    try:
        return json.loads((folder / "config.json").read_text(encoding="utf-8"))["model_type"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{printable_text(folder)}: got no readable config.json, expected one with a model_type"
        ) from error
