"""Absent targets are true: nothing is asked for that the picture's region could show."""

from collections import Counter
from pathlib import Path

import pytest

from ibisagent.agent.policies.abstention.known_targets import read_targets
from ibisagent.tools.datasets import Case
from ibisagent.tools.errors import InputError
from ibisagent.tools.vocabulary.words import VOCABULARY
from ibisagent.training.augmentation.absent_targets import list_taught_targets, plan_absent_targets
from ibisagent.training.augmentation.regions import build_regions, read_regions_table
from ibisagent.training.requests.same_targets import canonical_target

REGIONS = build_regions(read_regions_table())


def case(target, modality, number=0, source="a set", present=True):
    image = Path(f"{number}.png")
    return Case(f"{number}-{target}", image, None, None, target, modality=modality, source=source, present=present)


def asked(cases, regions=REGIONS, variants=400, **settings):
    """Everything that is asked for in many variants of one picture."""
    plan = plan_absent_targets({"one": cases}, regions, variants=variants, **{"share": 1, "seed": 0} | settings)["one"]
    return {name for some in plan for name in some}


# What a picture of this target and modality shows, or may show, besides.
MAY_SHOW = {
    ("intracranial hemorrhage", "ct"): {"brain", "ventricles", "haemorrhage", "eyes", "vertebra", "brain tumour"},
    ("white matter lesions", "mri"): {"brain", "ventricles", "cerebellum", "eyes", "spinal cord"},
    ("lung nodule", "ct"): {"vertebra", "heart", "aorta", "lungs", "liver", "spleen", "left kidney", "trachea"},
    ("liver", "ct"): {"lungs", "heart", "vertebra", "right kidney", "gallbladder", "pleural effusion", "rectum"},
    ("vertebrae", "mri"): {"left kidney", "liver", "aorta", "spinal cord", "L3 vertebra", "urinary bladder"},
    ("L5 vertebra", "mri"): {"L1 vertebra", "intervertebral discs", "spinal canal", "right kidney", "vertebra"},
    ("prostate", "mri"): {"rectum", "urinary bladder", "transition zone", "vertebra", "prostate lesion"},
    ("heart", "xray"): {"lungs", "aorta", "pleural effusion", "vertebra", "stomach", "left ventricle"},
    ("breast lesion", "ultrasound"): {"mass", "cyst", "gland", "lungs", "blood vessel"},
    ("breast lesion", "mri"): {"lungs", "heart", "liver", "aorta", "mass"},
    ("fetal head", "ultrasound"): {"brain", "ventricles", "cerebellum", "heart", "liver", "vertebra"},
    ("cell nuclei", "fluorescence"): {"nucleus", "nuclei", "mitotic cell", "largest nucleus", "cell", "tumour nest"},
    ("cell nuclei", "histology"): {"nuclei", "gland", "tumour nest", "blood vessel", "axons", "liver", "breast lesion"},
    ("axons", "electron microscopy"): {"myelin", "nucleus", "nerve", "cell", "spinal cord"},
    ("optic disc", "fundus"): {"optic cup", "macula", "haemorrhage", "blood vessel", "retina", "eyes"},
    ("polyp", "endoscopy"): {"instrument", "stomach", "blood vessel", "haemorrhage", "mass"},
    ("skin lesion", "dermoscopy"): {"blood vessel", "cyst", "mass"},
    ("haemorrhage", "fundus"): {"optic disc", "macula", "retina"},
    ("mass", "ultrasound"): {"breast lesion", "liver", "fetal head", "cyst", "gland"},
}


@pytest.mark.parametrize(("shown", "visible"), MAY_SHOW.items(), ids=map(" ".join, MAY_SHOW))
def test_nothing_is_asked_for_that_the_picture_may_show(shown, visible):
    names = asked([case(*shown)])
    assert names
    assert not {canonical_target(name) for name in names} & {canonical_target(name) for name in {*visible, shown[0]}}


def test_what_belongs_elsewhere_is_asked_for_mostly_in_pictures_like_it():
    near = {
        ("breast lesion", "ultrasound"): {"fetal head", "liver", "urinary bladder"},
        ("intracranial hemorrhage", "ct"): {"lungs", "liver", "left ventricle"},
        ("cell nuclei", "fluorescence"): {"nerve"},
        ("optic disc", "fundus"): {"polyp", "skin lesion", "instrument"},
    }
    for (target, modality), names in near.items():
        found = asked([case(target, modality)])
        assert names <= found
        others = {canonical_target(name) for name in found if not REGIONS.is_near(canonical_target(name), modality)}
        assert others, "and far ones, too"


def test_half_are_near_misses_and_all_names_are_asked_for_about_equally_often():
    kinds = [
        ("breast lesion", "ultrasound"),
        ("fetal head", "ultrasound"),
        ("liver", "ct"),
        ("brain", "mri"),
        ("optic disc", "fundus"),
        ("cell nuclei", "fluorescence"),
        ("axons", "electron microscopy"),
    ]
    pictures = {f"{number}": (case(*kinds[number % 7], number),) for number in range(700)}
    plan = plan_absent_targets(pictures, REGIONS, variants=3, share=1, seed=0)
    counts = Counter(name for some in plan.values() for names in some for name in names)
    assert counts.total() == 2100
    assert len(counts) > 70
    assert max(counts.values()) <= 3 * (2100 / len(counts))
    breast = [name for key, some in plan.items() if int(key) % 7 == 0 for names in some for name in names]
    near = sum(REGIONS.is_near(canonical_target(name), "ultrasound") for name in breast)
    assert 0.4 < near / len(breast) < 0.6


def test_several_targets_of_a_picture_all_count():
    both = [case("liver", "mri"), case("brain", "mri")]
    assert not asked(both) & {"lungs", "eyes", "vertebra", "hippocampus", "ventricles", "spleen"}


@pytest.mark.parametrize(("share", "count"), [(0, 0), (0.5, 1), (1, 2), (2, 4)])
def test_there_are_so_many_for_each_present_target_and_none_twice(share, count):
    cases = [case("L1 vertebra", "mri"), case("L2 vertebra", "mri")]
    plan = plan_absent_targets({"one": cases}, REGIONS, variants=20, share=share, seed=1)["one"]
    assert [len(names) for names in plan] == [count] * 20
    assert all(len(set(names)) == count for names in plan)


def test_absent_targets_of_the_data_set_count():
    cases = [case("liver", "ct"), case("spleen", "ct", present=False)]
    assert plan_absent_targets({"one": cases}, REGIONS, variants=3, share=1, seed=0)["one"] == [[], [], []]
    assert asked([case("liver", "ct", present=False)]) == set()


def test_a_name_is_asked_for_only_where_something_teaches_it_as_present():
    assert "hippocampus" not in asked([case("liver", "ct")])
    taught = list_taught_targets([case("hippocampus", "mri"), case("axons", "mri", present=False)], REGIONS)
    assert "hippocampus" in taught.values()
    assert "axons" not in taught.values()
    assert "brain tumour" in taught.values()
    assert "brain tumor" in list_taught_targets([case("brain tumor", "mri")], REGIONS).values()
    assert "brain tumour" not in list_taught_targets([case("brain tumor", "mri")], REGIONS).values()


def test_a_target_of_no_region_counts_as_all_that_its_modality_shows():
    names = asked([case("thyroid nodule", "ultrasound")])
    assert {"optic disc", "polyp"} & names
    assert not names & {"liver", "fetal head", "breast lesion", "heart", "gland"}
    assert asked([case("thyroid nodule", "")]) == set()
    assert asked([case("thyroid nodule", "thermography")]) == set()


def test_other_spellings_and_words_for_modalities_are_known():
    assert asked([case("Breast_Tumor", "US")]) == asked([case("breast lesion", "ultrasound")])
    assert REGIONS.name_modality("X-Ray") == REGIONS.name_modality("chest_xray") == "xray"
    assert REGIONS.name_modality("MR") == REGIONS.name_modality("brain_mr") == "mri"


@pytest.mark.parametrize("modality", ["ct", "MR", "X-Ray", "mammography", "ct_abdomen", "pet", ""])
@pytest.mark.parametrize("target", ["liver", "heart", "vertebrae", "prostate", "haemorrhage", "femur", "breast lesion"])
def test_scans_of_the_body_are_never_flipped(modality, target):
    assert not REGIONS.may_flip(modality, REGIONS.find_shown([case(target, modality)]))


def test_what_may_be_flipped():
    flips = [("brain", "mri"), ("intracranial hemorrhage", "CT"), ("polyp", "Endoscope"), ("mass", "ultrasound")]
    flips += [("cell nuclei", "histology"), ("optic disc", "fundus"), ("axons", "SEM"), ("skin lesion", "dermoscopy")]
    assert all(REGIONS.may_flip(modality, REGIONS.find_shown([case(name, modality)])) for name, modality in flips)


def test_every_taught_name_has_a_region_and_so_has_every_name_of_the_file():
    learned = {name for name, _ in read_targets(Path(__file__).parents[3] / "agent/policies/nano").learned}
    names = {*VOCABULARY.names, *VOCABULARY.synonyms, *learned}
    assert {name for name in names if not REGIONS.has_region(canonical_target(name))} == set()
    known = {canonical_target(name) for name in names}
    assert {name for region in REGIONS.regions.values() for name in region.seen} == known
    table = read_regions_table()
    for region in table["regions"].values():
        some = [*region["targets"], *region["also"]]
        assert len(set(some)) == len(some)
        assert set(region["modalities"]) <= table["modalities"].keys()


def test_a_file_of_ones_own_adds_to_ours(tmp_path):
    own = tmp_path / "own.toml"
    own.write_text(
        'flip_regions = ["knee"]\n[sources]\n"My CT" = ["abdomen"]\n'
        '[regions.knee]\nmodalities = ["mri"]\ntargets = ["meniscus"]\n[regions.eye]\nalso = ["meniscus"]\n'
    )
    regions = build_regions(read_regions_table(own))
    assert regions.find_shown([case("thing", "ct", source="My CT")]) == {"abdomen"}
    assert regions.find_shown([case("meniscus", "mri")]) == {"knee"}
    assert regions.may_flip("mri", frozenset({"knee"}))
    assert canonical_target("meniscus") in regions.find_visible({"eye"})
    assert regions.find_shown([case("liver", "ct")]) == REGIONS.find_shown([case("liver", "ct")])
    taught = [case("meniscus", "mri", 1)]
    plan = plan_absent_targets({"a": [case("liver", "ct")], "b": taught}, regions, variants=99, share=1, seed=0)
    assert "meniscus" in {name for names in plan["a"] for name in names}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("regions = 3", "got regions=3, expected a table"),
        ("[source]", "source: got an unknown name, expected sources"),
        ('[regions.knee]\ntarget = ["meniscus"]', "regions knee: target: got an unknown name, expected targets"),
        ('[regions.knee]\ntargets = "meniscus"', "got regions knee targets=meniscus, expected a list of names"),
        ('[sources]\nx = ["abdomne"]', "sources x: abdomne: got an unknown name, expected abdomen"),
        ("[sources]\nx = 3", "got sources x=3, expected a list of names"),
        ('[regions.knee]\nshows = ["hip"]', "regions knee shows: hip: got an unknown name, expected one of"),
        ('flip_regions = ["hip"]', "flip_regions: hip: got an unknown name"),
        ("x = (", "got no readable TOML file"),
        ("", "got an empty file"),
    ],
)
def test_a_wrong_file_is_refused_with_a_line(tmp_path, text, said):
    own = tmp_path / "own.toml"
    own.write_text(text)
    with pytest.raises(InputError) as refused:
        read_regions_table(own)
    assert said in str(refused.value)
    assert "own.toml" in str(refused.value)


def test_names_of_one_target_are_one():
    same = [
        ("nuclei", "cell nuclei", "all nuclei"),
        ("haemorrhage", "hemorrhage", "bleeding"),
        ("intracranial hemorrhage", "Intracranial Haemorrhage"),
        ("brain tumour", "brain tumor", "brain_tumour"),
        ("spinal cord grey matter", "spinal cord gray matter"),
        ("intervertebral discs", "intervertebral disks"),
    ]
    assert [len({canonical_target(name) for name in names}) for names in same] == [1] * len(same)
    assert len({canonical_target(names[0]) for names in same}) == len(same)
    assert len({canonical_target(name) for name in VOCABULARY.names}) == len(VOCABULARY.names)
