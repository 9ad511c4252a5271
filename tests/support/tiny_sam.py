"""Tiny random networks of the SAM family, written in the formats that the real ones are published in."""

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from transformers import Sam2Config, Sam2Model, Sam2VideoConfig, Sam2VideoModel, SamConfig, SamModel
from transformers.utils.logging import disable_progress_bar

from ibisagent.tools.segmenters import Segmenter, get_segmenter
from ibisagent.tools.segmenters.sam.sam2_package import build_model, get_published_config

torch.set_num_threads(1)
disable_progress_bar()  # type: ignore[no-untyped-call]

FAMILIES = ("medsam2", "sam2", "sam", "medsam", "sam2hf")


@cache
def _make_folder() -> Path:
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder)
    return folder


def get_tiny_name(family: str, side: int = 256) -> str:
    """Return the name of a tiny network; MedSAM2's is SAM 2.1 at its own 512, SAM 2's is SAM 2.0."""
    return _make_name(family, side)


@cache
def _make_name(family: str, side: int) -> str:
    folder = _make_folder() / f"{family}{side}"
    folder.mkdir()
    if family in ("sam", "medsam"):
        return f"{family}:{write_sam_folder(folder, side)}"
    if family == "sam2hf":
        return f"{family}:{write_sam2_folder(folder, side)}"
    config = write_nano_config(folder, "sam2" if family == "sam2" else "sam2.1")
    size = f"&size={side}" if family == "sam2" else ""
    return f"{family}:{write_checkpoint(folder, config)}?config={config}{size}"


def open_tiny(family: str, side: int = 256) -> Segmenter:
    """Open a tiny network, once for all tests."""
    return _open(family, side)


@cache
def _open(family: str, side: int) -> Segmenter:
    return get_segmenter(_make_name(family, side))


def write_nano_config(folder: Path, version: str = "sam2.1") -> Path:
    """Write a config of the `sam2` package's with 1.5 M parameters instead of tiny's 39 M."""
    config = OmegaConf.load(get_published_config(version, "t"))
    attention = {"embedding_dim": 64}
    model = {
        "image_encoder": {
            "trunk": {"embed_dim": 16, "stages": [1, 1, 2, 1], "global_att_blocks": [3]},
            "neck": {
                "d_model": 64,
                "backbone_channel_list": [128, 64, 32, 16],
                "position_encoding": {"num_pos_feats": 64},
            },
        },
        "memory_attention": {
            "d_model": 64,
            "num_layers": 1,
            "layer": {
                "d_model": 64,
                "dim_feedforward": 64,
                "self_attention": attention,
                "cross_attention": {**attention, "kv_in_dim": 16},
            },
        },
        "memory_encoder": {
            "out_dim": 16,
            "position_encoding": {"num_pos_feats": 16},
            "fuser": {"layer": {"dim": 64}},
        },
    }
    path = Path(folder) / f"{version}_nano.yaml"
    OmegaConf.save(OmegaConf.merge(config, {"model": model}), path)
    return path


def draw_weights(model: torch.nn.Module, seed: int = 0) -> Any:
    """Draw every weight anew, large enough that prompts show in the masks."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, parameter[0].numel() ** -0.5, generator=generator)
    return model


def write_checkpoint(folder: Path, config: Path, side: int = 512, seed: int = 0) -> Path:
    """Write a checkpoint as SAM 2 and MedSAM2 are published."""
    path = Path(folder) / f"{config.stem}_{seed}.pt"
    torch.save({"model": draw_weights(build_model(config, side), seed).state_dict()}, path)
    return path


def write_sam_folder(folder: Path, side: int = 256) -> Path:
    """Write a SAM as transformers does."""
    vision = {
        "hidden_size": 32,
        "output_channels": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": side,
        "global_attn_indexes": [1],
        "window_size": 7,
        "mlp_dim": 64,
        "num_pos_feats": 16,
    }
    prompts = {"hidden_size": 32, "image_size": side, "image_embedding_size": side // 16}
    decoder = {"hidden_size": 32, "mlp_dim": 64, "num_attention_heads": 2, "iou_head_hidden_dim": 32}
    config = SamConfig(vision_config=vision, prompt_encoder_config=prompts, mask_decoder_config=decoder)
    path = Path(folder) / "sam"
    draw_weights(SamModel(config)).save_pretrained(path)
    return path


def _sam2_parts(side: int) -> dict[str, Any]:
    backbone = {
        "hidden_size": 16,
        "blocks_per_stage": [1, 1, 2, 1],
        "embed_dim_per_stage": [16, 32, 64, 128],
        "num_attention_heads_per_stage": [1, 2, 4, 8],
        "global_attention_blocks": [3],
    }
    vision = {
        "backbone_config": {"model_type": "sam2_hiera_det_model", **backbone},
        "backbone_channel_list": [128, 64, 32, 16],
        "backbone_feature_sizes": [[side // 4] * 2, [side // 8] * 2, [side // 16] * 2],
        "fpn_hidden_size": 64,
    }
    return {
        "vision_config": vision,
        "prompt_encoder_config": {"hidden_size": 64, "image_size": side},
        "mask_decoder_config": {"hidden_size": 64, "mlp_dim": 64, "iou_head_hidden_dim": 32},
    }


def write_sam2_folder(folder: Path, side: int = 256) -> Path:
    """Write a SAM 2 as transformers does."""
    path = Path(folder) / "sam2"
    draw_weights(Sam2Model(Sam2Config(**_sam2_parts(side)))).save_pretrained(path)
    return path


def write_sam2_video_folder(folder: Path, side: int = 256) -> Path:
    """Write a SAM 2 as its published repositories hold it: a video model."""
    memory: dict[str, Any] = {
        "memory_attention_hidden_size": 64,
        "memory_attention_num_layers": 1,
        "memory_attention_feed_forward_hidden_size": 64,
        "memory_attention_rope_feat_sizes": [side // 16] * 2,
        "memory_encoder_hidden_size": 64,
        "memory_encoder_output_channels": 16,
        "memory_fuser_embed_dim": 64,
        "memory_fuser_intermediate_dim": 64,
        "mask_downsampler_embed_dim": 64,
    }
    path = Path(folder) / "video"
    config = Sam2VideoConfig(image_size=side, **_sam2_parts(side), **memory)
    draw_weights(Sam2VideoModel(config)).save_pretrained(path)
    return path
