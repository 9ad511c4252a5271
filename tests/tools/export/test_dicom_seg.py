"""DICOM segmentations: the same mask in the same place, true references, codes; and the verdict of `dciodvfy`."""

import shutil
import subprocess
import warnings
import zipfile

import highdicom as hd
import numpy as np
import pydicom
import pytest
import SimpleITK
from pydicom.data import get_charset_files, get_testdata_file
from pydicom.sr.codedict import codes
from pydicom.uid import UltrasoundMultiFrameImageStorage
from support.fakes import STOP, FixedProposer, positive, script
from support.geometry_fixtures import (
    ORIENTATIONS,
    PATIENT,
    PICTURE,
    compute_place,
    write_enhanced,
    write_series,
    write_volume,
)
from support.image_fixtures import write_dicom

from ibisagent.agent import Click, build_graph
from ibisagent.agent.episode import run_episode
from ibisagent.tools.errors import InputError
from ibisagent.tools.export import Provenance, require_savable, save_mask
from ibisagent.tools.export.snomed import CATEGORIES, find_code, read_entries
from ibisagent.tools.imaging.open_image import open_image
from ibisagent.ui.cli.run_commands import RunOptions, run_segment
from ibisagent.ui.run_folder import mask_provenance, write_run

LIVER = Provenance(target="liver")
FINDS = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness")


def some(image):
    mask = np.zeros(image.shape, bool)
    mask[0, 1] = mask[1, 0] = mask[-1, 2] = True
    return mask


def segment(path, image, mask=None, about=LIVER):
    """Save a mask and open it again with highdicom."""
    save_mask(path, some(image) if mask is None else mask, image, about)
    return hd.seg.segread(path)


def references(saved):
    """Each frame's source: instance and frame number."""
    items = [group.DerivationImageSequence[0].SourceImageSequence for group in saved.PerFrameFunctionalGroupsSequence]
    assert all(len(item) == 1 for item in items)
    return [(item[0].ReferencedSOPInstanceUID, item[0].get("ReferencedFrameNumber")) for item in items]


# Where it lies, and what it refers to


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_slice_of_a_series_refers_to_its_own_instance_and_lies_there(tmp_path, orientation):
    uids = write_series(tmp_path / "scan", orientation)
    image = open_image(tmp_path / "scan", slice="2")
    saved = segment(tmp_path / "m.dcm", image)
    assert np.array_equal(saved.get_pixels_by_source_instance([uids[2]])[0, ..., 0] == 1, some(image))
    assert np.array_equal(pydicom.dcmread(tmp_path / "m.dcm").pixel_array == 1, some(image))
    assert references(saved) == [(uids[2], None)]
    source = pydicom.dcmread(next(iter((tmp_path / "scan").glob("*2.dcm"))))
    assert source.SOPInstanceUID == uids[2]
    shared, (frame,) = saved.SharedFunctionalGroupsSequence[0], saved.PerFrameFunctionalGroupsSequence
    found = [frame.PlanePositionSequence[0], shared.PlaneOrientationSequence[0]]
    found += [shared.PixelMeasuresSequence[0]] * 2
    assert [list(np.ravel(item[key].value)) for item, key in zip(found, FINDS, strict=True)] == [
        list(np.ravel(source[key].value)) for key in FINDS
    ]
    assert saved.FrameOfReferenceUID == source.FrameOfReferenceUID
    (referred,) = saved.ReferencedSeriesSequence
    assert referred.SeriesInstanceUID == source.SeriesInstanceUID
    assert [
        (item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID) for item in referred.ReferencedInstanceSequence
    ] == [(source.SOPClassUID, uids[2])]


@pytest.mark.parametrize("lengths", [(0.5, 2), (10, 10), (1.001, 1)])
def test_directions_of_another_length_than_one_are_written_with_length_one(tmp_path, lengths):
    write_series(tmp_path / "scan", "oblique")
    for path in (tmp_path / "scan").iterdir():
        dataset = pydicom.dcmread(path)
        turn = np.reshape(ORIENTATIONS["oblique"], (2, 3)) * np.reshape(lengths, (2, 1))
        dataset.ImageOrientationPatient = turn.ravel().tolist()
        dataset.save_as(path)
    image = open_image(tmp_path / "scan", slice="2")
    saved = segment(tmp_path / "m.dcm", image)
    shared, (frame,) = saved.SharedFunctionalGroupsSequence[0], saved.PerFrameFunctionalGroupsSequence
    turn = np.reshape(shared.PlaneOrientationSequence[0].ImageOrientationPatient, (2, 3)).astype(float)
    start = np.array(frame.PlanePositionSequence[0].ImagePositionPatient, float)
    rows, columns = shared.PixelMeasuresSequence[0].PixelSpacing
    read = SimpleITK.ReadImage(str(next((tmp_path / "scan").glob("*2.dcm"))))
    for row, column in ((0, 0), (5, 4), (0, 3)):  # where a reader that multiplies puts it, and where ITK does
        here = start + turn[0] * columns * column + turn[1] * rows * row
        assert np.allclose(here, compute_place("oblique", 2, row, column), atol=1e-6)
        assert np.allclose(here, read.TransformIndexToPhysicalPoint((column, row, 0)), atol=1e-6)


@pytest.mark.parametrize("source", ["folder", "zip"])
def test_a_plane_across_a_series_refers_to_every_instance_it_cuts(tmp_path, source):
    uids = write_series(tmp_path / "scan", "axial")
    path = tmp_path / "scan"
    if source == "zip":
        path = tmp_path / "scan.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for file in sorted((tmp_path / "scan").iterdir()):
                archive.write(file, file.name)
    image = open_image(path, slice="coronal:2")
    mask = np.zeros(image.shape, bool)
    mask[0, 1] = mask[2, 3] = mask[2, 4] = True
    saved = segment(tmp_path / "m.dcm", image, mask)
    # Head up, the patient's right on the left: the top row is the last instance; the third from the back is row 3.
    assert [np.argwhere(frame).tolist() for frame in saved.pixel_array] == [[[3, 1]], [[3, 3], [3, 4]]]
    assert references(saved) == [(uids[3], None), (uids[1], None)]
    places = [
        list(frame.PlanePositionSequence[0].ImagePositionPatient) for frame in saved.PerFrameFunctionalGroupsSequence
    ]
    assert places == [compute_place("axial", index, 0, 0).tolist() for index in (3, 1)]
    referred = saved.ReferencedSeriesSequence[0].ReferencedInstanceSequence
    assert [item.ReferencedSOPInstanceUID for item in referred] == [uids[1], uids[3]]


@pytest.mark.parametrize("wanted", ["0", "3", "sagittal:2"])
def test_frames_of_an_enhanced_image_are_referred_to_by_number(tmp_path, wanted):
    uid = write_enhanced(tmp_path / "a.dcm", "axial")
    image = open_image(tmp_path / "a.dcm", slice=wanted)
    saved = segment(tmp_path / "m.dcm", image, np.ones(image.shape, bool))
    numbers = [int(wanted) + 1] if wanted.isdecimal() else [1, 2, 3, 4]
    assert references(saved) == [(uid, number) for number in numbers]
    places = [
        list(frame.PlanePositionSequence[0].ImagePositionPatient) for frame in saved.PerFrameFunctionalGroupsSequence
    ]
    assert places == [compute_place("axial", 4 - number, 0, 0).tolist() for number in numbers]
    (item,) = saved.SourceImageSequence
    assert (item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID) == (pydicom.uid.EnhancedCTImageStorage, uid)
    assert "PixelMeasuresSequence" in saved.SharedFunctionalGroupsSequence[0]


def test_a_frame_of_a_film_without_a_place_is_referred_to_by_number(tmp_path):
    film = np.arange(90, dtype=np.uint8).reshape(3, 5, 6)
    ids = {"StudyInstanceUID": "1.2.3", "SeriesInstanceUID": "1.2.4", "Modality": "US", "NumberOfFrames": 3}
    path = write_dicom(tmp_path / "a.dcm", film, SOPClassUID=UltrasoundMultiFrameImageStorage, **ids)
    saved = segment(tmp_path / "m.dcm", open_image(path, slice="1"))
    assert references(saved) == [(pydicom.dcmread(path).SOPInstanceUID, 2)]
    assert "FrameOfReferenceUID" not in saved
    assert saved.SegmentSequence[0].SegmentLabel == "liver"


def test_an_empty_mask_is_one_empty_frame_of_what_was_shown(tmp_path):
    uids = write_series(tmp_path / "scan")
    image = open_image(tmp_path / "scan", slice="1")
    saved = segment(tmp_path / "m.dcm", image, np.zeros(image.shape, bool))
    assert saved.NumberOfFrames == 1
    assert not saved.pixel_array.any()
    assert references(saved) == [(uids[1], None)]


@pytest.mark.parametrize("spacing", [None, 2.5])
def test_a_distance_between_slices_is_the_source_s_or_none(tmp_path, spacing):
    source = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
    del source.SpacingBetweenSlices
    if spacing is not None:
        source.SpacingBetweenSlices = spacing
    source.save_as(tmp_path / "scan.dcm")
    saved = segment(tmp_path / "m.dcm", open_image(tmp_path / "scan.dcm"))
    measures = saved.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert measures.get("SpacingBetweenSlices") == spacing


# Whose it is, and what it says


def test_patient_and_study_are_the_source_s_and_every_save_is_an_object_of_its_own(tmp_path):
    write_series(tmp_path / "scan")
    source = pydicom.dcmread(next(iter((tmp_path / "scan").iterdir())))
    image = open_image(tmp_path / "scan")
    saved, again = (segment(tmp_path / name, image) for name in ("m.dcm", "n.dcm"))
    kept = [*PATIENT, "StudyInstanceUID", "FrameOfReferenceUID"]
    assert {key: saved[key].value for key in kept} == {key: source[key].value for key in kept}
    assert (saved.Modality, saved.SeriesNumber, saved.Manufacturer) == ("SEG", 103, "ibisagent")
    uids = [(one.SOPInstanceUID, one.SeriesInstanceUID, one.SegmentSequence[0].TrackingUID) for one in (saved, again)]
    assert len({uid for three in uids for uid in three} | {source.SOPInstanceUID, source.SeriesInstanceUID}) == 8


def test_names_in_other_scripts_survive(tmp_path):
    for name in ("chrH31.dcm", "chrGerm.dcm", "chrArab.dcm"):
        (path,) = get_charset_files(name)
        elements = pydicom.dcmread(path, stop_before_pixels=True)
        picture = np.arange(30, dtype=np.uint8).reshape(5, 6)
        whose = {"PatientName": elements.PatientName, "SpecificCharacterSet": elements.SpecificCharacterSet}
        source = write_dicom(tmp_path / name, picture, StudyInstanceUID="1.2.3", SeriesInstanceUID="1.2.4", **whose)
        saved = segment(tmp_path / f"m{name}", open_image(source))
        assert str(saved.PatientName) == str(pydicom.dcmread(source).PatientName) == str(elements.PatientName)
        assert saved.SpecificCharacterSet == "ISO_IR 192"


def test_invalid_dates_and_sexes_are_left_empty(tmp_path):
    odd = {"PatientBirthDate": "1970.01.02", "StudyDate": "20209999", "PatientSex": "W", "StudyTime": "late"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom says that these are invalid
        write_series(tmp_path / "scan", count=1, **odd)
        saved = segment(tmp_path / "m.dcm", open_image(tmp_path / "scan"))
        assert {key: saved[key].value or "" for key in odd} == {
            "PatientBirthDate": "19700102",
            "StudyDate": "",
            "PatientSex": "",
            "StudyTime": "",
        }


@pytest.mark.parametrize(("clicked", "kind"), [(False, "AUTOMATIC"), (True, "SEMIAUTOMATIC")])
def test_the_algorithm_is_named_and_says_whether_a_person_clicked(tmp_path, clicked, kind):
    write_series(tmp_path / "scan", count=1)
    about = Provenance("Segment the lesion in the left kidney.", clicked, "nano with geocut-3 " + "x" * 80, "1.2.3")
    (segment_of,) = segment(tmp_path / "m.dcm", open_image(tmp_path / "scan"), about=about).SegmentSequence
    (algorithm,) = segment_of.SegmentationAlgorithmIdentificationSequence
    assert segment_of.SegmentAlgorithmType == kind
    assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == (about.algorithm[:64], "1.2.3")
    assert segment_of.SegmentAlgorithmName == about.algorithm[:64]
    assert segment_of.SegmentLabel == "left kidney lesion"
    assert segment_of.SegmentedPropertyCategoryCodeSequence[0] == codes.SCT.MorphologicallyAbnormalStructure
    assert segment_of.SegmentedPropertyTypeCodeSequence[0] == codes.SCT.Lesion
    (region,) = segment_of.AnatomicRegionSequence
    assert region == codes.SCT.Kidney
    assert hd.sr.CodedConcept.from_dataset(region.AnatomicRegionModifierSequence[0]) == codes.SCT.Left
    assert segment_of.TrackingID.startswith("left kidney lesion ")
    assert segment_of.TrackingUID


def test_a_side_of_anatomy_modifies_its_type(tmp_path):
    write_series(tmp_path / "scan", count=1)
    saved = segment(tmp_path / "m.dcm", open_image(tmp_path / "scan"), about=Provenance("right lung"))
    (kind,) = saved.SegmentSequence[0].SegmentedPropertyTypeCodeSequence
    assert kind == codes.SCT.Lung
    assert hd.sr.CodedConcept.from_dataset(kind.SegmentedPropertyTypeModifierCodeSequence[0]) == codes.SCT.Right


@pytest.mark.parametrize("words", ["", "Segment the thingamajig.", "\n\\\0"])
def test_a_target_without_a_code_is_any_tissue_and_said_so(tmp_path, words):
    write_series(tmp_path / "scan", count=1)
    image = open_image(tmp_path / "scan")
    with pytest.warns(UserWarning, match="has no code here"):
        save_mask(tmp_path / "m.dcm", some(image), image, Provenance(words))
    (found,) = hd.seg.segread(tmp_path / "m.dcm").SegmentSequence
    assert found.SegmentedPropertyTypeCodeSequence[0] == codes.SCT.Tissue
    assert found.SegmentedPropertyCategoryCodeSequence[0] == codes.SCT.Tissue


@pytest.mark.parametrize(("given", "kind"), [([], "AUTOMATIC"), ([Click(0.6, 0.4)], "SEMIAUTOMATIC")])
def test_a_run_s_segmentation_says_what_was_asked_and_who_clicked(tmp_path, given, kind):
    write_series(tmp_path / "scan")
    image = open_image(tmp_path / "scan", slice="2")
    graph = build_graph(script(positive(0.5, 0.5), STOP), "disk")
    state = graph.invoke({"image": image, "request": "Segment the liver lesion.", "prompts": given})
    (tmp_path / "run").mkdir()
    write_run(tmp_path / "run", graph, state, image, saves=(tmp_path / "m.dcm",))
    (found,) = hd.seg.segread(tmp_path / "m.dcm").SegmentSequence
    assert (found.SegmentLabel, found.SegmentAlgorithmType) == ("liver lesion", kind)
    assert (
        found.SegmentAlgorithmName
        == f"{graph.components.policy.name} with {graph.components.memo.fingerprint.split()[0]}"
    )


@pytest.mark.filterwarnings("default")
def test_the_command_line_tells_the_measures_and_a_target_without_a_code(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_series(tmp_path / "scan", count=1)
    (path,) = (tmp_path / "scan").iterdir()
    case = RunOptions(path, "Segment the thingamajig.", "disk", None, None, 3, tmp_path / "run", (tmp_path / "m.dcm",))
    run_segment(case, "none", [("click", "+0.5,0.5")], None, None, False, None)
    told = " ".join(capsys.readouterr().out.split())
    assert "area " in told
    assert " mm², " in told
    assert "the target has no code here" in told


def test_a_person_s_own_mask_is_not_called_the_policy_s():
    pixels = np.zeros((40, 40), np.uint8)
    for prompts, algorithm in (([Click(0.5, 0.5)], "person with disk-1"), ([], "centre with disk-1")):
        graph = build_graph("none" if prompts else "centre", "disk")
        record = run_episode(graph, {"image": pixels, "request": "Segment it.", "prompts": prompts})
        assert mask_provenance(record).algorithm == algorithm
    proposer = FixedProposer(pixels < 1)
    proposer.mask[0] = False
    record = run_episode(build_graph("none", "disk", proposer=proposer), {"image": pixels, "request": "Segment it."})
    assert mask_provenance(record).algorithm == "fixed with disk-1"


# The table


UNLISTED = {  # codes of SNOMED CT's morphologic abnormalities that no context group of pydicom's dictionary holds
    "polyp": "41329004",
    "infarct": "55641003",
    "fracture": "72704001",
    "calculus": "56381008",
}


def test_every_code_is_dicom_s_with_its_meaning():
    from pydicom.sr._concepts_dict import concepts

    known = {(value, meaning) for several in concepts["SCT"].values() for value, (meaning, _) in several.items()}
    assert set(CATEGORIES.values()) <= known
    unlisted = {entry.names[0]: entry.concept.value for entry in read_entries() if tuple(entry.concept) not in known}
    assert unlisted == UNLISTED
    assert {entry.category for entry in read_entries()} == set(CATEGORIES)
    names = [name for entry in read_entries() for name in entry.names]
    assert len(names) == len(set(names))
    assert all(name == name.casefold() for name in names)
    assert len(read_entries()) >= 80


@pytest.mark.parametrize(
    ("words", "label", "type_", "region", "side"),
    [
        ("liver", "liver", "Liver", None, None),
        ("Segment the LIVERS, please!", "liver", "Liver", None, None),
        ("polyps", "polyp", "Polyp", None, None),
        ("biopsies of the kidney", "kidney", "Kidney", None, None),
        ("Where is the tumour of the left breast?", "left breast neoplasm", "Neoplasm", "Breast", "Left"),
        ("colorectal cancer", "colon neoplasm", "Neoplasm", "Colon", None),
        ("left ventricle", "left ventricle", "Left ventricle", None, None),
        ("left atrium of the heart", "left atrium", "Left atrium", None, None),
        ("left and right lung", "lung", "Lung", None, None),
        ("right lower lobe of the lung", "right lower lobe of lung", "Lower lobe of lung", None, "Right"),
        ("optic_disc", "optic disc", "Optic nerve head", None, None),
        ("retinal vessels", "blood vessel", "Blood Vessel", None, None),
        ("vertebrae", "vertebra", "Vertebra", None, None),
        ("lung nodule (right)", "right lung nodule", "Nodule", "Lung", "Right"),
        ("surgical instrument", "instrument", "Instrument, device (physical object)", None, None),
        ("melanoma", "melanoma", "Malignant melanoma", None, None),
    ],
)
def test_words_find_their_codes(words, label, type_, region, side):
    found = find_code(words)
    assert (found.label, found.type.meaning, found.is_known) == (label, type_, True)
    assert [part.meaning if part else None for part in (found.region, found.side)] == [region, side]


def test_words_within_words_are_not_found():
    for words in ("delivery", "liverpool", "gasoline", "earring"):
        assert find_code(words).is_known is False


# What cannot be


def test_only_a_dicom_image_with_an_identity_can_be_referred_to(tmp_path):
    with pytest.raises(InputError, match="no DICOM"):
        require_savable(tmp_path / "m.dcm", open_image(write_volume(tmp_path / "a.nii")))
    with pytest.raises(InputError, match="no DICOM"):
        require_savable(tmp_path / "m.dcm", PICTURE)
    nameless = write_dicom(tmp_path / "a.dcm", np.arange(30, dtype=np.uint8).reshape(5, 6))
    with pytest.raises(InputError, match="without StudyInstanceUID"):
        require_savable(tmp_path / "m.dcm", open_image(nameless))
    assert not (tmp_path / "m.dcm").exists()


def test_a_source_that_is_gone_is_one_line(tmp_path):
    write_series(tmp_path / "scan", count=1)
    image = open_image(tmp_path / "scan")
    shutil.rmtree(tmp_path / "scan")
    with pytest.raises(InputError) as caught:
        save_mask(tmp_path / "m.dcm", some(image), image, LIVER)
    assert str(caught.value).isprintable()
    assert list(tmp_path.iterdir()) == []


# The verdict of dciodvfy

ALLOWED = {
    # highdicom reads no pixel measures without this element, and the source does not know its value.
    "SliceThickness(0018,0050)> - Empty attribute (no value) for Type 1C": "rtdose",
    # The source says that it was de-identified and does not say how; both elements are copied as they are.
    "DeidentificationMethod(0012,0063)> - Missing attribute for Type 1C": "693_J2KI",
    "DeidentificationMethodCodeSequence(0012,0064)> - Missing attribute for Type 1C": "693_J2KI",
    # The source has several frames against its class, or (a dose) the tool takes its class for one of a single frame.
    "ReferencedFrameNumber(0008,1160)> - Shall not be present": "rtdose SC_rgb_rle_2frame",
}


def complaints(path):
    """What `dciodvfy` (Debian's dicom3tools) calls an error."""
    ran = subprocess.run(["dciodvfy", "-new", path], capture_output=True, text=True, timeout=60)
    assert "Segmentation" in ran.stderr
    return [line for line in ran.stderr.splitlines() if line.startswith("Error")]


@pytest.mark.slow
def test_dciodvfy_finds_no_error_in_segmentations_of_a_series(tmp_path):
    write_series(tmp_path / "scan", "oblique")
    write_enhanced(tmp_path / "a.dcm", "sagittal")
    wanted = [("scan", "1"), ("scan", "coronal:middle"), ("a.dcm", "2"), ("a.dcm", "axial:middle")]
    targets = ["left kidney", "liver lesion", "right lung nodule", "catheter"]
    for (source, where), target in zip(wanted, targets, strict=True):
        image = open_image(tmp_path / source, slice=where)
        for name, mask in (("m.dcm", some(image)), ("n.dcm", np.zeros(image.shape, bool))):
            save_mask(tmp_path / name, mask, image, Provenance(target, interactive=True))
            assert complaints(tmp_path / name) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "where"),
    [
        ("CT_small.dcm", None),
        ("MR_small.dcm", None),
        ("examples_overlay.dcm", None),
        ("examples_palette.dcm", None),
        ("693_J2KI.dcm", None),
        ("SC_rgb_rle_2frame.dcm", "1"),
        ("rtdose.dcm", "3"),
        ("ExplVR_BigEnd.dcm", None),
        ("examples_ybr_color.dcm", "5"),
    ],
)
def test_dciodvfy_finds_only_the_sources_own_faults(tmp_path, name, where):
    path = get_testdata_file(name)
    image = open_image(path, slice=where)
    save_mask(tmp_path / "m.dcm", some(image), image, LIVER)
    left = [line for line in complaints(tmp_path / "m.dcm") if not _allowed(line, name)]
    assert left == []


def _allowed(line, name):
    return any(text in line and name.split(".")[0] in sources.split() for text, sources in ALLOWED.items())
