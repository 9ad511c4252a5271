"""From a name to a segmenter of the SAM family, its weights loaded."""

from pathlib import Path

import torch

from ibisagent.tools.segmenters.sam import hf_models, sam2_package
from ibisagent.tools.segmenters.sam.models import SamNetwork
from ibisagent.tools.segmenters.sam.sam_spec import SamSpec, parse_spec
from ibisagent.tools.segmenters.sam.segmenter import SamSegmenter
from ibisagent.tools.segmenters.sam.transforms import InputTransform, MedSamTransform, PadTransform, StretchTransform
from ibisagent.tools.segmenters.sam.weights import fetch_folder

__all__ = ["open_sam"]


_VIEWS: dict[str, InputTransform] = {
    "medsam": MedSamTransform(),
    "medsam2": StretchTransform(),
    "sam": PadTransform(),
    "sam2": StretchTransform(),
    "sam2hf": StretchTransform(),
}


def open_sam(name: str) -> SamSegmenter:
    """Load the named network; `InputError` for wrong weights or options, `MissingExtra` for a missing package."""
    spec = parse_spec(name)
    device = _choose_device(spec)
    model, files = _load_checkpoint(spec) if spec.family in ("medsam2", "sam2") else _load_folder(spec)
    return SamSegmenter(
        name=spec.family,
        model=model.to(device),
        transform=_VIEWS[spec.family],
        files=files,
        device=device,
        dtype=getattr(torch, spec.dtype),
        batches_calls=spec.batch,
    )


def _choose_device(spec: SamSpec) -> torch.device:
    if not spec.device:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=spec.device).device
    except (RuntimeError, AssertionError) as error:  # the latter from a build of torch without that device
        raise spec.build_error(f"device={spec.device}", f"a device that torch has here: {_devices()}") from error


def _devices() -> str:
    return "cpu or cuda" if torch.cuda.is_available() else "cpu, as it finds no GPU"


def _load_checkpoint(spec: SamSpec) -> tuple[SamNetwork, tuple[Path, ...]]:
    sources = sam2_package.find_sources(spec)
    return sam2_package.load_network(spec, sources), tuple(path for path in sources if path is not None)


def _load_folder(spec: SamSpec) -> tuple[SamNetwork, tuple[Path, ...]]:
    folder = fetch_folder(spec.source)
    files = hf_models.list_weight_files(folder)
    if spec.family == "sam2hf":
        return hf_models.HFSam2(hf_models.load_model(folder, "Sam2Model")), files
    return hf_models.HFSam(hf_models.load_model(folder, "SamModel")), files
