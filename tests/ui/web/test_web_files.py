"""What the page's routes hand out, read back by other libraries: the session's mask on the source's own grid."""

import asyncio
import csv
import io
import json

import highdicom
import httpx
import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK
from PIL import Image
from pycocotools import mask as coco
from support.dicom_series_fixtures import ORIENTATIONS, write_series
from support.fakes import STOP, positive, script
from support.geometry_fixtures import PATIENT
from support.web_sessions import make_sessions, raise_failure, settle

from ibisagent.agent.overlay import overlay
from ibisagent.agent.trajectory import Trajectory
from ibisagent.tools.imaging.open_image import open_image
from ibisagent.tools.masks.reading import read_mask
from ibisagent.tools.masks.rle import decode
from ibisagent.ui.web.app import make_app

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation")  # in pycocotools
HERE = "http://127.0.0.1:7860"
SHAPE = (24, 30, 10)  # i, j, k
VOXELS = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE)  # no two alike: a value says which voxel is shown
FLIP = np.array([[-0.9, 0, 0, 12], [0, 0, 3.0, -7], [0, 1.2, 0, 30], [0, 0, 0, 1]])
ANYWHERE = {"mask.png", "overlay.png", "trajectory.json", "mask.json", "steps.png", "measurements.csv"}


def turned(degrees):
    """A grid of 0.8 x 1.1 x 3 mm, turned about two axes, its first axis towards the left."""
    a, b = np.deg2rad(degrees), np.deg2rad(degrees / 2)
    about_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    affine = np.eye(4)
    affine[:3, :3] = about_z @ about_x @ np.diag([-0.8, 1.1, 3.0])
    affine[:3, 3] = (5, -40, 17)
    return affine


def write_nifti(path, affine):
    image = nibabel.Nifti1Image(VOXELS, affine)
    image.set_sform(affine, 1)
    image.set_qform(affine, 1)
    nibabel.save(image, path)
    return [path]


def write_nrrd(path):
    image = SimpleITK.GetImageFromArray(VOXELS.transpose(2, 1, 0))
    image.SetSpacing((0.8, 1.1, 3.0))
    image.SetOrigin((5.0, 40.0, -17.0))
    image.SetDirection((np.diag([-1, 1, -1]) @ (turned(25)[:3, :3] / (-0.8, 1.1, 3.0))).ravel().tolist())
    SimpleITK.WriteImage(image, path)
    return [path]


async def upload(client, handle, files):
    for number, path in enumerate(files, 1):
        more = {"more": "1"} if number < len(files) else {}
        address = f"/s/{handle}/upload"
        answer = await client.post(
            address,
            params={"kind": "image", "name": path.name} | more,
            content=path.read_bytes(),
            headers={"origin": HERE},
        )
        assert answer.json() == {"ok": True}


def take_home(files, slice=None):
    """Upload a picture over the page's routes, mark something, download all; return the last snapshot and the files."""

    async def story():
        sessions = make_sessions(lambda: script(positive(0.3, 0.4), STOP))
        async with sessions.running(raise_failure):
            transport = httpx.ASGITransport(make_app(sessions))
            async with httpx.AsyncClient(transport=transport, base_url=HERE, timeout=60) as client:
                handle = (await client.get("/")).headers["location"].removeprefix("/?s=")
                owner = sessions.owner_of(client.cookies)
                await upload(client, handle, files)
                if slice is not None:
                    await sessions.set_view(handle, owner, slice=slice)
                await sessions.ask(handle, owner, "Segment the liver.")
                await settle(sessions, handle, owner)
                await sessions.click(handle, owner, 0.7, 0.2)
                await sessions.accept(handle, owner)
                snapshot = await settle(sessions, handle, owner)
                assert not snapshot["error"], snapshot["message"]
                got = {name: await client.get(f"/s/{handle}/file/{name}") for name in snapshot["downloads"]}
                for name, answer in got.items():
                    assert answer.status_code == 200, name
                    assert answer.headers["content-disposition"] == f'attachment; filename="{name}"'
                return snapshot, {name: answer.content for name, answer in got.items()}

    return asyncio.run(story())


def check_everywhere(snapshot, files, image):
    """What is handed out for every kind of source; return the mask, (H, W) bool."""
    mask = decode(snapshot["mask"])
    assert 0 < mask.sum() < mask.size
    assert mask.shape == image.shape
    png = np.asarray(Image.open(io.BytesIO(files["mask.png"])))
    assert np.array_equal(png, mask * np.uint8(255))
    run_lengths = json.loads(files["mask.json"])
    assert run_lengths["size"] == list(mask.shape)
    assert np.array_equal(coco.decode(run_lengths) == 1, mask)
    shown = np.asarray(Image.open(io.BytesIO(files["overlay.png"])))
    assert np.array_equal(shown, overlay(image.pixels, mask))
    record = Trajectory.from_json(json.loads(files["trajectory.json"]))
    assert np.array_equal(decode(record.mask), mask)
    assert [step.actor for step in record.steps] == ["policy", "policy", "person", "person"]
    assert record.image["sha"] == image.sha
    sheet = Image.open(io.BytesIO(files["steps.png"]))
    assert sheet.width > 3 * 96, "a panel for each step"
    assert len(np.unique(np.asarray(sheet.convert("L")))) > 20
    ((names, values),) = [list(csv.reader(io.StringIO(files["measurements.csv"].decode())))]
    measured = dict(zip(names, values, strict=True))
    assert int(measured["area_px"]) == mask.sum()
    if image.spacing is not None:
        assert float(measured["area_mm2"]) == pytest.approx(mask.sum() * image.spacing.row * image.spacing.column)
    else:
        assert measured["area_mm2"] == ""
    return mask


def expected_voxels(mask, image):
    """The source's voxels that a mask of the shown plane selects, (i, j, k) bool: each pixel's value is its voxel's."""
    marked = np.zeros(VOXELS.size, bool)
    marked[image.values[mask].astype(int)] = True
    return marked.reshape(SHAPE)


def save(folder, files):
    for name, content in files.items():
        (folder / name).write_bytes(content)


def test_a_plain_picture(tmp_path, pixels):
    Image.fromarray(pixels).save(tmp_path / "scan.png")
    snapshot, files = take_home([tmp_path / "scan.png"])
    assert set(files) == ANYWHERE
    check_everywhere(snapshot, files, open_image(tmp_path / "scan.png"))


@pytest.mark.parametrize("plane", ["axial:4", "coronal:11", "sagittal:20"])
@pytest.mark.parametrize("source", ["oblique.nii.gz", "oblique.nii", "flipped.nii.gz", "oblique.nrrd"])
def test_a_volume_of_any_orientation(tmp_path, source, plane):
    path, flipped = tmp_path / source, source.startswith("flipped")
    written = write_nrrd(path) if path.suffix == ".nrrd" else write_nifti(path, FLIP if flipped else turned(25))
    chosen = {"coronal:11": "coronal:5"}.get(plane, plane) if flipped else plane
    snapshot, files = take_home(written, chosen)
    assert set(files) == ANYWHERE | {"mask.nii.gz", "mask.nii", "mask.nrrd"}
    image = open_image(path, slice=chosen)
    mask = check_everywhere(snapshot, files, image)
    expected = expected_voxels(mask, image)
    out = tmp_path / "out"
    out.mkdir()
    save(out, files)
    reference = SimpleITK.ReadImage(str(path))
    for name in ("mask.nii.gz", "mask.nii", "mask.nrrd"):
        assert np.array_equal(read_mask(out / name, image), mask), name
        read = SimpleITK.ReadImage(str(out / name))
        assert np.array_equal(SimpleITK.GetArrayFromImage(read).transpose(2, 1, 0) > 0, expected), name
        assert np.allclose(read.GetOrigin(), reference.GetOrigin(), atol=1e-4), name
        assert np.allclose(read.GetSpacing(), reference.GetSpacing(), atol=1e-5), name
        assert np.allclose(read.GetDirection(), reference.GetDirection(), atol=1e-5), name
        if name != "mask.nrrd" and path.suffix != ".nrrd":
            saved, own = nibabel.load(out / name), nibabel.load(path)
            assert np.array_equal(saved.affine, own.affine)
            for key in ("sform_code", "qform_code"):
                assert saved.header[key] == own.header[key]
            assert np.array_equal(np.asarray(saved.dataobj) > 0, expected)


@pytest.mark.parametrize("orientation", ["axial", "oblique", "feet first"])
def test_a_dicom_series(tmp_path, orientation):
    volume = np.ascontiguousarray(VOXELS.transpose(2, 1, 0))  # planes, rows, columns
    uids = {key: pydicom.uid.generate_uid() for key in ("StudyInstanceUID", "FrameOfReferenceUID")}
    paths = write_series(tmp_path / "scan", volume, ORIENTATIONS[orientation], **uids, **PATIENT)
    snapshot, files = take_home(paths, "2")
    assert set(files) >= ANYWHERE | {"mask.dcm"}
    image = open_image(tmp_path / "scan", slice="2")
    mask = check_everywhere(snapshot, files, image)
    expected = expected_voxels(mask, image)
    (plane,) = np.unique(np.nonzero(expected)[2])
    source = pydicom.dcmread(paths[plane])
    segmentation = highdicom.seg.segread(io.BytesIO(files["mask.dcm"]))
    found = segmentation.get_pixels_by_source_instance([source.SOPInstanceUID])[0, ..., 0] == 1
    assert np.array_equal(found, expected[:, :, plane].T)
    assert segmentation.FrameOfReferenceUID == source.FrameOfReferenceUID
    shared, (frame,) = segmentation.SharedFunctionalGroupsSequence[0], segmentation.PerFrameFunctionalGroupsSequence
    assert np.allclose(frame.PlanePositionSequence[0].ImagePositionPatient, source.ImagePositionPatient)
    assert np.allclose(shared.PlaneOrientationSequence[0].ImageOrientationPatient, source.ImageOrientationPatient)
    assert np.allclose(shared.PixelMeasuresSequence[0].PixelSpacing, source.PixelSpacing)
    raw = pydicom.dcmread(io.BytesIO(files["mask.dcm"]))
    assert raw.Modality == "SEG"
    assert np.array_equal(np.atleast_3d(raw.pixel_array.T).T[0] == 1, expected[:, :, plane].T)
