"""Names, ids and dates in headers and file names: no output of a run contains them but the path of its own file."""

import io
import json
import logging
import zipfile

import nibabel as nib
import numpy as np
import pytest
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from PIL import Image, PngImagePlugin
from pydicom import dcmread
from support.dicom_series_fixtures import VOLUME, build_item, write_enhanced, write_series
from support.fakes import STOP, positive
from support.image_fixtures import GREY, write_dicom, write_nifti

from ibisagent.agent import build_graph
from ibisagent.agent.policies.chat import ChatPolicy
from ibisagent.agent.trajectory import build_trajectory
from ibisagent.tools.imaging.open_image import open_image
from ibisagent.ui.run_folder import write_run

NAME, ID, BORN, DOCTOR, HOUSE = "Zyxwvia^Qplmko", "PID-778899", "19530217", "Vrtkzm^Wolf", "Spital Hjkqw"
IDENTIFIERS = ("zyxwvia", "qplmko", "pid-778899", "19530217", "vrtkzm", "hjkqw")
FILE = f"{NAME.replace('^', '_')}_{ID}_{BORN}"
PLANTED = {
    "PatientName": NAME, "PatientID": ID, "PatientBirthDate": BORN, "StudyDate": BORN, "AccessionNumber": ID,
    "ReferringPhysicianName": DOCTOR, "InstitutionName": HOUSE, "StudyDescription": NAME, "SeriesDescription": NAME,
    "PatientComments": NAME, "ImageComments": NAME, "ProtocolName": NAME, "StudyID": ID, "OperatorsName": DOCTOR,
    "DerivationDescription": NAME, "WindowCenterWidthExplanation": NAME, "BurnedInAnnotation": "YES",
    "StationName": HOUSE, "PatientOrientation": ["L", "F"], "ImageLaterality": "R",
}  # fmt: skip


def planted_dicom(folder):
    return write_dicom(folder / f"{FILE}.dcm", GREY.astype(np.int16), **PLANTED)


def planted_private(folder):
    path = planted_dicom(folder)
    dataset = dcmread(path)
    block = dataset.private_block(0x0029, HOUSE, create=True)
    block.add_new(0x01, "LO", NAME)
    dataset.file_meta.add_new(0x00020016, "AE", ID)
    dataset.add_new(0x60001500, "LO", NAME)
    dataset.save_as(path)
    return path


def planted_series(folder):
    write_series(folder / FILE, **PLANTED)
    return folder / FILE


def planted_zip(folder):
    with zipfile.ZipFile(folder / f"{FILE}.zip", "w") as archive:
        archive.comment = NAME.encode()
        for path in write_series(folder / FILE, **PLANTED):
            archive.write(path, f"{FILE}/{path.name}")
    return folder / f"{FILE}.zip"


def planted_frames(folder):
    frames = [{"FrameContentSequence": build_item(FrameComments=NAME, FrameLabel=ID)}] * 5
    return write_enhanced(folder / f"{FILE}.dcm", frames=frames, **PLANTED)


def planted_nifti(folder):
    image = nib.load(write_nifti(folder / "a.nii"))
    for key in ("descrip", "aux_file", "db_name", "intent_name"):
        image.header[key] = ID.encode()
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", NAME.encode()))
    nib.save(image, folder / f"{FILE}.nii.gz")
    return folder / f"{FILE}.nii.gz"


def planted_nrrd(folder):
    head = f"NRRD0004\n# {NAME}\ncontent: {NAME}\ntype: short\ndimension: 3\nspace: LPS\nsizes: 7 6 5\nencoding: raw\n"
    head += f"space directions: (1,0,0) (0,1,0) (0,0,1)\nendian: little\nPatient:={NAME}\n\n"
    (folder / f"{FILE}.nrrd").write_bytes(head.encode() + VOLUME.tobytes())
    return folder / f"{FILE}.nrrd"


def planted_metaimage(folder):
    head = f"ObjectType = Image\nComment = {NAME}\nName = {NAME}\nNDims = 3\nDimSize = 7 6 5\nElementType = MET_SHORT\n"
    head += f"ID = {ID}\nAcquisitionDate = {BORN}\nElementDataFile = LOCAL\n"
    (folder / f"{FILE}.mha").write_bytes(head.encode() + VOLUME.tobytes())
    return folder / f"{FILE}.mha"


def planted_png(folder):
    words, exif = PngImagePlugin.PngInfo(), Image.Exif()
    words.add_text("Patient", NAME)
    exif[0x010E] = NAME
    Image.fromarray(GREY).save(folder / f"{FILE}.png", pnginfo=words, exif=exif)
    return folder / f"{FILE}.png"


def planted_tiff(folder):
    Image.fromarray(GREY).save(folder / f"{FILE}.tif", description=NAME, artist=DOCTOR, date_time=BORN)
    return folder / f"{FILE}.tif"


SOURCES = [function for name, function in list(globals().items()) if name.startswith("planted_")]


class RecordingChatModel(GenericFakeChatModel):
    messages_seen: list = []  # noqa: RUF012

    def _generate(self, messages, *args, **kwargs):
        self.messages_seen.append(messages)
        return super()._generate(messages, *args, **kwargs)


def find_identifiers(told):
    content = told if isinstance(told, bytes) else str(told).encode()
    return [word for word in IDENTIFIERS if word in content.decode("latin-1").lower()]


@pytest.mark.parametrize("plant", SOURCES, ids=lambda function: function.__name__)
def test_nothing_of_a_patient_leaves_the_file(tmp_path, plant, caplog, capfd):
    path = plant(tmp_path)
    caplog.set_level(logging.DEBUG)
    contents = path.read_bytes() if path.is_file() else b"".join(file.read_bytes() for file in path.iterdir())
    assert zipfile.is_zipfile(path) or path.suffix == ".gz" or find_identifiers(contents)
    image = open_image(path)
    model = RecordingChatModel(
        messages=iter([AIMessage(reply) for reply in (positive(0.5, 0.5), STOP)]), messages_seen=[]
    )
    graph = build_graph(ChatPolicy(model), "disk")
    events = list(graph.stream({"image": image, "request": "Segment it."}, stream_mode=["custom", "values"]))
    state = events[-1][1]
    (tmp_path / "run").mkdir()
    saves = (tmp_path / "run" / "mask.nii.gz",) if hasattr(image.grid, "affine") else ()
    write_run(tmp_path / "run", graph, state, image, saves=saves)
    record = build_trajectory(graph, state).to_json()
    assert find_identifiers(record["image"].pop("uri")), "the file's own path is what the record is for"
    for told in (record, model.messages_seen, repr(image), image.notes, caplog.text, *capfd.readouterr()):
        assert find_identifiers(told) == []
    assert [find_identifiers(json.dumps(event)) for mode, event in events if mode == "custom"] == [[]] * sum(
        mode == "custom" for mode, _ in events
    )
    for written in (tmp_path / "run").iterdir():
        content = nib.load(written).header.binaryblock if written.name.endswith(".gz") else written.read_bytes()
        if written.name == "trajectory.json":
            content = json.dumps(json.loads(content) | {"image": None})
        assert find_identifiers(content) == [], written.name
        if written.suffix == ".png":
            assert Image.open(io.BytesIO(content)).info == {}


@pytest.mark.parametrize("wanted", ["Zyxwvia", "axial:77", "9/middle"])
def test_refusals_tell_nothing_of_the_header(tmp_path, wanted):
    paths = [planted_frames(tmp_path), planted_series(tmp_path)]
    for path in paths:
        with pytest.raises(ValueError, match=r"got slice|got 1 series") as caught:
            open_image(path, slice=wanted)
        told = str(caught.value).replace(path.name, "").replace(wanted, "")
        assert find_identifiers(told) == []
