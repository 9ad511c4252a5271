"""Whatever reader opens the image and whatever library the numbers come from, state is in Python's own types."""

import asyncio
import base64
import io
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from langgraph.checkpoint.memory import InMemorySaver
from PIL import Image
from support.fakes import STOP, CountingSegmenter, FunctionPolicy, positive
from support.image_fixtures import write_dicom

from ibisagent.agent import build_graph
from ibisagent.agent.checkpoints import aopen_checkpointer, open_checkpointer
from ibisagent.agent.integrations.multi_target import fan_out
from ibisagent.agent.policies import Completion
from ibisagent.agent.threads import intervene
from ibisagent.agent.trajectory import build_trajectory
from ibisagent.agent.trajectory_files import write_trajectory
from ibisagent.tools.clicks import Click
from ibisagent.tools.imaging.grids import Spacing
from ibisagent.tools.imaging.medical_image import MedicalImage
from ibisagent.tools.imaging.open_image import open_image
from ibisagent.tools.json_values import to_builtin

GREY = (np.indices((24, 32)).sum(0) * 4).astype(np.uint8)
MASK = np.zeros(GREY.shape, bool)
MASK[4:9, 6:12] = True
THREAD = {"configurable": {"thread_id": "1"}}
PLAIN = (str, int, float, bool, type(None))
VOXELS = np.arange(24 * 32 * 2, dtype=np.int16).reshape(32, 24, 2, order="F")


def picture_writer(kind):
    def write(folder):
        Image.fromarray(GREY).save(folder / f"a.{kind}")
        return folder / f"a.{kind}"

    return write


def nrrd(folder):
    lines = ["NRRD0004", "type: short", "dimension: 3", "sizes: 32 24 2", "encoding: raw", "endian: little"]
    lines += ["space: left-posterior-superior", "space directions: (0.5,0,0) (0,0.5,0) (0,0,2)"]
    (folder / "a.nrrd").write_bytes("\n".join([*lines, "space origin: (0,0,0)", "", ""]).encode() + VOXELS.tobytes("F"))
    return folder / "a.nrrd"


def metaimage(folder):
    fields = {"ObjectType": "Image", "NDims": 3, "DimSize": "32 24 2", "ElementType": "MET_SHORT"}
    fields |= {"ElementSpacing": "0.5 0.5 2", "TransformMatrix": "1 0 0 0 1 0 0 0 1", "ElementDataFile": "LOCAL"}
    header = "".join(f"{key} = {value}\n" for key, value in fields.items())
    (folder / "a.mha").write_bytes(header.encode() + VOXELS.tobytes("F"))
    return folder / "a.mha"


def nifti(folder):
    nib.save(nib.Nifti1Image(VOXELS, np.diag([0.7, 0.7, 2, 1])), folder / "a.nii.gz")
    return folder / "a.nii.gz"


def npz(folder):
    np.savez(folder / "a.npz", imgs=np.stack([GREY, GREY]), spacing=np.array([0.5, 0.6, 2], np.float32))
    return folder / "a.npz"


def data_url(_folder):
    buffer = io.BytesIO()
    Image.fromarray(GREY).save(buffer, format="PNG")
    return "Data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def of_numpy(_folder):
    """Return an image as a program of the user's own makes one."""
    image = replace(open_image(GREY), spacing=Spacing(np.float64(0.5), np.float32(0.5)), modality=np.str_("CT"))
    return replace(image, values=GREY.astype(np.float64), window=np.str_("40,400"))


READERS = {
    **{kind: picture_writer(kind) for kind in ("png", "jpg", "tif", "webp", "bmp")},
    "dicom": lambda folder: write_dicom(
        folder / "a.dcm", GREY.astype(np.uint16), PixelSpacing=[0.5, 0.5], Modality="CT"
    ),
    "nifti": nifti,
    "nrrd": nrrd,
    "metaimage": metaimage,
    "npz": npz,
    "data URL": data_url,
    "array": lambda _: GREY,
    "PIL picture": lambda _: Image.fromarray(GREY),
    "MedicalImage": of_numpy,
    "reference": lambda folder: {"uri": picture_writer("png")(folder), "slice": np.str_("0"), "window": None},
}


class NumpyScoredSegmenter(CountingSegmenter):
    """A segmenter whose score is a scalar of its library."""

    def predict(self, embedding, prompts, prior):
        return replace(super().predict(embedding, prompts, prior), score=np.float32(0.5))


def script(observation):
    said = [positive(0.3, 0.5), STOP][min(observation.step, 1)]
    return Completion(said, usage={"total_tokens": np.int64(3)}, seconds=np.float32(0.5), logprobs=[np.float32(-1)])


def find_not_plain(value, where="state"):
    """List what is not of Python's own types, with the path to it."""
    if type(value) is dict:
        keys = [f"{where} key {key!r}" for key in value if type(key) is not str]
        return keys + [found for key, part in value.items() for found in find_not_plain(part, f"{where}.{key}")]
    if type(value) is list:
        return [found for number, part in enumerate(value) for found in find_not_plain(part, f"{where}.{number}")]
    return [] if type(value) in PLAIN else [f"{where}: {type(value)}"]


def channels(checkpoint):
    values = checkpoint.checkpoint["channel_values"] | {name: value for _, name, value in checkpoint.pending_writes}
    return {name: value for name, value in values.items() if not name.startswith(("branch:", "__no_writes__"))}


@contextmanager
def memory(_folder):
    yield InMemorySaver()


@contextmanager
def sqlite(folder):
    with open_checkpointer(folder / "runs.db") as saver:
        yield saver


@asynccontextmanager
async def asqlite(folder):
    async with aopen_checkpointer(folder / "runs.db") as saver:
        yield saver


def start(source, **more):
    prompts = [Click(np.float64(0.25), np.float32(0.25), np.True_, np.str_("cyst"))]
    prompts += [{"type": "point", "x": np.float32(0.5), "y": np.float64(0.5)}]
    return {"image": source, "request": np.str_("Segment it."), "prompts": prompts, **more}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("keeper", [memory, sqlite])
def test_a_run_is_kept_as_it_goes_without_a_checkpointer(name, keeper, tmp_path):
    source = READERS[name](tmp_path)
    free = build_graph(FunctionPolicy(script), NumpyScoredSegmenter()).invoke(start(source, initial_mask=MASK))
    with keeper(tmp_path) as saver:
        graph = build_graph(FunctionPolicy(script), NumpyScoredSegmenter(), checkpointer=saver)
        ended = graph.invoke(start(source, initial_mask=MASK), THREAD)
        kept = list(saver.list(THREAD))
        assert (ended["stop"], ended["mask"], len(ended["steps"])) == (free["stop"], free["mask"], len(free["steps"]))
        assert ended["stop"] == "terminated"
        assert find_not_plain(ended) == find_not_plain(free) == []
        assert len(kept) > 4
        assert [found for each in kept for found in find_not_plain(channels(each))] == []
        again = intervene(graph, THREAD, Click(np.float64(0.9), np.float64(0.9), target=np.str_("cyst")))
        assert find_not_plain(again) == find_not_plain(graph.get_state(THREAD).values) == []
    write_trajectory(tmp_path / "t.json", build_trajectory(graph, again, truth=MASK))


@pytest.mark.parametrize("name", READERS)
def test_an_asynchronous_run_is_kept_as_well(name, tmp_path):
    source = READERS[name](tmp_path)

    async def run():
        async with asqlite(tmp_path) as saver:
            graph = build_graph(FunctionPolicy(script), NumpyScoredSegmenter(), checkpointer=saver)
            ended = await graph.ainvoke(start(source, initial_mask=MASK), THREAD)
            return ended, [each async for each in saver.alist(THREAD)]

    ended, kept = asyncio.run(run())
    assert (ended["stop"], find_not_plain(ended)) == ("terminated", [])
    assert [found for each in kept for found in find_not_plain(channels(each))] == []


@pytest.mark.parametrize("name", ["nrrd", "array", "PIL picture", "data URL", "MedicalImage"])
def test_targets_side_by_side_are_kept_as_well(name, tmp_path):
    saver = InMemorySaver()
    fan = fan_out(build_graph(FunctionPolicy(script), NumpyScoredSegmenter()), checkpointer=saver)
    asked = {"request": np.str_("It."), "initial_mask": Image.fromarray(MASK)}
    ended = fan.invoke({"image": READERS[name](tmp_path), "targets": {"cyst": asked, "liver": "That."}}, THREAD)
    assert list(ended["segmentations"]) == ["cyst", "liver"]
    first = list(saver.list(THREAD))[-1]
    assert find_not_plain(first.checkpoint["channel_values"].get("__start__")) == []
    assert find_not_plain(ended["segmentations"]) == []


def test_plain_is_exact_and_deep():
    class Word(str):
        __slots__ = ()

    given = {
        Word("a"): (np.float32(0.5), np.longdouble(2), np.int8(-1), np.bool_(True), None),
        "b": [Path("x") / "y", np.array([[1, 2]]), np.array(3.5), Word("w"), np.str_("s")],
        "c": Spacing(1, np.float64(2)),
    }
    expected = {"a": [0.5, 2.0, -1, True, None], "b": ["x/y", [[1, 2]], 3.5, "w", "s"], "c": [1, 2.0]}
    assert to_builtin(given) == expected
    assert find_not_plain(to_builtin(given)) == []
    assert find_not_plain(given) != []


def test_an_image_is_plain_whoever_makes_it():
    image = MedicalImage(
        GREY, open_image(GREY).grid, (np.float64(1), np.float32(2)), uri=np.str_("a"), notes=[np.str_("n")]
    )
    assert [type(part) for part in (*image.spacing, image.uri, *image.notes)] == [float, float, str, str]
    assert image.spacing == Spacing(1.0, 2.0)
