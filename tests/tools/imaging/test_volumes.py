"""NRRD and MetaImage volumes, 4-D ones, and masks kept in another order than the image."""

import bz2
import gzip
import itertools
import zlib

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from support.dicom_series_fixtures import ORIENTATIONS, VOLUME, compute_normal, find_place
from support.image_fixtures import AFFINE, RAS, write_nifti

from ibisagent.tools.errors import InputError
from ibisagent.tools.imaging.grids import Spacing
from ibisagent.tools.imaging.open_image import open_image
from ibisagent.tools.imaging.volume_files import open_volume, read_mask
from ibisagent.tools.masks.rle import encode

ORDERS = [
    "".join(code[0] if sign else code[1] for code, sign in zip(order, signs, strict=True))
    for order in itertools.permutations(("RL", "AP", "SI"))
    for signs in itertools.product((True, False), repeat=3)
]


@pytest.mark.parametrize("codes", ORDERS)
def test_voxel_comes_back_in_all_48_orders_with_the_affine_bit_for_bit(tmp_path, codes):
    path = write_nifti(tmp_path / "a.nii", codes)
    source = nib.load(path)
    for plane, expected in (
        ("axial:1", RAS[::-1, ::-1, 1].T),
        ("coronal:4", RAS[::-1, 4, ::-1].T),
        ("sagittal:3", RAS[3, ::-1, ::-1].T),
    ):
        image = open_image(path, slice=plane)
        assert np.array_equal(image.values, expected)
        assert image.grid.affine.tobytes() == source.affine.tobytes()
        assert image.axes == {"axial:1": ("P", "L"), "coronal:4": ("F", "L"), "sagittal:3": ("F", "P")}[plane]
        mask = expected == expected.flat[8]
        assert np.asarray(source.dataobj)[image.grid.to_source(mask)].tolist() == [expected.flat[8]]
    ends = [open_image(path, slice="axial:0").side_of(x, 0.5) for x in (0.1, 0.9)]
    assert ends == ["right", "left"]


# NRRD and MetaImage, against SimpleITK


def itk_image(turn, array=VOLUME):
    """Make an image of (k, j, i) voxels whose axes i and j run along ``turn``."""
    image = sitk.GetImageFromArray(array)
    directions = np.array([turn[:3], turn[3:], compute_normal(turn)], float).T
    image.SetDirection(directions.ravel().tolist())
    image.SetSpacing((1.5, 2.5, 4.0))
    image.SetOrigin((-7.25, 11.5, 3.125))
    return image


@pytest.mark.parametrize("turn", ORIENTATIONS)
@pytest.mark.parametrize("ending", ["nrrd", "nhdr", "mha", "mhd"])
@pytest.mark.parametrize("packed", [True, False])
def test_volume_lies_where_simpleitk_puts_it(tmp_path, turn, ending, packed):
    source = itk_image(ORIENTATIONS[turn])
    path = tmp_path / f"a.{ending}"
    sitk.WriteImage(source, path, useCompression=packed)
    for plane in ("axial", "coronal", "sagittal"):
        image = open_image(path, slice=f"{plane}:1")
        for pixel in ((0, 0), (1, 2), (-1, -1), (-1, 0)):
            place, index = find_place(image, *pixel)
            assert source.TransformIndexToPhysicalPoint(index) == pytest.approx(place, abs=1e-5)
            assert source[index] == image.values[pixel]
        corner, beside, below = (find_place(image, *pixel)[0] for pixel in ((0, 0), (0, 1), (1, 0)))
        assert image.spacing == pytest.approx([np.linalg.norm(below - corner), np.linalg.norm(beside - corner)])
        assert beside[1 if plane == "sagittal" else 0] > corner[1 if plane == "sagittal" else 0]
        assert image.grid.space == "LPS"


def nrrd(path, array=VOLUME, pack=bytes, data=True, **fields):
    """Write (k, j, i) voxels; a field of None is left out."""
    given = {
        "type": "int16",
        "dimension": 3,
        "space": "left-posterior-superior",
        "sizes": " ".join(str(length) for length in reversed(array.shape)),
        "space directions": "(2,0,0) (0,3,0) (0,0,4)",
        "space origin": "(1,2,3)",
        "encoding": "raw",
        "endian": "little",
    } | {key.replace("_", " "): value for key, value in fields.items()}
    lines = [f"{key}: {value}" for key, value in given.items() if value is not None]
    header = "\n".join(["NRRD0005", "# made by a test", *lines, "key:=value", "", ""]).encode()
    path.write_bytes(header + (pack(array.tobytes()) if data else b""))
    return path


PLAIN = VOLUME[1, ::1].astype(np.float32)


@pytest.mark.parametrize(
    ("array", "fields"),
    [
        (VOLUME, {}),
        (VOLUME, {"encoding": "gzip", "pack": gzip.compress}),
        (VOLUME, {"encoding": "gz", "pack": zlib.compress}),
        (VOLUME, {"encoding": "bzip2", "pack": bz2.compress}),
        (VOLUME, {"encoding": "ascii", "pack": lambda _: " ".join(str(v) for v in VOLUME.ravel()).encode()}),
        (VOLUME.astype(">i2"), {"endian": "big", "type": "short"}),
        (VOLUME.astype("<f8"), {"type": "double"}),
        (VOLUME.astype("<u4"), {"type": "unsigned int"}),
        (VOLUME, {"pack": lambda content: b"\0" * 11 + content, "byte_skip": 11}),
        (VOLUME, {"pack": lambda content: b"\0" * 11 + content, "byte_skip": -1}),
        (VOLUME[..., None], {"dimension": 4, "space_directions": "none (2,0,0) (0,3,0) (0,0,4)"}),
    ],
)
def test_nrrd_of_every_encoding(tmp_path, array, fields):
    image = open_image(nrrd(tmp_path / "a.nrrd", array, **fields), slice="axial:3")
    assert np.array_equal(image.values, array.reshape(VOLUME.shape)[3].astype(np.float32))
    assert (image.spacing, image.axes, image.slice) == (Spacing(3, 2), ("P", "L"), "axial:3")


@pytest.mark.parametrize(
    ("fields", "axes", "place", "spacing"),
    [
        ({"space": "RAS"}, ("P", "L"), (-1, -2, 3), Spacing(3, 2)),
        ({"space": "right-anterior-superior"}, ("P", "L"), (-1, -2, 3), Spacing(3, 2)),
        ({"space": "left-anterior-superior"}, ("P", "L"), (1, -2, 3), Spacing(3, 2)),
        ({"space": "LPS", "space_units": '"cm" "cm" "cm"'}, ("P", "L"), (10, 20, 30), Spacing(30, 20)),
        ({"space": "scanner-xyz"}, None, (1, 2, 3), Spacing(3, 2)),
        ({"space": None, "space_dimension": 3}, None, (1, 2, 3), Spacing(3, 2)),
        ({"space": None, "space_directions": None, "spacings": "0.5 0.25 7"}, None, (1, 2, 3), Spacing(0.25, 0.5)),
        ({"space": None, "space_directions": None, "space_origin": None}, None, (0, 0, 0), None),
    ],
)
def test_space_of_an_nrrd_counts_and_without_one_no_side_is_told(tmp_path, fields, axes, place, spacing):
    image = open_image(nrrd(tmp_path / "a.nrrd", **fields), slice="0")
    assert (image.axes, image.spacing) == (axes, spacing)
    flat = image.grid.affine[:3, 3] * [-1, -1, 1]
    assert flat.tolist() == list(place)
    if axes is None:
        assert np.array_equal(image.values, VOLUME[0])  # as it is stored
        assert image.side_of(0.1, 0.5) is None


def test_fourth_axis_is_chosen_by_at(tmp_path):
    series = np.stack([VOLUME, VOLUME + 1, VOLUME + 2])
    paths = [
        nrrd(tmp_path / "last.nrrd", series, dimension=4, space_directions="(2,0,0) (0,3,0) (0,0,4) none"),
        nrrd(
            tmp_path / "first.nrrd", np.ascontiguousarray(np.moveaxis(series, 0, -1)), dimension=4,
            space_directions="none (2,0,0) (0,3,0) (0,0,4)", kinds="list domain domain domain",
        ),
        tmp_path / "a.nii.gz",
        tmp_path / "a.mha",
    ]  # fmt: skip
    lps = np.diag([-2.0, -3, 4, 1])
    nib.save(nib.Nifti1Image(series.transpose(3, 2, 1, 0), lps), paths[2])
    sitk.WriteImage(sitk.GetImageFromArray(series, isVector=False), paths[3])
    for path in paths:
        first = open_image(path)
        assert first.notes[1:] == ("the first of 3 volumes; name another by slice=axial:2@0",)
        image = open_image(path, slice="axial:3@2")
        assert np.array_equal(image.values, VOLUME[3] + 2)
        assert (image.slice, image.notes, image.grid.volume, image.grid.shape) == ("axial:3@2", (), 2, (7, 6, 5))
        assert open_image(path, slice="middle@middle").slice == "axial:2@1"
        with pytest.raises(InputError, match=r"PLANE:middle with @0\.\.2"):
            open_image(path, slice="axial:3@3")
    with pytest.raises(InputError, match="PLANE:middle; change"):
        open_image(write_nifti(tmp_path / "b.nii"), slice="axial:1@0")


def test_flat_pictures_have_no_side(tmp_path):
    sitk.WriteImage(sitk.GetImageFromArray(VOLUME[2]), tmp_path / "a.mha")
    nrrd(tmp_path / "a.nrrd", VOLUME[2], dimension=2, space=None, space_directions=None, space_origin=None)
    for name in ("a.mha", "a.nrrd"):
        image = open_image(tmp_path / name)
        assert np.array_equal(image.values, VOLUME[2])
        assert (image.axes, image.side_of(0.1, 0.5), image.slice) == (None, None, "axial:0")


def test_nifti_without_codes_tells_no_side(tmp_path):
    image = nib.Nifti1Image(RAS, AFFINE)
    image.set_sform(None, 0)
    image.set_qform(None, 0)
    nib.save(image, tmp_path / "a.nii")
    assert open_image(tmp_path / "a.nii").axes is None


def test_opening_a_slice_keeps_no_large_volume(tmp_path):
    image = open_image(write_nifti(tmp_path / "a.nii.gz"), slice="axial:1")
    assert image.values.base is None or image.values.base.size == image.values.size
    changed = RAS + 1
    nib.save(nib.Nifti1Image(changed, AFFINE), tmp_path / "a.nii.gz")
    assert np.array_equal(open_image(tmp_path / "a.nii.gz", slice="axial:1").values, image.values + 1)


# Masks


@pytest.mark.parametrize("codes", ORDERS[::5])
@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd", ".mha"])
def test_mask_in_another_order_is_read_on_the_image_s_grid(tmp_path, codes, ending):
    marked = (RAS % 7 == 0).astype(np.int16) * 3
    write_nifti(tmp_path / "m.nii", codes, volume=marked)
    itk = sitk.ReadImage(tmp_path / "m.nii")
    sitk.WriteImage(itk, tmp_path / f"m{ending}")
    path = write_nifti(tmp_path / "a.nii", "PIR")
    for plane in ("axial:1", "coronal:4", "sagittal:3"):
        image = open_image(path, slice=plane)
        expected = np.isin(image.values, RAS[marked > 0])
        for values in (None, 3):
            assert np.array_equal(read_mask(tmp_path / f"m{ending}", image.grid, values), expected)
        assert not read_mask(tmp_path / f"m{ending}", image.grid, 4).any()


def test_masks_of_a_4d_image_have_three_axes_or_four(tmp_path):
    series = np.stack([RAS, RAS + 1], axis=-1)
    nib.save(nib.Nifti1Image(series, AFFINE), tmp_path / "a.nii")
    nib.save(nib.Nifti1Image((series > 250).astype(np.uint8), AFFINE), tmp_path / "four.nii")
    write_nifti(tmp_path / "three.nii", volume=(RAS > 250).astype(np.uint8))
    image = open_image(tmp_path / "a.nii", slice="axial:1@1")
    assert encode(read_mask(tmp_path / "four.nii", image.grid)) == encode(image.values > 250)
    assert encode(read_mask(tmp_path / "three.nii", image.grid)) == encode(image.values - 1 > 250)


# Files that are broken or lie


def half(path):
    path.write_bytes(path.read_bytes()[: -path.stat().st_size // 3])
    return path


def mha(path, data="LOCAL", **fields):
    given = {"ObjectType": "Image", "NDims": 3, "DimSize": "7 6 5", "ElementType": "MET_SHORT"} | fields
    lines = [f"{key} = {value}" for key, value in given.items()]
    path.write_bytes("\n".join([*lines, f"ElementDataFile = {data}", ""]).encode() + VOLUME.tobytes())
    return path


HOSTILE = {
    "empty.nrrd": lambda path: path.write_bytes(b""),
    "text.nrrd": lambda path: path.write_text("Dear Jane,\n" * 200),
    "text.mha": lambda path: path.write_text("Dear = Jane\n" * 200),
    "long.nrrd": lambda path: path.write_bytes(b"NRRD0004\n" + b"x" * 2**22),
    "half.nrrd": lambda path: half(nrrd(path)),
    "half_gzip.nrrd": lambda path: half(nrrd(path, encoding="gzip", pack=gzip.compress)),
    "half_bzip2.nrrd": lambda path: half(nrrd(path, encoding="bzip2", pack=bz2.compress)),
    "half.mha": lambda path: half(mha(path)),
    "text_data.nrrd": lambda path: nrrd(path, encoding="text", pack=lambda _: b"Jane " * 1000),
    "head.nrrd": lambda path: path.write_bytes(b"NRRD0004\ntype: short\n"),
    "claims.nrrd": lambda path: nrrd(path, sizes="3000 3000 3000"),
    "claims_gzip.nrrd": lambda path: nrrd(path, encoding="gzip", pack=gzip.compress, sizes="900 900 900"),
    "bomb.nrrd": lambda path: nrrd(path, encoding="gzip", pack=lambda _: gzip.compress(bytes(2**24)), sizes="7 6 5"),
    "claims.mha": lambda path: mha(path, DimSize="3000 3000 3000"),
    "negative.nrrd": lambda path: nrrd(path, sizes="-7 -6 5"),
    "zero.mha": lambda path: mha(path, DimSize="0 6 5"),
    "words.mha": lambda path: mha(path, DimSize="7 6 Jane"),
    "five.nrrd": lambda path: nrrd(path, VOLUME[None, None], dimension=5),
    "vectors.nrrd": lambda path: nrrd(path, VOLUME[:, :, :, None], dimension=4, kinds="vector space space space"),
    "channels.mha": lambda path: mha(path, ElementNumberOfChannels=3),
    "singular.nrrd": lambda path: nrrd(path, space_directions="(0,0,0) (0,3,0) (0,0,4)"),
    "flat.nrrd": lambda path: nrrd(path, space_directions="(1,0,0) (1,1e-17,0) (0,0,1)"),
    "nan.nrrd": lambda path: nrrd(path, space_directions="(nan,0,0) (0,3,0) (0,0,4)"),
    "few.nrrd": lambda path: nrrd(path, space_directions="(1,0,0) (0,3,0)"),
    "matrix.mha": lambda path: mha(path, TransformMatrix="1 0 0 0"),
    "type.nrrd": lambda path: nrrd(path, type="block"),
    "type.mha": lambda path: mha(path, ElementType="MET_STRING"),
    "encoding.nrrd": lambda path: nrrd(path, encoding="Jane"),
    "away.nhdr": lambda path: nrrd(path, data_file="../Jane/secret.raw", data=False),
    "list.nhdr": lambda path: nrrd(path, data_file="LIST", data=False),
    "missing.nhdr": lambda path: nrrd(path, data_file="other.raw", data=False),
    "list.mhd": lambda path: mha(path, "LIST"),
    "pattern.mhd": lambda path: mha(path, "%d.raw 1 5 1"),
    "root.mhd": lambda path: mha(path, "/dev/zero"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_volume_is_refused_in_one_line(tmp_path, name, capfd, caplog):
    HOSTILE[name](tmp_path / name)
    if name == "bomb.nrrd":
        assert open_image(tmp_path / name).values.shape == (6, 7)  # what the header says is all that is unpacked
        return
    with pytest.raises(InputError) as caught:
        open_image(tmp_path / name)
    told = str(caught.value)
    assert told.isprintable()
    assert name in told or "other.raw" in told
    assert "expected" in told
    assert "Jane," not in told
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


def test_detached_data_lie_beside_their_header(tmp_path):
    (tmp_path / "a.raw").write_bytes(b"one line\n" + b"\0" * 4 + VOLUME.tobytes())
    path = nrrd(tmp_path / "a.nhdr", data=False, data_file="a.raw", line_skip=1, byte_skip=4)
    assert np.array_equal(open_image(path, slice="0").values, VOLUME[0])
    assert open_volume(path).volumes == 1
