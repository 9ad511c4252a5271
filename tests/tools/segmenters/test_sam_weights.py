"""Names of the SAM family: options, fingerprints, and one clear line for every wrong file."""

import hashlib
import json
import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file
from support import tiny_sam

from ibisagent.tools.errors import InputError, MissingExtra
from ibisagent.tools.segmenters import SEGMENTERS, get_segmenter
from ibisagent.tools.segmenters.sam.sam2_package import build_model, get_published_config, infer_config
from ibisagent.tools.segmenters.sam.sam_spec import SamSpec, parse_spec


@pytest.fixture
def config(tmp_path):
    return tiny_sam.write_nano_config(tmp_path)


@pytest.fixture
def state(config):
    return build_model(config, 512).state_dict()


def refused(name):
    """Return the line that a name is refused with."""
    with pytest.raises(InputError) as caught:
        get_segmenter(name)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_name_reads_as_family_source_and_options():
    name = "medsam2:weights/a.pt?device=cpu&dtype=bfloat16&batch=1&size=1024&config=b.yaml"
    assert parse_spec(name) == SamSpec("medsam2", "weights/a.pt", "cpu", "bfloat16", True, 1024, "b.yaml")
    assert parse_spec("sam:some/model") == SamSpec("sam", "some/model")
    assert parse_spec("sam2:what?.pt") == SamSpec("sam2", "what?.pt")


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("sam:", "segmenter sam:: got no weights, expected sam:ID"),
        ("sam:a?colour=red", "segmenter sam:a: got option 'colour', expected one of device, dtype, batch, as in"),
        ("sam:a?size=512", "segmenter sam:a: got option 'size', expected one of device, dtype, batch, as in"),
        ("sam2:a?dtype=int8", "segmenter sam2:a: got dtype=int8, expected one of float32, bfloat16, float16"),
        ("sam2:a?batch=yes", "segmenter sam2:a: got batch=yes, expected 0 or 1"),
        ("sam2:a?size=500", "segmenter sam2:a: got size=500, expected a multiple of 32 up to 4096"),
        ("sam2:a?size=-32", "segmenter sam2:a: got size=-32, expected a multiple of 32 up to 4096"),
        ("sam2:a?size=1000000", "segmenter sam2:a: got size=1000000, expected a multiple of 32 up to 4096"),
        ("sam2:a?device=abacus", "segmenter sam2:a: got device=abacus, expected a device that torch has here"),
        ("medsam2:nowhere.pt", "nowhere.pt: got a path with no file, expected a readable file"),
        ("medsam2:https://host/a.pt", "https://host/a.pt: got a https address, expected a local file"),
        ("sam:/nowhere/at/all", "/nowhere/at/all: got no config.json there, expected a transformers model's folder"),
        ("medsam2", "segmenter 'medsam2': expected one of geocut, geonet, geodesic, disk, geonet:FILE, medsam2:FILE"),
    ],
)
def test_a_wrong_name_is_refused_in_one_line(name, line):
    assert refused(name).startswith(line)


def test_help_texts_list_every_form_and_names_need_no_weights():
    embedded = [entry.form for entry in SEGMENTERS.entries if not entry.needs_source]
    assert embedded == ["geocut", "geonet", "geodesic", "disk"]
    assert SEGMENTERS.forms == (
        *embedded,
        *("geonet:FILE", "medsam2:FILE", "sam2:FILE_OR_ID", "sam:ID", "medsam:ID", "sam2hf:ID"),
    )


def test_a_hub_id_without_network_is_refused_in_one_line(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for name in ("sam:somebody/no-such-model", "sam2:facebook/sam2.1-hiera-tiny"):
        assert "got no hub id that can be had" in refused(name)


@pytest.mark.parametrize("version", ["sam2", "sam2.1"])
@pytest.mark.parametrize("size", ["t", "s", "b+", "l"])
def test_a_published_architecture_is_known_by_its_shapes(version, size):
    config = get_published_config(version, size)
    assert infer_config(build_model(config, 512).state_dict()) == config


@pytest.mark.parametrize("version", ["sam2", "sam2.1"])
def test_a_published_checkpoint_needs_no_config(tmp_path, version):
    torch.save({"model": build_model(get_published_config(version, "t"), 1024).state_dict()}, tmp_path / "tiny.pt")
    sides = [get_segmenter(f"{family}:{tmp_path}/tiny.pt").model.side for family in ("medsam2", "sam2")]
    assert sides == [512, 1024]


def test_a_state_dict_loads_bare_and_as_safetensors(tmp_path, config, state):
    torch.save(state, tmp_path / "bare.pt")
    save_file(state, tmp_path / "safe.safetensors")
    for file in ("bare.pt", "safe.safetensors"):
        assert get_segmenter(f"medsam2:{tmp_path}/{file}?config={config}").name == "medsam2"


def test_a_checkpoint_of_something_else_says_which_keys_differ(tmp_path, config, state):
    changed = dict(state)
    for name in ("no_mem_embed", "no_obj_ptr"):
        del changed[name]
    changed |= {f"more.{index}": torch.zeros(1) for index in range(5)}
    changed["maskmem_tpos_enc"] = torch.zeros(1)
    torch.save({"model": changed}, tmp_path / "changed.pt")
    expected = (
        "changed.pt: got 2 keys missing (no_mem_embed, no_obj_ptr), 5 keys unexpected (more.0, more.1, more.2, ...), "
        "1 key of another shape (maskmem_tpos_enc), expected the keys of sam2.1_nano; give its checkpoint"
    )
    assert expected in refused(f"medsam2:{tmp_path}/changed.pt?config={config}")
    torch.save({"model": state}, tmp_path / "nano.pt")
    assert "keys missing (image_encoder.trunk.blocks.10.attn" in refused(f"medsam2:{tmp_path}/nano.pt")


class Trap:
    def __reduce__(self):
        return (open, ("trapped", "w"))


@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.write_text("not weights"),
        lambda path: path.write_bytes(b"PK\x03\x04" + bytes(100)),
        lambda path: torch.save({"model": Trap()}, path),
        lambda path: torch.save([1, 2], path),
        lambda path: torch.save({"model": {"a": 1}}, path),
    ],
)
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_a_file_that_holds_no_weights_is_refused_and_runs_nothing(tmp_path, monkeypatch, write, suffix):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / f"wrong{suffix}")
    assert refused(f"medsam2:wrong{suffix}").startswith(f"wrong{suffix}: got no ")
    assert not (tmp_path / "trapped").exists()


_ATTENTION = "  memory_attention: {layer: {self_attention: {}, cross_attention: {}}}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("model: [1", "got"),
        ("other: 1", "KeyError"),
        (f"model:\n  _target_: os.system\n{_ATTENTION}", "os.system"),
        (f"model:\n  _target_: sam2.modeling.sam2_base.SAM2Base\n  colour: red\n{_ATTENTION}", "colour"),
    ],
)
def test_a_wrong_config_is_refused_and_calls_nothing_foreign(tmp_path, state, text, said):
    torch.save({"model": state}, tmp_path / "a.pt")
    (tmp_path / "own.yaml").write_text(text)
    line = refused(f"medsam2:{tmp_path}/a.pt?config={tmp_path}/own.yaml")
    assert "own.yaml: got " in line
    assert said in line


@pytest.fixture
def folder(tmp_path):
    return tiny_sam.write_sam_folder(tmp_path)


def test_a_folder_of_another_model_or_without_weights_is_refused(folder):
    assert "got a model of type 'sam', expected sam2 or sam2_video" in refused(f"sam2hf:{folder}")
    (folder / "model.safetensors").rename(folder / "elsewhere")
    assert "got no weights there, expected model.safetensors" in refused(f"sam:{folder}")
    (folder / "config.json").write_text("{")
    (folder / "elsewhere").rename(folder / "model.safetensors")
    assert "got no readable config.json" in refused(f"sam:{folder}")


def test_a_folder_whose_weights_do_not_fit_says_which_keys_differ(folder):
    config = json.loads((folder / "config.json").read_text())
    config["vision_config"]["num_hidden_layers"] = 3
    config["vision_config"]["mlp_dim"] = 128
    (folder / "config.json").write_text(json.dumps(config))
    line = refused(f"medsam:{folder}")
    assert "14 keys missing (vision_encoder.layers.2.attn.proj.bias, " in line
    assert "6 keys of another shape (vision_encoder.layers.0.mlp.lin1.bias, " in line
    (folder / "model.safetensors").write_bytes(b"nothing")
    assert "expected a SamModel; check its files" in refused(f"sam:{folder}")


def test_loading_is_quiet(folder, capfd):
    get_segmenter(f"sam:{folder}")
    assert capfd.readouterr() == ("", "")


def test_the_fingerprint_holds_all_that_the_masks_depend_on(tmp_path, config):
    path = tiny_sam.write_checkpoint(tmp_path, config)
    digest = hashlib.sha256(path.read_bytes() + config.read_bytes()).hexdigest()[:12]
    base = f"medsam2:{path}?config={config}&device=cpu"
    line = f"medsam2-1 weights={digest} size=512 device=cpu dtype=float32 threshold=0"
    assert get_segmenter(base).fingerprint == line
    assert get_segmenter(f"{base}&batch=1").fingerprint == f"{line} batch=1"
    other = tiny_sam.write_checkpoint(tmp_path, config, seed=1)
    lines = {get_segmenter(f"{base}{more}").fingerprint for more in ("&size=256", "&dtype=float16")}
    lines |= {get_segmenter(f"medsam2:{other}?config={config}").fingerprint, line}
    assert len(lines) == 4


def test_a_checkpoint_s_hash_is_that_of_its_file(tmp_path):
    path = tmp_path / "tiny.pt"
    torch.save({"model": build_model(get_published_config("sam2.1", "t"), 512).state_dict()}, path)
    assert f"weights={hashlib.sha256(path.read_bytes()).hexdigest()[:12]} " in get_segmenter(f"sam2:{path}").fingerprint


def test_a_missing_package_names_what_to_install(tmp_path, monkeypatch, config):
    path = tiny_sam.write_checkpoint(tmp_path, config)
    folder = tiny_sam.write_sam_folder(tmp_path)
    for absent, name, remedy in (
        ("sam2", f"medsam2:{path}", "sam2==1.1.0"),
        ("omegaconf", f"sam2:{path}?config={config}", "hydra-core iopath"),
        ("transformers", f"sam:{folder}", r"\.\[models\]"),
    ):
        monkeypatch.setitem(sys.modules, absent, None)
        with pytest.raises(MissingExtra, match=remedy):
            get_segmenter(name)


def test_without_torch_the_name_says_what_to_install(tmp_path):
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from ibisagent.tools.segmenters import get_segmenter\n"
        "get_segmenter('disk')\n"
        "try: get_segmenter('sam:a')\n"
        "except ImportError as error: print(error)"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert (ran.stdout, ran.stderr) == (
        "torch is not installed; run in a clone of ibisagent: pip install -e '.[models]' -c constraints.txt\n",
        "",
    )
