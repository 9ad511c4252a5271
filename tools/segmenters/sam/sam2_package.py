"""SAM 2 and MedSAM2 checkpoints over the `sam2` package's model, without its transforms, which need torchvision."""

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import torch

from ibisagent.tools.errors import InputError, MissingExtra, describe_error
from ibisagent.tools.files import local_path, printable_text, require_file
from ibisagent.tools.segmenters.sam.frame import STRIDE
from ibisagent.tools.segmenters.sam.models import DecoderBatch, FeatureMaps, MaskLogits
from ibisagent.tools.segmenters.sam.sam_spec import SamSpec
from ibisagent.tools.segmenters.sam.weights import (
    describe_difference,
    fetch_file,
    import_optional,
    load_checkpoint,
)

__all__ = [
    "Sam2Package",
    "WeightSources",
    "build_model",
    "find_sources",
    "get_published_config",
    "infer_config",
    "load_network",
]

# The published sizes, by the width of the first layer and the number of blocks.
_SIZES = {(96, 12): "t", (96, 16): "s", (112, 24): "b+", (144, 48): "l"}
_SIDES = {"medsam2": 512, "sam2": 1024}
_PARTS = "sam2.modeling."


class WeightSources(NamedTuple):
    """The checkpoint, and the YAML file of an architecture of the user's own."""

    weights: Path
    config: Path | None


class Sam2Package:
    """The image half of a `SAM2Base`: encoder, prompt encoder and mask decoder, joined as `SAM2ImagePredictor` does."""

    bound = 32.0  # the official predictor clamps the logits that it hands on

    def __init__(self, model: Any) -> None:
        """Take a model in eval mode."""
        self._model, self.side = model, int(model.image_size)

    def to(self, device: torch.device) -> "Sam2Package":
        """Move the weights."""
        return Sam2Package(self._model.to(device))

    def encode(self, pixels: torch.Tensor) -> FeatureMaps:
        """Return maps of side / 4, / 8 and / 16, the last one with what stands for an empty memory."""
        high, middle, low = self._model.forward_image(pixels)["backbone_fpn"][-3:]
        return high, middle, low + self._model.no_mem_embed.reshape(1, -1, 1, 1)

    def decode(self, features: FeatureMaps, batch: DecoderBatch) -> MaskLogits:
        """Decode n queries; a box goes in as two points before the clicks, labelled 2 and 3."""
        points, labels = batch.points, batch.labels
        if batch.boxes is not None:
            points = torch.cat([batch.boxes.reshape(-1, 2, 2), points], dim=1)
            labels = torch.cat([labels.new_tensor([[2, 3]]).expand(len(labels), 2), labels], dim=1)
        encoder = self._model.sam_prompt_encoder
        clicks = (points, labels) if labels.shape[1] else None
        sparse, dense = encoder(points=clicks, boxes=None, masks=batch.logits)
        logits, scores, _, _ = self._model.sam_mask_decoder(
            image_embeddings=features[-1],
            image_pe=encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=batch.multimask,
            repeat_image=False,
            high_res_features=list(features[:-1]),
        )
        return MaskLogits(logits, scores)


def find_sources(spec: SamSpec) -> WeightSources:
    """Find the files that a name specifies; of hub ids only those that the `sam2` package itself lists."""
    known = import_optional("sam2.build_sam").HF_MODEL_ID_TO_FILENAMES if spec.family == "sam2" else {}
    if spec.source in known:
        return WeightSources(fetch_file(spec.source, known[spec.source][1]), _find_own_config(spec))
    weights = local_path(spec.source)
    require_file(weights)
    return WeightSources(weights, _find_own_config(spec))


def _find_own_config(spec: SamSpec) -> Path | None:
    if not spec.config:
        return None
    path = local_path(spec.config)
    require_file(path)
    return path


def load_network(spec: SamSpec, sources: WeightSources) -> Sam2Package:
    """Build the model that a checkpoint is of and load it strictly; `InputError` when their keys differ."""
    state = load_checkpoint(sources.weights)
    config = sources.config or infer_config(state)
    model = build_model(config, spec.size or _SIDES[spec.family])
    wrong = describe_difference(state, model.state_dict())
    if wrong is not None:
        remedy = f"expected the keys of {config.stem}; give its checkpoint, or ?config=FILE of this one's architecture"
        raise InputError(f"{printable_text(sources.weights)}: got {wrong}, {remedy}")
    model.load_state_dict(state)
    return Sam2Package(model)


def get_published_config(version: str, size: str) -> Path:
    """Return the package's own config of "sam2" or "sam2.1", of size "t", "s", "b+" or "l"."""
    import_optional("sam2")
    return Path(str(files("sam2"))) / "configs" / version / f"{version}_hiera_{size}.yaml"


def infer_config(state: Mapping[str, torch.Tensor]) -> Path:
    """Return the published config that a state dict's shapes are of; of none: SAM 2.1 tiny's."""
    first = state.get("image_encoder.trunk.patch_embed.proj.weight")
    blocks = {name.split(".")[3] for name in state if name.startswith("image_encoder.trunk.blocks.")}
    size = _SIZES.get((0 if first is None else first.shape[0], len(blocks)))
    version = "sam2" if size and "no_obj_embed_spatial" not in state else "sam2.1"
    return get_published_config(version, size or "t")


def build_model(config: Path, side: int) -> Any:
    """Build a `SAM2Base` in eval mode with random weights, for inputs of ``side`` pixels, from a SAM 2 config file."""
    omegaconf = import_optional("omegaconf")
    try:
        part = omegaconf.OmegaConf.to_container(omegaconf.OmegaConf.load(config), resolve=True)["model"]
        part["image_size"] = side
        for attention in ("self_attention", "cross_attention"):
            part["memory_attention"]["layer"][attention]["feat_sizes"] = [side // (4 * STRIDE)] * 2
        # What the package's own `build_sam2` adds: an unstable single mask gives way to the best of the three.
        part["sam_mask_decoder_extra_args"] = {
            "dynamic_multimask_via_stability": True,
            "dynamic_multimask_stability_delta": 0.05,
            "dynamic_multimask_stability_thresh": 0.98,
        }
        return _instantiate(part).eval()
    except MissingExtra:
        raise
    except Exception as error:  # whatever a constructor says to wrong arguments
        remedy = "expected a SAM 2 model's config; check the file"
        raise InputError(f"{printable_text(config)}: got {describe_error(error, 120)}, {remedy}") from error


def _instantiate(part: Any) -> Any:
    """Build what ``_target_`` names, inside out; nothing outside the `sam2` package's own parts is ever called."""
    if isinstance(part, list):
        return [_instantiate(item) for item in part]
    if not isinstance(part, dict):
        return part
    values = {name: _instantiate(value) for name, value in part.items() if name != "_target_"}
    if "_target_" not in part:
        return values
    home, _, name = str(part["_target_"]).rpartition(".")
    if not home.startswith(_PARTS):
        raise ValueError(f"_target_ {part['_target_']} outside {_PARTS}")
    return getattr(import_optional(home), name)(**values)
