"""The contact sheet of a recorded run."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from ibisagent.agent.actions import format_action, from_plain
from ibisagent.agent.overlay import OverlayBlend, draw_mask, prepare_blend
from ibisagent.agent.record_images import open_recorded_image
from ibisagent.agent.stop_reasons import FAILURES
from ibisagent.agent.trajectory import Step, Trajectory
from ibisagent.evals.contact_sheets.crop import crop_window, to_crop
from ibisagent.evals.contact_sheets.layout import draw_contact_sheet
from ibisagent.evals.contact_sheets.panels import Panel
from ibisagent.tools.clicks import PixelBox, Prompt
from ibisagent.tools.errors import IbisError
from ibisagent.tools.imaging.medical_image import MedicalImage
from ibisagent.tools.imaging.open_image import open_image
from ibisagent.tools.masks.measure import iou
from ibisagent.tools.masks.rle import Rle, area, decode
from ibisagent.tools.segmenters.base import Mask

__all__ = ["contact_sheet_of", "final_panel", "open_or_grey"]


def contact_sheet_of(record: Trajectory, image: MedicalImage) -> Image.Image:
    """Draw the contact sheet of a run on ``image``, with an error map of every step if the record has a true mask.

    A run within a small part of the picture is cropped to that part, which the subtitle states.
    """
    truth = decode(record.truth) if record.truth is not None else None
    panels = list(_build_panels(record, prepare_blend(image.pixels), image, truth))
    masks = [panel.mask for panel in panels] + ([truth] if truth is not None else [])
    part = crop_window(masks, (prompt for panel in panels for prompt in panel.prompts), image.shape)
    cut = (slice(part.top, part.bottom + 1), slice(part.left, part.right + 1))
    return draw_contact_sheet(
        record.request,
        _subtitle(record, part, image.shape),
        [_crop_panel(panel, part, image.shape) for panel in panels],
        truth[cut] if truth is not None else None,
        record.answer or "",
        pixels=image.pixels[cut],
    )


def open_or_grey(record: Trajectory, folder: Path, roots: Sequence[Path]) -> tuple[MedicalImage, bool]:
    """Open the picture of a record of this folder, or make a grey one of its size; and whether it was found."""
    try:
        return open_recorded_image(record.image, folder, roots), True
    except IbisError:
        size = record.geometry["height"], record.geometry["width"]
        return open_image(np.full(size, 128, np.uint8)), False


def final_panel(record: Trajectory, image: MedicalImage, heading: str) -> Panel:
    """Return the final mask of a run as a panel, with the prompts that made it and the answer as its thought."""
    mask, target = decode(record.mask), record.target
    truth = decode(record.truth) if record.truth is not None else None
    prompts = tuple(prompt for each in target.prompts if isinstance(prompt := from_plain(each), Prompt))
    facts = f"{_facts(record.mask, record.score, None, image, truth)}   stop: {record.stop or 'unfinished'}"
    shown = draw_mask(prepare_blend(image.pixels), mask)
    return Panel(heading, record.answer or "", facts, shown, prompts, mask, None, record.error)


def _subtitle(record: Trajectory, part: PixelBox, shape: tuple[int, int]) -> str:
    text = f"Stop: {record.stop or 'unfinished'}   Policy: {record.policy}   Segmenter: {record.segmenter.split()[0]}"
    if part == PixelBox(0, 0, shape[0] - 1, shape[1] - 1):
        return text
    rows, columns = f"rows {part.top}-{part.bottom}", f"columns {part.left}-{part.right}"
    return f"{text}   Shown: {rows}, {columns} of {shape[0]} x {shape[1]}"


def _crop_panel(panel: Panel, part: PixelBox, shape: tuple[int, int]) -> Panel:
    rows, columns = slice(part.top, part.bottom + 1), slice(part.left, part.right + 1)
    prompts = tuple(to_crop(prompt, part, shape) for prompt in panel.prompts)
    return replace(panel, overlay=panel.overlay[rows, columns], mask=panel.mask[rows, columns], prompts=prompts)


def _build_panels(record: Trajectory, on: OverlayBlend, image: MedicalImage, truth: Mask | None) -> Iterator[Panel]:
    undone_by = _undoing_steps(record)
    if record.has_initial_mask:
        start = decode(record.start)
        proposal = record.target.proposal
        proposed = proposal if proposal is not None and proposal["outcome"] == "proposed" else None
        score, seconds = (proposed["score"], proposed["seconds"]) if proposed is not None else (None, None)
        facts = _facts(record.start, score, seconds, image, truth)
        heading = f"Initial mask, proposed by {proposed['by']}" if proposed is not None else "Initial mask"
        yield Panel(heading, "", facts, draw_mask(on, start), (), start, undone_by.get(0))
    prompts: tuple[Prompt, ...] = ()
    for step in record.steps:
        prompts = _prompts_after(prompts, step, record)
        mask = decode(step.mask)
        facts = _facts(step.mask, step.score, sum(step.seconds.values()) if step.seconds else None, image, truth)
        undone = undone_by.get(step.index)
        yield Panel(_heading(step), step.thought, facts, draw_mask(on, mask), prompts, mask, undone, step.error)
    failed = record.stop in FAILURES and not (record.steps and record.steps[-1].outcome == "failed")
    if failed or not (
        record.steps or record.has_initial_mask
    ):  # a last panel with the reason why there is no further step
        mask = decode(record.mask)
        facts = _facts(record.mask, None, None, image, truth)
        yield Panel(record.stop or "unfinished", "", facts, draw_mask(on, mask), prompts, mask, None, record.error)


def _undoing_steps(record: Trajectory) -> dict[int, int]:
    """Map the steps that stay undone, 0 for the initial mask, to the steps that undid them."""
    found: dict[int, int] = {}
    for step in record.steps:
        if step.reverts is not None:
            found[step.reverts] = step.index
        if step.restores is not None:
            found.pop(step.restores, None)
    return found


def _prompts_after(prompts: tuple[Prompt, ...], step: Step, record: Trajectory) -> tuple[Prompt, ...]:
    """Return the active prompts after a step."""
    source = next((other for other in record.steps if other.index == step.restores), step)
    action = from_plain(source.action) if source.action and step.outcome == "applied" else None
    if isinstance(action, Prompt):
        return (*prompts, action)
    return prompts[:-1] if step.reverts else prompts


def _heading(step: Step) -> str:
    action = format_action(from_plain(step.action)) if step.action else "Unreadable reply"
    moved = step.reverts if step.restores is None else step.restores
    if moved is not None:
        action = f"{action} (step {moved})" if moved else f"{action} (initial mask)"
    return f"{step.index}  {action}" + ("" if step.actor == "policy" else f", by {step.actor}")


def _facts(rle: Rle, score: float | None, seconds: float | None, image: MedicalImage, truth: Mask | None) -> str:
    pixels = area(rle)
    size = f"area {pixels * image.spacing.row * image.spacing.column:.0f} mm²" if image.spacing else f"area {pixels} px"
    known = [size]
    if truth is not None:
        known.insert(0, f"IoU {iou(decode(rle), truth):.3f}")
    if score is not None:
        known.append(f"score {score:.2f}")
    if seconds is not None:
        known.append(f"{seconds:.2f} s")
    return "   ".join(known)
