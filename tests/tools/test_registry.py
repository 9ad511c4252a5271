"""Names: which may be opened out of data, which run code, and where that code is looked for."""

import re
import sys
from pathlib import Path

import pytest
from support.third_party import SEGMENTER_NAME, SPY_NAME, forget, write_segmenter, write_spy

from ibisagent.tools.errors import InputError
from ibisagent.tools.segmenters import get_segmenter
from ibisagent.tools.segmenters.registry import recorded_segmenter_name

ROOT = Path(__file__).parents[2]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A current folder that is not on the module path."""
    forget(monkeypatch)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("geocut", None),
        ("disk", None),
        ("medsam2", "recorded with 'medsam2': name its weights, as in --segmenter medsam2:FILE"),
        ("medsam2:weights.pt", "name its weights, as in --segmenter medsam2:FILE"),
        ("sam:owner/model?device=cpu", "name its weights, as in --segmenter sam:ID"),
        (SPY_NAME, "got 'spy:Spy', which names code; expected one of geocut, .*; name it yourself, as in --segmenter "),
        (f"{SPY_NAME}?a=\nb", "which names code; .* as in --segmenter spy:Spy$"),
        ("spy.part:Spy", "which names code"),
        ("threshold", "segmenter 'threshold': expected one of geocut"),
        ("", "recorded with another segmenter: segmenter '': expected one of geocut.*; name it with --segmenter"),
    ],
)
def test_a_recorded_name_opens_what_ships_alone(name, said, here, monkeypatch):
    trace = write_spy(here)
    monkeypatch.syspath_prepend(here)
    if said is None:
        assert recorded_segmenter_name(name) == name
    else:
        with pytest.raises(InputError, match=said) as caught:
            recorded_segmenter_name(name)
        assert "\n" not in str(caught.value)
    assert not trace.exists()


def test_a_class_in_the_current_folder_is_found_behind_all_that_is_installed(here):
    write_segmenter(here)
    (here / "colorsys.py").write_text("raise SystemExit('the one of the current folder')")
    assert get_segmenter(f"{SEGMENTER_NAME}?tolerance=7").fingerprint == "threshold-1 tolerance=7.0"
    assert sys.path[-1] == str(here)
    with pytest.raises(InputError, match="no class 'C'"):
        get_segmenter("colorsys:C")


def test_the_current_folder_is_left_out_until_code_in_it_is_named(here):
    before = list(sys.path)
    assert get_segmenter("disk").fingerprint == "disk-1 radius=0.05"
    with pytest.raises(InputError, match="got no module 'absent'"):
        get_segmenter("absent.part:C")
    assert sys.path == before


def test_names_run_code_in_one_place():
    """A dotted name is imported where the operator's names are opened, and nowhere else."""
    files = [path for folder in ("tools", "agent", "evals", "training", "ui") for path in (ROOT / folder).rglob("*.py")]

    def using(words):
        return sorted(str(path.relative_to(ROOT)) for path in files if re.search(words, path.read_text()))

    assert using(r"\.import_class\(") == [
        "agent/policies/registry.py",
        "agent/proposers/registry.py",
        "tools/segmenters/registry.py",
    ]
