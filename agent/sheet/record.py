"""From a recorded run to its contact sheet."""

from collections.abc import Iterator

from PIL import Image

from ibisagent.agent.actions import from_plain, spell
from ibisagent.agent.overlay import Canvas, canvas, draw
from ibisagent.agent.sheet.page import contact_sheet
from ibisagent.agent.sheet.panels import Panel
from ibisagent.agent.trajectory import Step, Trajectory
from ibisagent.tools.clicks import Box, Click, Prompt
from ibisagent.tools.images import MedicalImage
from ibisagent.tools.masks import Rle, area, decode
from ibisagent.tools.segmenters.base import Mask
from ibisagent.tools.simulator import iou

__all__ = ["sheet_of"]


def sheet_of(record: Trajectory, image: MedicalImage) -> Image.Image:
    """Draw a run on ``image``; with a true mask in the record, an error map stands beside every step."""
    truth = decode(record.truth) if record.truth is not None else None
    panels = list(_panels(record, canvas(image.pixels), image, truth))
    subtitle = f"Stop: {record.stop}   Policy: {record.policy}   Segmenter: {record.segmenter.split()[0]}"
    return contact_sheet(record.request, subtitle, panels, truth, record.answer or "", pixels=image.pixels)


def _panels(record: Trajectory, on: Canvas, image: MedicalImage, truth: Mask | None) -> Iterator[Panel]:
    undone_by = {step.reverts: step.n for step in record.steps if step.reverts is not None}
    if record.refined:
        start = decode(record.start)
        facts = _facts(record.start, None, None, image, truth)
        yield Panel("Initial mask", "", facts, draw(on, start), (), start, undone_by.get(0))
    prompts: tuple[Prompt, ...] = ()
    for step in record.steps:
        prompts = _after(prompts, step)
        mask = decode(step.mask)
        facts = _facts(step.mask, step.score, sum(step.seconds.values()), image, truth)
        undone = undone_by.get(step.n)
        yield Panel(_heading(step), step.thought, facts, draw(on, mask), prompts, mask, undone, step.error)


def _after(prompts: tuple[Prompt, ...], step: Step) -> tuple[Prompt, ...]:
    """Give the prompts in force after a step."""
    action = from_plain(step.action) if step.action and not step.error else None
    if isinstance(action, Click | Box):
        return (*prompts, action)
    return prompts[:-1] if step.reverts else prompts


def _heading(step: Step) -> str:
    action = spell(from_plain(step.action)) if step.action else "Unreadable reply"
    if step.reverts is not None:
        action = f"{action} (step {step.reverts})" if step.reverts else f"{action} (initial mask)"
    return f"{step.n}  {action}" + ("" if step.by == "policy" else f", by {step.by}")


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
