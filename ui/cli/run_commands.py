"""The commands behind the command line: check the input, run the graph, write the run folder."""

import contextlib
import sqlite3
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from rich.console import Console
from rich.markup import escape

from ibisagent.agent import (
    Box,
    Click,
    ImageStore,
    LoopConfig,
    RunStore,
    SegmentationGraph,
    Similar,
    build_graph,
    get_policy,
)
from ibisagent.agent.checkpoints import open_checkpointer
from ibisagent.agent.config import preset as loop_settings
from ibisagent.agent.inputs import require_request
from ibisagent.agent.policies import OraclePolicy, find_policy
from ibisagent.agent.policies.options import read_policy_options
from ibisagent.agent.privacy import restrict_to_local
from ibisagent.agent.proposers import open_proposer
from ibisagent.agent.record_images import open_recorded_image
from ibisagent.agent.replay import replay
from ibisagent.agent.thread_lock import lock_thread
from ibisagent.agent.threads import resume_or_start
from ibisagent.agent.trajectory import Trajectory
from ibisagent.agent.trajectory_files import read_trajectories
from ibisagent.tools.clicks import Prompt
from ibisagent.tools.errors import InputError
from ibisagent.tools.export import require_instances_savable, require_savable
from ibisagent.tools.imaging.decoding import decode_guard
from ibisagent.tools.imaging.medical_image import MedicalImage
from ibisagent.tools.imaging.open_image import open_image
from ibisagent.tools.masks.reading import read_mask
from ibisagent.tools.segmenters.memo import get_memo
from ibisagent.tools.segmenters.prompt_kinds import require_taken
from ibisagent.tools.segmenters.registry import find_segmenter, recorded_segmenter_name, require_local_segmenter
from ibisagent.ui.cli.failures import require_success
from ibisagent.ui.cli.live import run_live
from ibisagent.ui.cli.trajectory_files import readable_roots
from ibisagent.ui.run_folder import make_folder, new_folder, write_run

__all__ = ["RunOptions", "run_case", "run_replay", "run_segment", "run_simulate"]

_REPLAY_REMEDY = "name the right one with --image, or its folder with --root"


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Options of a run, from the command line."""

    image: Path
    request: str
    segmenter: str
    slice: str | None
    window: str | None
    max_steps: int
    out: Path | None
    saves: tuple[Path, ...] = ()
    seed: int = 0
    thread: str | None = None
    db: Path | None = None
    instance_saves: tuple[Path, ...] = ()


def run_segment(
    options: RunOptions,
    policy: str | None,
    marks: Sequence[tuple[str, str]],
    box: str | None,
    mask: Path | None,
    local_only: bool,
    prompts: Path | None,
    preset: str = "default",
    proposer: str | None = None,
) -> None:
    """Segment with a policy, a person's own prompts, or both; the policy ``none`` adds nothing to the prompts.

    ``marks``: "click" or "similar" with its value, in order. The default policy is ``nano``, with prompts ``none``.
    """
    require_request(options.request)
    given: list[Prompt] = [] if box is None else [read_box(box)]
    given += [read_click(text) if option == "click" else read_similar(text) for option, text in marks]
    require_taken(given, find_segmenter(options.segmenter).prompts, options.segmenter)
    if policy is None:
        policy = "none" if given else "nano"
    with restrict_to_local(local_only):
        if not (find_policy(policy).adds_prompts or given or mask is not None):
            got = f"got --policy {policy} and no prompts"
            raise InputError(f"{got}, expected a --click, a --similar, a --box or a --mask with it; add one")
        if local_only:
            require_local_segmenter(options.segmenter)
        given_options = read_policy_options(seed=options.seed, prompt_file=prompts, local_only=local_only)
        chosen = get_policy(policy, given_options)
        image = _open_image(options)
        start: dict[str, Any] = {"image": image, "request": options.request, "prompts": given}
        if mask is not None:
            start["initial_mask"] = read_mask(mask, image)
        with _persistence(options) as persistence:
            config = loop_settings(preset, max_steps=options.max_steps)
            proposes = open_proposer(proposer, chosen, given_options)
            graph = build_graph(chosen, options.segmenter, config, proposer=proposes, **persistence)
            run_case(graph, start, options)


def run_simulate(options: RunOptions, mask: Path, target_iou: float) -> None:
    """Run the oracle, and show the IoU of every step."""
    image = _open_image(options)
    truth = read_mask(mask, image)
    graph = build_graph(OraclePolicy(truth, target_iou=target_iou), options.segmenter, LoopConfig(options.max_steps))
    run_case(graph, {"image": image, "request": options.request}, options, truth)


def run_replay(path: Path, image: Path | None, segmenter: str | None, roots: Sequence[Path] = ()) -> None:
    """Replay every record of a file; any difference is an error.

    ``image``: the picture; else it is found below the record's folder, the current one, or one of ``roots``.
    """
    console, readable = Console(), readable_roots(roots)
    for number, record in enumerate(read_trajectories(path), 1):
        opened = open_recorded_image(record.image, path.parent, readable, _REPLAY_REMEDY, image=image)
        name = segmenter if segmenter is not None else _recorded_segmenter(record)
        with decode_guard(f"record {number}", "a sound trajectory", "record it anew"):
            replayed = replay(record, name, opened)
        if replayed.differences:
            raise InputError(f"record {number}: {replayed.differences[0]} ({len(replayed.differences)} differences)")
        console.print(f"record {number}: {len(record.steps)} steps, every mask equal bit for bit")


def _recorded_segmenter(record: Trajectory) -> str:
    return recorded_segmenter_name(record.segmenter_name)


def _open_image(options: RunOptions) -> MedicalImage:
    """Open the image and validate all other options before anything is run or written."""
    require_request(options.request)
    get_memo(options.segmenter)
    if (options.thread is None) != (options.db is None):
        raise InputError("got one of --thread and --db: expected both, or neither; name the run and its file")
    path = options.image if options.db is None else options.image.absolute()  # it may be resumed from another folder
    image = open_image(path, slice=options.slice, window=options.window)
    for target in options.saves:
        require_savable(target, image)
    for target in options.instance_saves:
        require_instances_savable(target, image)
    return image


@contextlib.contextmanager
def _persistence(options: RunOptions) -> Iterator[dict[str, Any]]:
    """Yield the graph's checkpointer and stores: checkpoints in --db, replies and masks in a folder beside it."""
    if options.db is None:
        yield {"checkpointer": InMemorySaver()}
        return
    folder = Path(f"{options.db}.store")
    threads = Path(f"{options.db.resolve()}.store") / "threads"  # the same folder for every path of the file
    with open_checkpointer(options.db) as saver, lock_thread(options.db, options.thread or "", threads):
        yield {"checkpointer": saver, "store": RunStore(folder), "images": ImageStore(folder / "images")}


def run_case(graph: SegmentationGraph, start: dict[str, Any], options: RunOptions, truth: Any = None) -> None:
    """Run the graph with live output and write the run folder, also when a bug or a failure ended the run.

    `RunFailed`: the policy, the segmenter or the store failed.
    ``start``: the graph's input, its image a `MedicalImage`; ``truth``: the true mask, (H, W) bool, where it is known.
    """
    console = Console()
    for note in start["image"].notes:
        console.print(note, style="yellow", markup=False)
    begun = time.perf_counter()
    thread = RunnableConfig(configurable={"thread_id": options.thread or "command line"})
    given, thread = resume_or_start(graph, start, thread) if graph.checkpointer else (start, thread)
    folder = options.out if options.out is not None else new_folder(Path("runs"))
    make_folder(folder)
    state, bug = run_live(graph, given, thread, console, truth)
    written: list[Path] = []
    with warnings.catch_warnings(record=True) as caught:
        if state is not None:
            written = write_run(
                folder,
                graph,
                state,
                start["image"],
                truth=truth,
                saves=options.saves,
                instance_saves=options.instance_saves,
            )
    for warning in caught:
        console.print(escape(str(warning.message)), style="yellow")
    if isinstance(bug, sqlite3.Error):
        raise InputError(
            f"{options.db}: {bug}; free disk space and run the same command again, which resumes the run"
        ) from bug
    if bug is not None:
        raise bug
    seconds, paths = time.perf_counter() - begun, ", ".join(str(path) for path in written)
    console.print(f"{seconds:.1f} s with {escape(options.segmenter)}; wrote {paths}")
    if state is not None:
        require_success(state["stop"], state["error"], graph.components.policy.name, options.segmenter)


def read_click(text: str) -> Click:
    """Parse ``+x,y`` or ``-x,y``.

    >>> read_click("-0.25,0.5")
    Click(x=0.25, y=0.5, positive=False, target=None)
    """
    x, y = _signed_place("--click", text)
    return Click(x, y, positive=text[0] == "+")


def read_similar(text: str) -> Similar:
    """Parse ``+x,y`` or ``-x,y``.

    >>> read_similar("+0.25,0.5")
    Similar(x=0.25, y=0.5, positive=True, target=None)
    """
    x, y = _signed_place("--similar", text)
    return Similar(x, y, positive=text[0] == "+")


def _signed_place(option: str, text: str) -> list[float]:
    if text[:1] not in ("+", "-"):
        raise InputError(f"{option} {text!r}: expected a sign and two decimals from 0 to 1, such as +0.41,0.52")
    return _numbers(option, text[1:], 2, "+0.41,0.52", text)


def read_box(text: str) -> Box:
    """Parse ``x0,y0,x1,y1``.

    >>> read_box("0.1,0.2,0.5,0.6")
    Box(x0=0.1, y0=0.2, x1=0.5, y1=0.6, target=None)
    """
    x0, y0, x1, y1 = _numbers("--box", text, 4, "0.1,0.2,0.5,0.6", text)
    return Box(x0, y0, x1, y1)


def _numbers(option: str, text: str, count: int, example: str, whole: str) -> list[float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != count or not all(0.0 <= number <= 1.0 for number in numbers):
        raise InputError(f"{option} {whole!r}: expected {count} decimals from 0 to 1 of the picture, as in {example}")
    return numbers
