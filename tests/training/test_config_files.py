"""Training files of any kind: by a shipped name or a path, with overrides, their keys checked."""

from dataclasses import dataclass

import pytest

from ibisagent.tools.errors import InputError
from ibisagent.training.config_files import build_settings, list_shipped_configs, read_config_file

TYPES = {"base": str, "groups": int, "train": dict}


@dataclass(frozen=True)
class Rate:
    """Settings of another kind of training than those that ship."""

    rate: float = 0.5
    warm: bool = False

    def __post_init__(self):
        if self.rate < 0:
            raise ValueError("a rate is\n0 or more")


def test_a_file_of_another_kind_has_its_own_keys(tmp_path):
    (tmp_path / "plan.toml").write_text('base = "here"\n[train]\nrate = 0.25\n')
    file = read_config_file("other", tmp_path / "plan.toml", TYPES, ["groups=8", "train.warm=true"])
    assert file.table == {"base": "here", "groups": 8, "train": {"rate": 0.25, "warm": True}}
    assert file.folder == tmp_path
    assert build_settings(Rate, file.table["train"], "train") == Rate(0.25, True)
    assert build_settings(Rate, {}, "train", rate=0.75) == Rate(0.75)


def test_shipped_files_are_named_within_their_kind(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert list_shipped_configs("sft") == ["nano", "nano-qwen", "qwen2_5vl-7b"]
    assert list_shipped_configs("other") == []
    keys = {"save_fp16": bool, **dict.fromkeys(("from_scratch", "loss", "train"), dict)}
    keys |= {**dict.fromkeys(("profile", "mistakes", "attn_implementation"), str), "pack": int, "threads": int}
    assert read_config_file("sft", "nano", keys).table["pack"] == 5
    with pytest.raises(InputError, match=r"^nano: not a readable TOML file \(.*\); check the path"):
        read_config_file("other", "nano", TYPES)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("group=8", "plan.toml: group: got an unknown name, expected groups; correct it"),
        ("x=8", "plan.toml: x: got an unknown name, expected one of base, groups, train; correct it"),
        ("groups=true", "plan.toml: got groups=True, expected int; correct it"),
        ("groups", "--set groups: expected key=value"),
    ],
)
def test_wrong_keys_and_values_are_refused_in_a_line(change, said, tmp_path):
    (tmp_path / "plan.toml").touch()
    with pytest.raises(InputError) as refused:
        read_config_file("other", tmp_path / "plan.toml", TYPES, [change])
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"rat": 1}, r"^\[train\]: rat: got an unknown name, expected rate; correct it$"),
        ({"rate": "high"}, r"^\[train\]: got rate='high', expected a number or true or false; correct it$"),
        ({"rate": -1}, r"^\[train\]: got settings that Rate refuses \(a rate is 0 or more\); correct them$"),
    ],
)
def test_settings_that_do_not_fit_are_refused_in_a_line(table, said):
    with pytest.raises(InputError, match=said):
        build_settings(Rate, table, "train")
