"""What nano never learned is declined, what it learned is understood, and the asked target's name is told."""

import asyncio
import re
import tomllib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fakes import RecordingPolicy, positive, script
from support.fixed_states import make_states

from ibisagent.agent import LoopConfig, build_graph
from ibisagent.agent.policies import PolicyOptions, get_policy
from ibisagent.agent.policies.abstention import TARGETS_FILE as FILE
from ibisagent.agent.policies.abstention import AbstainingPolicy, parse_request, read_targets
from ibisagent.agent.policies.abstention.answer_names import canonicalize_request, restore_names
from ibisagent.agent.policies.local import NANO, open_named
from ibisagent.agent.reply_parser import parse_reply
from ibisagent.tools.errors import InputError
from ibisagent.tools.vocabulary.words import REQUEST_TEMPLATES, VOCABULARY
from ibisagent.training.phantoms import KINDS, MODALITIES, draw
from ibisagent.training.requests import write_initial_request, write_refinement_request

NANOS = read_targets(NANO)
LEARNED = dict(NANOS.learned)

UNDERSTOOD = {
    "Segment the SPLEEN.": "spleen",
    "AORTA": "aorta",
    "Livers, please": "liver",
    "please encircle the splen": "spleen",
    "the stomahc in this abdominal slice": "stomach",
    "Mark the Vertebrae on this CT.": "vertebrae",
    "vertebrea": "vertebra",
    "I need the lift kidney, sorry, the left kindey": "left kidney",
    "right kidneyy": "right kidney",
    "cysts of the left kidney": "kidney cyst",
    "Kidney-cysts": "kidney cyst",
    "tumors in the liver": "liver tumour",
    "Could you trace the hepatic tumor for the surgeon?": "liver tumour",
    "the haert on this film": "heart",
    "Lunggs": "lungs",
    "both lungs of the patient": "lungs",
    "leftlung": "left lung",
    "nodules in the left lung": "lung nodule",
    "pleural effussion": "pleural effusion",
    "Brains": "brain",
    "a braintumour": "brain tumour",
    "the tumor of the brain on this MRI": "brain tumour",
    "cerebelllum": "cerebellum",
    "Ventricels in the T2 image": "ventricles",
    "eyess": "eyes",
    "foetal heads": "fetal head",
    "the baby\u2019s head in this ultrasound": "fetal head",
    "blood-vessel": "blood vessel",
    "Nerves!": "nerve",
    "a breast lesion": "breast lesion",
    "large cystts": "cyst",
    "a dark MOLE on the skin": "skin lesion",
    "naevii": "skin lesion",
    "colonic polyps": "polyp",
    "the surgicla tool": "instrument",
    "optc disc": "optic disc",
    "optic disk of the right eye": "optic disc",
    "the nerve head in this fundus photo": "optic disc",
    "Macula lutea": "macula",
    "retinal hemorrhage": "haemorrhage",
    "haemorrage": "haemorrhage",
    "Nucleuses": "nucleus",
    "dividing cells": "mitotic cell",
    "tumor nest": "tumour nest",
    "glandss": "gland",
    "teh spleen": "spleen",
    "aorat": "aorta",
    "Segemnt liver": "liver",
    "liver tuomur": "liver tumour",
    "liver tumouur": "liver tumour",
    "tumour fo the brain": "brain tumour",
    "tumout of hte liver": "liver tumour",
    "foteal head": "fetal head",
    "optic dsik": "optic disc",
    "optic cpu": "optic cup",
    "rt kidney": "right kidney",
    "the lt. kidney": "left kidney",
    "Segment the (L) lung.": "left lung",
    "R kidneys": "right kidney",
    "baby head": "fetal head",
    "disc of the optic nerve": "optic disc",
    "the optic disk and cup": "optic disc",
    "blood vessels of the retina": "blood vessel",
    "cutaneous lesions": "skin lesion",
    "solitary pulmonary nodule": "lung nodule",
    "a pedunculated polyp": "polyp",
    "T12 vertebra": "vertebra",
    "a 2.5 cm renal cyst": "kidney cyst",
    "5-mm lung nodule": "lung nodule",
    "tumour (liver)": "liver tumour",
    "cell nuclei in this H&E image": "nuclei",
    "liver lesions in segment VII": "liver tumour",
    "liver lesion, 2 cm, segment 4a": "liver tumour",
    "lesion in the left lobe of the liver": "liver tumour",
    "polyps seen in the descending colon": "polyp",
    "cyst at the upper pole of the left kidney": "kidney cyst",
    "lung nodule, right upper lobe": "lung nodule",
    "can u segment the aorta 4 me": "aorta",
    "entire liver volume": "liver",
    "mole on the left forearm": "skin lesion",
    "effusion in the left hemithorax": "pleural effusion",
    "Mark the spleen, not the duodenum.": "spleen",
    "Segment the heart but ignore the vessels.": "heart",
    "Don't forget the aorta.": "aorta",
    "I already have the duodenum; now the spleen.": "spleen",
    "the stomach next to the duodenum": "stomach",
    "Segment the liver touching the appendix.": "liver",
    "Segment the stomach filled with contrast.": "stomach",
    "Check the abdominal CT for kidney cysts.": "kidney cyst",
    "Segment the liver and show me the result.": "liver",
    "Segment the liver as you did the duodenum.": "liver",
    "My colleague reviewed the liver.": "liver",
    "The referring physician asked for the kidneys.": "kidney",
    "Segment the heart, including its apex.": "heart",
    "Segment it carefully, the clearly visible spleen.": "spleen",
    "I need a binary mask of the spleen.": "spleen",
    "PNG mask of the spleen": "spleen",
    "spleen binary mask": "spleen",
    "a mask, binary, of the spleen": "spleen",
    "Make a precise segmentation of the spleen.": "spleen",
    "a rough sketch of the spleen": "spleen",
    "a crisp watertight mask for the left kidney": "left kidney",
    "Draw a bounding box around the liver.": "liver",
    "Draw a line around the liver.": "liver",
    "a polygon around the liver": "liver",
    "Segment the outer edge of the liver.": "liver",
    "Trace the rim of the optic disc.": "optic disc",
    "Return the coordinates of the liver.": "liver",
    "Correct the label of the liver.": "liver",
    "Label the liver.": "liver",
    "label: liver": "liver",
    "left-sided kidney": "left kidney",
    "the right sided lung": "right lung",
    "skull of the fetus": "fetal head",
    "head of foetus": "fetal head",
    "Do the same for the spleen.": "spleen",
    "Now do the same for the spleen as for the duodenum.": "spleen",
    "In the mask of the liver there is a gap; close it.": "liver",
    "Behind the duodenum there is the left kidney; segment it.": "left kidney",
    "The spleen is large. The radiologist was worried. Segment it.": "spleen",
    "liver liver": "liver",
    "kidney, left": "left kidney",
    "lung, right, please": "right lung",
    "Mark the liver plaese": "liver",
    "any hepatic metastases?": "liver tumour",
}
UNKNOWN = [
    *("Segment the scaphoid.", "Where is the epiglottis?", "parotid gland", "Achilles tendon, please", "the cochlea"),
    *("Outline the umbilical cord.", "a bicycle", "Find the traffic light.", "mask: wristwatch", "spleen infarct"),
    *("Please mark the hepatic abscess in this CT.", "stomach cancer", "sciatic nerve", "polyp stalk", "eyelid"),
    *("Can you see the placenta?", "I am looking for the carotid artery.", "liver abscess", "aortic valve", "navel"),
    *("the rivers", "improve: larynx", "Make the mask fit the ureter better.", "cyst of the ovary", "soft palate"),
    *("Trace the sigmoid colon.", "haemorrhage in the abdomen", "Is there a pleural plaque?", "lung apex", "Iris"),
    *("heart transplant", "brain abscess", "left adrenal gland", "the tonsils, thank you", "renal pelvis", "teeth"),
    *(
        "nodule in the thyroid",
        "What about the meniscus?",
        "red blood cells",
        "the mitral valve of the heart",
        "a mast",
    ),
    *(
        "Segment the cardiomegaly.",
        "polydactyly, please",
        "effusion in the knee",
        "effusion around the heart",
        "cellos",
    ),
    *("mole on the liver", "cyst (duodenum)", "segment 4 of the liver", "Segment segment VIII.", "the stomach lining"),
    *("duodenum scan", "Segment the hepatic flexure image.", "the adrenal gland that touches the liver", "eye walls"),
    *(
        "Segment the abscess compressing the brain.",
        "Segment the artery supplying the spleen.",
        "the bone covering the brain",
    ),
    *("the duodenum bordering the stomach", "The ureter lies next to the kidney; segment it.", "stent in the aorta"),
    *("duodenum and liver", "Segment either the ureter or the kidney.", "Segment duodenum, spleen.", "ulna image"),
    *("Segment the lesson.", "optic chiasm", "nerve root", "the lobes of the liver", "tumour of the spleen", "xyzzy"),
    *("fat around the kidney", "the membrane around the heart", "the neuroretinal rim of the optic disc"),
    *("a crisp mask of the duodenum", "duodenum mask of the patient", "a line in the lung"),
    "Behind the heart there is the duodenum; outline that one.",
    "Beside the liver is an appendix. Please outline it.",
    "Between the liver and the stomach there is the duodenum; segment that.",
    "To the left of the liver there is the duodenum; segment it.",
    "Can you see the liver? Below it is the appendix. Segment it.",
    "Can you find the liver? Below it is the appendix. Segment it.",
    "Now do the same for the duodenum as for the liver.",
    "Do the same for the duodenum.",
    "Segment what lies behind the stomach, the duodenum.",
    *("Segment the lead.", "Mark the leads on this film.", "Segment the arrow in this picture.", "arrow", "label"),
    *("duodenum duodenum", "liver - abscess", "the palate"),
    *("Segment the label.", "Segment the labels in the image.", "Segment the tube.", "Segment the red arrow."),
]
NAMELESS = [
    *("Segment it.", "Segment this, please.", "Is anything wrong here?", "Mark the bright round thing.", "Hello"),
    *("Outline the largest structure in the picture.", "Find whatever does not belong here.", "the dark one"),
    *("Segment the edge.", "Improve the label.", "Segment the organ at the arrow.", "Where does it lead to?"),
    *("Mark the organ that cleans the blood.", "Where is the bone that holds the head up?", "Show me the abnormality."),
]


TAUGHT_BY_REAL_PICTURES = {
    *("axons", "breast lesion", "intracranial hemorrhage", "multiple sclerosis lesions", "myelin"),
    *("intervertebral discs", "l3-l4 intervertebral disc", "l4-l5 intervertebral disc", "l5-s1 intervertebral disc"),
    *("spinal canal", "spinal cord", "spinal cord grey matter", "vertebrae"),
}


@pytest.mark.slow
def test_the_list_is_what_phantoms_and_real_pictures_taught():
    drawn = {kind: set() for kind in KINDS}
    for kind, names in drawn.items():
        for seed in range(40):
            phantom = draw(kind, seed, 32)
            names |= {*phantom.masks, *phantom.absent}
    assert set(LEARNED) >= set().union(*(drawn[kind] for kind in MODALITIES))
    assert set(LEARNED) - set().union(*drawn.values()) == TAUGHT_BY_REAL_PICTURES


def test_the_names_are_those_of_the_request_library():
    named = {name: VOCABULARY.synonyms.get(name, ()) for name in LEARNED}
    assert dict(NANOS.learned) == named
    described = {phrase for _, phrases in NANOS.descriptions for phrase in phrases}
    assert described >= {phrase for phrases in VOCABULARY.descriptions.values() for phrase in phrases}
    assert dict(NANOS.descriptions)["heart"] == VOCABULARY.descriptions["heart"]


@pytest.mark.parametrize("stage", ["initial", "refining"])
def test_every_wording_of_the_library_is_asked_for_as_it_is(stage):
    word = {"initial": write_initial_request, "refining": write_refinement_request}[stage]
    rng = np.random.default_rng(0)
    for target in LEARNED:
        for request in {word(target, rng) for _ in range(5)}:
            asked = parse_request(request, NANOS)
            assert ([found.target for found in asked.known], canonicalize_request(request, asked)) == (
                [target],
                request,
            )


@pytest.mark.parametrize("request_", UNDERSTOOD)
def test_what_was_learned_is_understood_however_it_is_typed(request_):
    asked = parse_request(request_, NANOS)
    assert (asked.unknown, asked.known[0].target) == (None, UNDERSTOOD[request_])
    said = canonicalize_request(request_, asked)
    known = parse_request(said, NANOS).known[0]
    assert (known.target, known.canonical_name) == (UNDERSTOOD[request_], None)


@pytest.mark.parametrize("request_", UNKNOWN)
def test_what_was_never_learned_is_unknown(request_):
    asked = parse_request(request_, NANOS)
    assert asked.unknown is not None
    assert asked.known == ()


def test_what_is_unknown_is_so_in_every_wording():
    for templates in (each for stage in REQUEST_TEMPLATES.values() for each in stage.values()):
        for template in templates:
            for target in ("duodenum", "spleen hilum"):
                request = template.replace("$target", target).replace("$is", "is")
                found = parse_request(request, NANOS).unknown
                assert found is not None, request
                assert request[found.start : found.end] == target


NEVER = [
    "uterus",
    "lymph node",
    "bile duct",
    "femur",
    "iris",
    "splenomegaly",
    "nasal polyp",
    "stent",
    "liver cyst",
]
WORDINGS = [
    *(
        "Segment the {} volume.",
        "{} CT",
        "Mark the {} exam.",
        "Segment the {} touching the liver.",
        "{} abutting the spleen",
    ),
    *("the {} lying behind the stomach", "Segment the {} next to the kidney.", "The {} compresses the brain; mark it."),
    *("Do not segment the liver, segment the {}.", "Segment the {}, ignoring the liver.", "not the liver but the {}"),
    *("the {} rather than the spleen", "Instead of the heart, the {}.", "Skip the liver and outline the {}."),
    *("I already have the liver; now the {}.", "After the liver, the {}.", "Segment the spleen, then the {}."),
    *(
        "Segment the liver and the {}.",
        "the liver or the {}",
        "the liver's neighbour, the {}",
        "Segment the {} as well as the liver.",
    ),
]


@pytest.mark.parametrize("wording", WORDINGS)
def test_what_was_never_learned_is_so_beside_what_was(wording):
    for never in NEVER:
        request = wording.format(never)
        found = parse_request(request, NANOS).unknown
        assert found is not None, request
        assert never in request[found.start : found.end] or "neighbour" in request[found.start : found.end]


@pytest.mark.parametrize(
    "name", ["liver tumour", "foetal head", "skin lesion", "optic cup", "left lung", "haemorrhage"]
)
def test_one_slip_of_the_hand_changes_nothing(name):
    expected = parse_request(name, NANOS).known[0].target
    for at in range(len(name) - 1):
        if name[at : at + 2].isalpha():
            for typed in (name[:at] + name[at + 1] + name[at] + name[at + 2 :], name[:at] + name[at] + name[at:]):
                known = parse_request(f"Segment the {typed}.", NANOS).known
                assert [found.target for found in known] == [expected], typed


@pytest.mark.parametrize("request_", NAMELESS)
def test_what_names_no_target_is_asked_for_as_it_is(request_):
    asked = parse_request(request_, NANOS)
    assert (asked.known, asked.unknown, canonicalize_request(request_, asked)) == ((), None, request_)


def test_every_question_of_the_library_is_asked_for_as_it_is():
    requests = [
        template.replace("$what", f"the {phrase}").replace("$is", "is")
        for template in VOCABULARY.templates["described"]
        for phrases in VOCABULARY.descriptions.values()
        for phrase in phrases
    ]
    requests += [
        t.replace("$picture", name)
        for t in VOCABULARY.templates["abnormal"]
        for name in VOCABULARY.image_names.values()
    ]
    assert len(requests) > 100
    for request in requests:
        asked = parse_request(request, NANOS)
        assert (asked.unknown, canonicalize_request(request, asked)) == (None, request)
        assert {found.target for found in asked.known} <= {"lesion"}


@given(st.text(max_size=60) | st.lists(st.sampled_from([*UNKNOWN, *UNDERSTOOD, "of the", "which", "!"])).map(" ".join))
def test_any_text_is_read(text):
    asked = parse_request(text, NANOS)
    restore_names("The spleen is not visible.", text, asked, NANOS)
    canonicalize_request(text, asked)


def told(request, said):
    reply = f"<think>{said}</think>\n<action>Positive Point (0.5, 0.5)</action>\n<answer>{said}</answer>"
    read = parse_reply(restore_names(reply, request, parse_request(request, NANOS), NANOS))
    return read.thought


@pytest.mark.parametrize(
    ("request_", "said", "expected"),
    [
        ("Segment the colon polyp.", "The spleen is not visible.", "The colon polyp is not visible."),
        ("Segment the liverr.", "The liver is segmented.", "The liverr is segmented."),
        ("moles", "I see no skin lesion here.", "I see no moles here."),
        ("Segment the lungs.", "The left kidney is not visible.", "The lungs are not visible."),
        ("Segment the kidney.", "The left kidney is at the upper left.", "The kidney is at the upper left."),
        ("Segment the liver and the spleen.", "The spleen is segmented.", "The spleen is segmented."),
        ("Segment the macula.", "I see no abnormality here.", "I see no macula here."),
        ("Mark the lesion", "The breas is not visible.", "The lesion is not visible."),
        ("Segment it.", "The liver tumo is segmented.", "The target is segmented."),
        ("Segment it.", "The spleen is segmented.", "The target is segmented."),
        ("Is anything abnormal?", "The cyst is segmented.", "The abnormality is segmented."),
        ("Mark the organ that thinks.", "The brain is segmented.", "The brain is segmented."),
        ("Mark the organ that thinks.", "The liver is segmented.", "The target is segmented."),
        ("Segment the smaller of the two kidneys.", "The left kidney is small.", "The kidney is small."),
    ],
)
def test_the_asked_target_is_told_and_no_other(request_, said, expected):
    assert told(request_, said) == expected


def test_an_action_is_left_alone():
    reply = "<think>a</think>\n<action>Positive Point (0.5000, 0.5000) for spleen</action>"
    asked = parse_request("Segment the liver.", NANOS)
    assert restore_names(reply, "Segment the liver.", asked, NANOS) == reply


def test_the_model_is_not_asked_for_what_it_never_learned(pixels):
    model = RecordingPolicy(script())
    policy = AbstainingPolicy(model, NANOS)
    graph = build_graph(policy, "disk")
    for request in ("Please mark the  pancreatic duct in this MRI.", "Segment the liver vein."):
        ended = graph.invoke({"image": pixels, "request": request})
        assert (ended["stop"], ended["mask"]["size"], model.seen) == ("declined", [96, 128], [])
        assert "liver, " in ended["answer"]
        assert "not there" not in ended["answer"]
    assert ended["answer"].startswith('I never learned "liver vein"')
    again = asyncio.run(graph.ainvoke({"image": pixels, "request": request}))
    assert (again["stop"], again["answer"]) == ("declined", ended["answer"])


def test_the_model_is_asked_by_the_name_that_it_learned(pixels):
    stop = "<think>I see no polyp here.</think>\n<action>Terminate</action>\n<answer>The polyp is not visible.</answer>"
    model = RecordingPolicy(script(positive(0.5, 0.5), stop))
    ended = build_graph(AbstainingPolicy(model, NANOS), "disk").invoke({"image": pixels, "request": "Mark the NEVI."})
    assert [seen.request for seen in model.seen] == ["Mark the skin lesion."] * 2
    assert (ended["stop"], ended["answer"]) == ("terminated", "The NEVI are not visible.")


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ("nuclei pls", "Segment the nuclei."),
        ("any moles in view?", "Segment the mole."),
        ("WHERE IS THE SPLEEN", "Where is the spleen?"),
        ("liver - please", "liver, please"),
        ("Make the mask fit the Livers better", "Make the mask fit the liver better."),
        ("kidney, left lung", "kidney, left lung"),
        ("the liver and the spleen pls", "the liver and the spleen pls"),
    ],
)
def test_one_target_is_asked_for_in_a_wording_that_was_learned(request_, said):
    assert canonicalize_request(request_, parse_request(request_, NANOS)) == said


def test_a_question_keeps_its_wording(pixels):
    model = RecordingPolicy(
        script("<think>x</think>\n<action>Terminate</action>\n<answer>The polyp is there.</answer>")
    )
    graph = build_graph(AbstainingPolicy(model, NANOS), "disk")
    graph.invoke({"image": pixels, "request": "Any POLYPS in view?", "kind": "question"})
    assert [seen.request for seen in model.seen] == ["Any polyp in view?"]


def test_where_declining_is_switched_off_the_model_is_asked(pixels):
    stop = "<think>Gone.</think>\n<action>Terminate</action>\n<answer>The spleen is not visible.</answer>"
    config = LoopConfig(actions=("point", "terminate"))
    graph = build_graph(AbstainingPolicy(script(stop), NANOS), "disk", config)
    ended = graph.invoke({"image": pixels, "request": "Segment the tibia."})
    assert (ended["stop"], ended["answer"]) == ("target_absent", "The tibia is not visible.")


@pytest.mark.parametrize(
    ("thing", "said"),
    [("duodenum", "duodenum is"), ("lens of the eyes", "lens of the eyes is"), ("teeth", "teeth are")],
)
def test_what_was_never_learned_is_told_with_its_verb(thing, said):
    asked = parse_request(f"Segment the {thing}.", NANOS)
    asked = replace(asked, known=(asked.unknown,), unknown=None)
    assert f"The {said} not" in restore_names("The spleen is not visible.", f"Segment the {thing}.", asked, NANOS)


def test_what_may_be_asked_besides_is_told(pixels):
    stop = "<think>Done.</think>\n<action>Terminate</action>\n<answer>The liver is segmented.</answer>"
    graph = build_graph(AbstainingPolicy(script(positive(0.5, 0.5), stop), NANOS), "disk")
    ended = graph.invoke({"image": pixels, "request": "Segment the liver, duodenum."})
    assert (ended["stop"], ended["answer"]) == ("terminated", 'The liver is segmented. I never learned "duodenum".')


def test_a_model_without_a_list_is_left_alone(tmp_path):
    assert read_targets(tmp_path) is None
    (tmp_path / FILE).write_text('[learned]\n"liver" = "hepar"\n')
    assert read_targets(tmp_path).learned == (("liver", tuple("hepar")),)
    for text in ("learned = 3", "[learned", "[learned]\nliver = [3]", ""):
        (tmp_path / FILE).write_text(text)
        with pytest.raises(InputError, match=FILE):
            read_targets(tmp_path)


@pytest.mark.slow
def test_nano_tells_of_what_was_asked_alone():
    """In the states of `states`, with every request; the model is the one whose replies are recorded."""
    local = PolicyOptions(local_only=True)
    policy, model = get_policy("nano", local), open_named("nano", local)
    assert (policy.model.model is model, policy.name, "decline" in policy.actions) == (True, "nano", True)
    assert "decline" not in model.actions
    names = sorted({" ".join(name.words) for name in NANOS.names if name.target}, key=len, reverse=True)
    some = [replace(state, actions=policy.actions) for state in list(make_states())[::4]]
    replies = [policy.act(state).text for state in some]
    assert len({re.sub("[^A-Z]", "", reply) for reply in replies}) > 1
    for state, reply in zip(some, replies, strict=True):
        asked = {state.request[found.start : found.end] for found in parse_request(state.request, NANOS).known}
        said = set(re.findall(rf"\b({'|'.join(names)})\b", re.sub("<action>.*?</action>", "", reply, flags=re.DOTALL)))
        assert said <= asked


def test_the_list_reads_as_toml_and_is_told_in_a_line():
    assert set(tomllib.loads((NANO / FILE).read_text())["synonyms"]) <= set(LEARNED)
    assert NANOS.listing.startswith("aorta, blood vessel, ")
    assert "upper" not in NANOS.listing
