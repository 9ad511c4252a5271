"""Augmented folders, on real processes: the same files however they are made, rows that are true, resumable."""

import csv
import re
from collections import Counter

import numpy as np
import pytest
from conftest import ellipse
from PIL import Image
from support.command_line import call
from support.killed_jobs import kill_after_rows, write_slow_script

from ibisagent.tools.datasets import read_dataset
from ibisagent.tools.errors import InputError
from ibisagent.training.augmentation.folder import write_augmented
from ibisagent.training.augmentation.picture_variants import AugmentationSettings
from ibisagent.training.augmentation.regions import build_regions, read_regions_table
from ibisagent.training.requests.same_targets import canonical_target

SETTINGS = AugmentationSettings(variants=4, size=64, seed=2)
ROWS = (
    ("brain", "brain", "mri", "A", "train"),
    ("brain", "ventricles", "mri", "A", "train"),
    ("kidney", "left kidney", "ct", "B", "train"),
    ("kidney", "right kidney", "ct", "B", "train"),
    ("breast", "breast lesion", "ultrasound", "C", "train"),
    ("skin", "skin lesion", "dermoscopy", "D", "train"),
    ("nuclei", "cell nuclei", "fluorescence", "E", "train"),
    ("largest", "largest nucleus", "fluorescence", "E", "train"),
    ("disc", "optic disc", "fundus", "F", "train"),
    ("later", "breast lesion", "ultrasound", "C", "val"),
)


def write_data(folder):
    """Pictures of (80, 100), each target a bright ellipse in its own place at the left; one picture in colour."""
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    lines, pictures = ["id,image,mask,target,modality,source,split,present"], {}
    for number, (name, target, modality, source, split) in enumerate(ROWS):
        pixels = pictures.setdefault(name, np.full((80, 100), 20, np.uint8))
        mask = ellipse((80, 100), (30 + 3 * number, 28), (8, 7))
        pixels[mask] = 200
        file = f"masks/{name}-{number}.png"
        Image.fromarray(mask).save(folder / file)
        lines.append(f"{name}-{number},images/{name}.png,{file},{target},{modality},{source},{split},1")
    lines.append("breast-none,images/breast.png,,cyst,ultrasound,C,train,0")
    for name, pixels in pictures.items():
        Image.fromarray(pixels).convert("RGB" if name == "skin" else "L").save(folder / f"images/{name}.png")
    (folder / "manifest.csv").write_text("\n".join(lines))
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data") / "set")


@pytest.fixture(scope="module")
def unbroken(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("augmented") / "out"
    write_augmented(read_dataset(data, split="train"), out, SETTINGS, workers=0)
    return out


def files(out):
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def originals(case):
    return re.fullmatch(r"(.+)_v(\d+)(_absent-[^_]+)?", case.id).groups()


def test_every_case_comes_in_every_variant_with_what_describes_it(data, unbroken):
    made = read_dataset(unbroken, kind="native")
    before = {case.id: case for case in read_dataset(data, split="train")}
    own = [case for case in made if originals(case)[2] is None]
    assert sorted(case.id for case in own) == sorted(f"{id}_v{k}" for id in before for k in range(4))
    for case in own:
        old = before[originals(case)[0]]
        kept = ("target", "request", "modality", "source", "split", "present")
        assert [getattr(case, name) for name in kept] == [getattr(old, name) for name in kept]
        assert (case.mask is None) == (not case.present)
    assert len({case.id for case in made}) == len(made)


def test_every_picture_and_mask_opens_and_the_target_is_where_the_mask_is(unbroken):
    shapes = set()
    for case in read_dataset(unbroken, kind="native"):
        image = case.open()
        assert max(image.shape) <= 64
        assert image.pixels.ndim == (3 if case.modality == "dermoscopy" else 2)
        truth = case.read_truth(image)
        assert truth.any() == case.present
        if case.present:
            assert image.pixels[truth].mean() > image.pixels[~truth].mean() + 25
        shapes.add(image.shape)
    assert len(shapes) > 5


def test_targets_of_one_picture_share_its_variants(unbroken):
    made = {case.id: case for case in read_dataset(unbroken, kind="native")}
    for k in range(4):
        brain, ventricles = made[f"brain-0_v{k}"], made[f"brain-1_v{k}"]
        assert brain.image == ventricles.image
        masks = [case.read_truth(case.open()) for case in (brain, ventricles)]
        rows = [np.nonzero(mask)[0].mean() for mask in masks]
        assert 1 < rows[1] - rows[0] < 6
    assert len({case.image for case in made.values()}) == 4 * 7


def test_the_first_variant_is_the_picture_fitted_to_the_size(data, unbroken):
    made = {case.id: case for case in read_dataset(unbroken, kind="native")}
    picture = Image.open(data / "images/breast.png").resize((64, 51), Image.Resampling.BOX)
    np.testing.assert_array_equal(made["breast-4_v0"].open().pixels, np.asarray(picture))
    contents = {made[f"breast-4_v{k}"].image.read_bytes() for k in range(4)}
    assert len(contents) == 4


def test_sides_and_body_scans_are_not_flipped_and_places_not_moved(data, tmp_path):
    """Every target lies in the left half of its picture."""
    write_augmented(read_dataset(data), tmp_path, AugmentationSettings(variants=12, size=100, absent=0), workers=0)
    right = Counter()
    for case in read_dataset(tmp_path, kind="native"):
        if case.present:
            truth = case.read_truth(case.open())
            right[case.target] += np.nonzero(truth)[1].mean() > truth.shape[1] / 2
            if case.target == "largest nucleus":
                assert truth.shape == (80, 100)
    assert not right["left kidney"] + right["right kidney"] + right["largest nucleus"]
    assert min(right[name] for name in ("brain", "breast lesion", "skin lesion", "cell nuclei", "optic disc")) > 0


def test_absent_rows_ask_for_nothing_that_the_region_shows(data, unbroken):
    made, regions = read_dataset(unbroken, kind="native"), build_regions(read_regions_table())
    pictures = {}
    for case in made:
        pictures.setdefault(case.image, []).append(case)
    for cases in pictures.values():
        own = [case for case in cases if originals(case)[2] is None]
        asked = [case for case in cases if originals(case)[2] is not None]
        visible = regions.find_visible(regions.find_shown(own))
        assert len(asked) == sum(case.present for case in own) - sum(not case.present for case in own)
        for case in asked:
            assert not case.present
            assert (case.mask, case.request) == (None, f"Segment the {case.target}.")
            assert canonical_target(case.target) not in visible
            assert (case.modality, case.source, case.split) == (own[0].modality, own[0].source, own[0].split)


@pytest.mark.slow
def test_the_number_of_processes_does_not_matter(data, unbroken, tmp_path):
    reported = []
    cases = read_dataset(data, split="train")
    write_augmented(cases, tmp_path, SETTINGS, workers=2, on_row=lambda *row: reported.append(row[1]))
    assert files(tmp_path) == files(unbroken)
    assert reported == list(range(1, 8))


BODY = """
from ibisagent.tools.datasets import read_dataset
from ibisagent.training.augmentation.folder import write_augmented
from ibisagent.training.augmentation.picture_variants import AugmentationSettings

if __name__ == "__main__":
    settings = AugmentationSettings(variants=4, size=64, seed=2)
    write_augmented(read_dataset(sys.argv[2], split="train"), sys.argv[1], settings, workers=1)
"""


@pytest.mark.slow
def test_a_killed_run_goes_on_where_it_was(data, unbroken, tmp_path):
    out = tmp_path / "out"
    rows = out / ".rows.jsonl"
    finished = kill_after_rows(write_slow_script(tmp_path / "script.py", BODY), out, data, rows=rows, count=3)
    with rows.open("a") as file:
        file.write('{"picture":"skin-5","cas')
    reported = []
    cases = read_dataset(data, split="train")
    write_augmented(cases, out, SETTINGS, workers=1, on_row=lambda *row: reported.append(row[1]))
    assert reported == list(range(finished + 1, 8))
    assert files(out) == files(unbroken)


def test_a_finished_folder_is_left_alone_and_other_settings_are_refused(data, unbroken):
    cases = read_dataset(data, split="train")
    before = {path: path.stat().st_mtime_ns for path in unbroken.rglob("*.png")}
    write_augmented(cases, unbroken, SETTINGS)
    for other in (AugmentationSettings(variants=5, size=64, seed=2), AugmentationSettings(variants=4, size=64)):
        with pytest.raises(InputError, match="give the settings of its rows, or choose another --out"):
            write_augmented(cases, unbroken, other)
    with pytest.raises(InputError, match=r"got data '.*' after '.*'"):
        write_augmented(cases[:3], unbroken, SETTINGS)
    assert {path: path.stat().st_mtime_ns for path in unbroken.rglob("*.png")} == before


def test_the_data_set_itself_is_not_written_over(data):
    before = files(data)
    with pytest.raises(InputError, match="got another data set, expected an augmented one or nothing"):
        write_augmented(read_dataset(data), data, SETTINGS)
    assert files(data) == before


def test_broken_cases_are_named_and_the_others_go_on(tmp_path):
    data, out = write_data(tmp_path / "set"), tmp_path / "out"
    (data / "images/skin.png").write_bytes(b"no picture")
    Image.fromarray(np.zeros((80, 100), np.bool_)).save(data / "masks/brain-0.png")
    with (data / "manifest.csv").open("a") as file:
        file.write(f"\n{'x' * 130},images/brain.png,masks/brain-1.png,brain,mri,A,train,1")
        file.write("\nmaybe,images/brain.png,masks/brain-1.png,brain,mri,A,train,maybe\n")
    write_augmented(read_dataset(data), out, SETTINGS, workers=0)
    with (out / "left-out.csv").open(newline="") as file:
        left_out = {row["id"]: row["reason"] for row in csv.DictReader(file)}
    assert set(left_out) == {"skin-5", "brain-0", "x" * 130, "maybe"}
    assert "got an id of 130 bytes" in left_out["x" * 130]
    assert "got an empty mask" in left_out["brain-0"]
    assert "got present='maybe'" in left_out["maybe"]
    made = {case.id for case in read_dataset(out, kind="native")}
    assert "brain-1_v3" in made
    assert not made & {"brain-0_v0", "skin-5_v0"}


def test_a_data_set_of_which_nothing_can_be_used_is_refused(tmp_path):
    (tmp_path / "manifest.csv").write_text("id,target,image\na,liver,no.png\n")
    with pytest.raises(InputError, match=r"left-out\.csv: got 1 cases of which none can be used"):
        write_augmented(read_dataset(tmp_path), tmp_path / "out", SETTINGS, workers=0)
    assert "no.png" in (tmp_path / "out/left-out.csv").read_text()


@pytest.mark.parametrize("wrong", [{"variants": 0}, {"size": 8}, {"seed": -1}, {"absent": -0.1}, {"absent": np.nan}])
def test_settings_that_cannot_be_are_refused(wrong):
    with pytest.raises(InputError, match=f"got {next(iter(wrong))}="):
        AugmentationSettings(**wrong)


def test_the_command_writes_what_the_other_commands_read(data, tmp_path):
    own = tmp_path / "own.toml"
    own.write_text('[sources]\nC = ["breast"]\n')
    command = ("augment", data, "--split", "train", "--out", "made", "--variants", 2, "--size", 64, "--workers", 0)
    ran = call(*command, "--regions", own, cwd=tmp_path)
    assert (ran.returncode, ran.stderr.strip()) == (0, "")
    assert "10 cases, 0 left out: 14 pictures, 18 rows of what is there, 18 of what is not" in ran.stdout
    again = call(*command, "--regions", own, cwd=tmp_path)
    assert again.stdout == ran.stdout
    refused = call(*command, cwd=tmp_path)
    assert refused.returncode == 2
    assert "got regions" in refused.stderr
    made = call("trajectories", "make", "made", "--out", "runs", "--limit", 6, "--workers", 0, cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    assert "6 cases:" in made.stdout


def test_a_target_without_a_region_is_named(tmp_path):
    data = write_data(tmp_path / "set")
    text = (data / "manifest.csv").read_text().replace("skin lesion,dermoscopy", "wart,")
    (data / "manifest.csv").write_text(text)
    ran = call("augment", data, "--out", "made", "--variants", 1, "--workers", 0, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert "no region is known of wart: add them by --regions" in ran.stdout
