"""From a name to a segmenter of the SAM family, its weights loaded."""

from pathlib import Path

import torch

from ibisagent.tools.segmenters.sam import hf_models, sam2_package
from ibisagent.tools.segmenters.sam.models import Model
from ibisagent.tools.segmenters.sam.segmenter import SamSegmenter
from ibisagent.tools.segmenters.sam.spec import Spec
from ibisagent.tools.segmenters.sam.views import MedSamView, PaddedView, SquashedView, View
from ibisagent.tools.segmenters.sam.weights import snapshot

__all__ = ["open_sam"]


_VIEWS: dict[str, View] = {
    "medsam": MedSamView(),
    "medsam2": SquashedView(),
    "sam": PaddedView(),
    "sam2": SquashedView(),
    "sam2hf": SquashedView(),
}


def open_sam(spec: Spec) -> SamSegmenter:
    """Load what a name speaks of; `InputError` for wrong weights or options, `MissingExtra` for a missing package."""
    device = _device(spec)
    model, files = _package(spec) if spec.family in ("medsam2", "sam2") else _folder(spec)
    return SamSegmenter(
        name=spec.family,
        model=model.to(device),
        view=_VIEWS[spec.family],
        files=files,
        device=device,
        dtype=getattr(torch, spec.dtype),
        gathers=spec.batch,
    )


def _device(spec: Spec) -> torch.device:
    if not spec.device:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=spec.device).device
    except (RuntimeError, AssertionError) as error:  # the latter from a build of torch without that device
        raise spec.refuse(f"device={spec.device}", "a device that torch has here, such as cpu or cuda") from error


def _package(spec: Spec) -> tuple[Model, tuple[Path, ...]]:
    sources = sam2_package.find(spec)
    return sam2_package.load(spec, sources), tuple(path for path in sources if path is not None)


def _folder(spec: Spec) -> tuple[Model, tuple[Path, ...]]:
    folder = snapshot(spec.source)
    files = hf_models.weight_files(folder)
    if spec.family == "sam2hf":
        return hf_models.Sam2Hugging(hf_models.load(folder, "Sam2Model")), files
    return hf_models.SamHugging(hf_models.load(folder, "SamModel")), files
