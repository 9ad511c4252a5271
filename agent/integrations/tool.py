"""The loop as a tool of a LangChain agent: text for the model, a plain artifact for the program, nothing else."""

import asyncio
import hashlib
import json
import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from langchain_core.tools import BaseTool, StructuredTool, ToolException
from langgraph.errors import GraphBubbleUp
from langgraph.prebuilt import ToolRuntime
from pydantic import Field

from ibisagent.agent.config import LoopConfig
from ibisagent.agent.graph import SegmentationGraph, build_graph
from ibisagent.agent.integrations.argument_errors import reject_unknown_arguments
from ibisagent.agent.integrations.error_messages import redact_error, user_message
from ibisagent.agent.integrations.hidden_arguments import hide_argument
from ibisagent.agent.integrations.image_blocks import overlay_block
from ibisagent.agent.integrations.image_catalog import ImageCatalog
from ibisagent.agent.integrations.nested_run import EventWriter, arun_nested, run_nested, to_plain_segmentation
from ibisagent.agent.integrations.summary import summarize
from ibisagent.agent.policies import Policy
from ibisagent.agent.proposers import Proposer
from ibisagent.agent.state import Output
from ibisagent.agent.stores import RunStore
from ibisagent.agent.trajectory import build_trajectory
from ibisagent.agent.trajectory_files import write_trajectory
from ibisagent.tools.clicks import Box, Prompt, Similar
from ibisagent.tools.errors import InputError, StoreError
from ibisagent.tools.files import require_writable_folder
from ibisagent.tools.masks.rle import Rle, encode
from ibisagent.tools.segmenters import Segmenter
from ibisagent.tools.segmenters.memo import Memo

__all__ = ["read_examples", "segmentation_tool"]

DESCRIPTION = """Segment one thing in a medical image by looking, clicking and correcting.
Says whether it was found, or could not be judged, how the run ended, area, box, centroid and side, and names the mask.
To improve a mask, call it again with that mask's reference and say what is wrong with it."""

Image = Annotated[str, Field(description="The image's name or path, as you were given it.")]
Request = Annotated[str, Field(description="Words that say what to segment, such as: Segment the left kidney.")]
Region = Annotated[
    list[float],
    Field(
        min_length=4, max_length=4, description="A box around it: [x0, y0, x1, y1] from 0 to 1, x to the right, y down."
    ),
]
Examples = Annotated[
    list[Annotated[list[float], Field(min_length=2, max_length=3)]],
    Field(
        min_length=1,
        max_length=64,
        description="Examples [x, y] from 0 to 1, to mark everything in the picture that looks like them, such as all "
        "nuclei; [x, y, 0] for what is not meant.",
    ),
]
MaskReference = Annotated[str, Field(description="The reference of a mask of the same picture to begin from.")]
Slice = Annotated[
    str, Field(description="The slice of a volume or series: such as axial:12, coronal:middle, or a frame's number.")
]
Window = Annotated[str, Field(description="A CT's window: its name, such as lung, or centre,width in HU.")]

Answer = tuple[Any, dict[str, Any]]
"""Content for the model, and the artifact."""

_LOG = logging.getLogger(__name__)
_KEY = re.compile(r"[0-9a-f]{16}")


def segmentation_tool(
    policy: Policy | str,
    segmenter: Segmenter | Memo | str,
    config: LoopConfig | None = None,
    *,
    proposer: Proposer | str | None = None,
    root: str | os.PathLike[str] | Mapping[str, Any] | None = None,
    images: ImageCatalog | None = None,
    store: RunStore | None = None,
    trajectory_folder: str | os.PathLike[str] | None = None,
    include_overlay: bool = False,
    name: str = "segment_image",
    description: str = DESCRIPTION,
) -> BaseTool:
    """Return the loop as a tool; each call is a run, which under a parent's checkpointer resumes if it was killed.

    ``proposer``: as of `build_graph`.

    ``root``: the folder of the images, by default the current one, or a mapping of names to images; ``images`` in its
    place shares opened images between tools. ``store``: keeps the masks that later calls refer to; one with a folder
    outlives the process. ``trajectory_folder``: an existing folder, for a trajectory of every run.
    ``include_overlay``: the text comes with a small overlay, in base64 (see `image_blocks.overlay_block`).

    The argument ``similar``, examples of what to mark everywhere, is there where the segmenter takes them.

    The artifact: ``mask_key``, ``rle``, ``measurements``, ``instances``, ``box``, ``found``, ``stop``, ``confidence``,
    ``answer``, ``request``, ``image``, and ``trajectory``, a file's name in ``trajectory_folder``, or None. An error is
    returned as a line of text with the status "error"; an interrupt propagates to the parent.
    """
    if images is not None and root is not None:
        raise InputError("got root and images, expected one of them; leave root out")
    if trajectory_folder is not None:
        require_writable_folder(trajectory_folder)
    known = images if images is not None else ImageCatalog(root if root is not None else Path.cwd())
    graph = build_graph(policy, segmenter, config, proposer=proposer, images=known, store=store)
    runs = _ToolRuns(graph, known, Path(trajectory_folder) if trajectory_folder is not None else None, include_overlay)

    def call(
        image: Image,
        request: Request,
        region: Region | None = None,
        similar: Examples | None = None,
        mask: MaskReference | None = None,
        slice: Slice | None = None,
        window: Window | None = None,
        runtime: ToolRuntime[Any, Any] = None,  # type: ignore[assignment]  # a parent gives it, a bare call does not
    ) -> Answer:
        with _tool_errors(image):
            start = runs.graph_input(image, request, region, similar, mask, slice, window, runtime)
            return runs.tool_result(
                run_nested(graph, start, _context(runtime), _writer(runtime), _call_number(runtime))
            )

    async def acall(**asked: Any) -> Answer:
        runtime = asked.get("runtime")
        with _tool_errors(asked["image"]):
            start = await asyncio.to_thread(runs.graph_input, **asked)
            ended = await arun_nested(graph, start, _context(runtime), _writer(runtime), _call_number(runtime))
            return await asyncio.to_thread(runs.tool_result, ended)

    if "similar" not in graph.components.memo.prompt_kinds:
        hide_argument(call, "similar")
    return reject_unknown_arguments(
        StructuredTool.from_function(
            call,
            acall,
            name=name,
            description=description,
            response_format="content_and_artifact",
            handle_tool_error=True,
        )
    )


@dataclass(frozen=True, slots=True)
class _ToolRuns:
    """From a call's arguments to a graph's input, and from its output to the tool's result."""

    graph: SegmentationGraph
    images: ImageCatalog
    trajectory_folder: Path | None
    include_overlay: bool

    def graph_input(
        self,
        image: str,
        request: str,
        region: list[float] | None = None,
        similar: list[list[float]] | None = None,
        mask: str | None = None,
        slice: str | None = None,
        window: str | None = None,
        runtime: Any = None,
    ) -> dict[str, Any]:
        """Return the graph's input for a call's arguments; `InputError` for wrong ones, before anything runs."""
        reference = self.images.to_reference(image) | {"slice": slice, "window": window}
        start: dict[str, Any] = {"image": reference, "request": request}
        boxes: list[Prompt] = [Box(x0, y0, x1, y1) for x0, y0, x1, y1 in ([region] if region is not None else [])]
        if prompts := [*boxes, *read_examples(similar or ())]:
            start["prompts"] = prompts
        if mask is not None:
            start["initial_mask"] = self._find_mask(mask, reference, runtime)
        return start

    def _find_mask(self, name: str, reference: dict[str, Any], runtime: Any) -> Rle:
        """Return a mask from the parent's messages, from the run store, or from a file beside the images."""
        if not _KEY.fullmatch(name):
            image = self.images.open(reference)
            try:
                return encode(self.images.read_mask(name, image))
            except InputError as error:
                raise redact_error(error, "mask") from None
        artifacts = (getattr(message, "artifact", None) for message in _messages(runtime))
        rles = (
            artifact["rle"] for artifact in artifacts if isinstance(artifact, dict) and artifact.get("mask_key") == name
        )
        try:
            return next(rles, None) or self.graph.components.store.get_mask(name)
        except (StoreError, KeyError):
            got = "got a mask reference that is not known here"
            raise InputError(f"mask: {got}, expected one from an earlier result; leave it out") from None

    def tool_result(self, ended: Output) -> Answer:
        """Return the tool's result for a run's output, and write its trajectory."""
        summary = summarize(self.graph, ended)
        text, artifact = summary.text, to_plain_segmentation(summary, ended) | {"trajectory": None}
        if self.trajectory_folder is not None:
            try:
                artifact["trajectory"] = self._write_record(ended, self.trajectory_folder)
            except (InputError, StoreError):  # a full disk does not cost the mask
                text += " The record of the run could not be written; tell the operator."
        if not self.include_overlay:
            return text, artifact
        image = self.graph.components.images.open(ended["image"])
        return [{"type": "text", "text": text}, overlay_block(image, summary.rle)], artifact

    def _write_record(self, ended: Output, folder: Path) -> str:
        record = build_trajectory(self.graph, ended)
        source = self.images.source(record.image["uri"]) if record.image["uri"] is not None else None
        if isinstance(source, str | os.PathLike):  # beside the record a path means one relative to it
            record = replace(record, image=record.image | {"uri": os.path.relpath(source, folder)})
        digest = hashlib.sha256(json.dumps(record.to_json(), sort_keys=True).encode()).hexdigest()
        write_trajectory(folder / f"{digest[:16]}.json", record)
        return f"{digest[:16]}.json"


def read_examples(given: Sequence[Sequence[float]]) -> list[Similar]:
    """Return the examples of a call, each [x, y], or [x, y, 0] for a negative one.

    >>> read_examples([[0.5, 0.25, 0]])
    [Similar(x=0.5, y=0.25, positive=False, target=None)]
    """
    return [_example(number, *each) for number, each in enumerate(given)]


def _example(number: int, x: float, y: float, on: float = 1) -> Similar:
    if on not in (0, 1):
        got = f"similar[{number}]: got {on:g} after x and y"
        raise InputError(f"{got}, expected 1 for an example, or 0 for what is not meant; choose")
    return Similar(x, y, on == 1)


@contextmanager
def _tool_errors(image: str) -> Iterator[None]:
    """Turn an error into a message for the model, but let an interrupt pass."""
    try:
        yield
    except GraphBubbleUp:
        raise
    except Exception as error:
        _LOG.debug("a call of the segmentation tool failed", exc_info=True)
        raise ToolException(user_message(error, image)) from error


def _messages(runtime: Any) -> list[Any]:
    """Return the parent's messages, last first."""
    state = runtime.state if runtime is not None else None
    if isinstance(state, dict):
        state = state.get("messages")
    messages = state if isinstance(state, list) else getattr(state, "messages", None)
    return list(messages or [])[::-1]


def _call_number(runtime: Any) -> int | None:
    """Return the call's index in the model's message, which is the same in a resumed parent."""
    for message in _messages(runtime):
        ids = [call["id"] for call in getattr(message, "tool_calls", None) or []]
        if runtime.tool_call_id in ids:
            return ids.index(runtime.tool_call_id)
    return None


def _context(runtime: Any) -> Any:
    return runtime.context if runtime is not None else None


def _writer(runtime: Any) -> EventWriter:
    """Return a function that sends events to the parent's stream, each with the id of the call."""
    if runtime is None:
        return lambda _: None
    return lambda event: runtime.stream_writer(event | {"tool_call_id": runtime.tool_call_id})
