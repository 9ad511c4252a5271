"""A third party's policy and segmenter by their dotted names, through the command line, a data set and a server."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.dataset_fixtures import write_organ_dataset
from support.mcp_servers import call, call_refused, over_stdio
from support.mcp_servers import run as run_client
from support.third_party import POLICY_NAME, SEGMENTER_NAME, SPY_NAME, forget, write_policy, write_segmenter, write_spy

from ibisagent.agent import build_graph
from ibisagent.tools.masks.rle import decode
from ibisagent.ui.cli import run_commands
from ibisagent.ui.cli.app import main

ROOT = Path(__file__).parents[2]
BEGIN = ("-P", "-m", "ibisagent.ui")  # as the installed command: the current folder is not on the module path


@pytest.fixture
def folder(tmp_path, pixels):
    write_policy(tmp_path)
    write_segmenter(tmp_path)
    Image.fromarray(pixels).save(tmp_path / "scan.png")
    return tmp_path


def command(*arguments, cwd, begin=BEGIN):
    called = [sys.executable, *begin, *map(str, arguments)]
    return subprocess.run(called, cwd=cwd, capture_output=True, text=True, stdin=subprocess.DEVNULL)


@pytest.mark.slow
def test_segment_and_replay_take_them(folder, pixels):
    named = ("--policy", POLICY_NAME, "--segmenter", f"{SEGMENTER_NAME}?tolerance=45")
    ran = command("segment", "scan.png", "x", *named, "--out", "o", cwd=folder)
    assert (ran.returncode, ran.stderr) == (0, "")
    record = json.loads((folder / "o/trajectory.json").read_text())
    written = [record[key] for key in ("policy", "segmenter", "segmenter_name")]
    assert written == ["brightest", "threshold-1 tolerance=45.0", "threshold"]
    assert np.array_equal(decode(record["targets"][0]["mask"]), np.abs(pixels - float(pixels.max())) <= 45)
    refused = command("replay", "o/trajectory.json", cwd=folder)
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "segmenter 'threshold': expected one of" in refused.stderr
    assert "name it with --segmenter" in refused.stderr
    again = command("replay", "o/trajectory.json", *named[2:], cwd=folder)
    assert (again.returncode, "every mask equal bit for bit" in again.stdout) == (0, True)


@pytest.mark.slow
def test_eval_spreads_them_over_processes_and_goes_on(folder):
    (folder / "data").mkdir()
    write_organ_dataset(folder / "data", 2, "modality", lambda number, target: "MR")
    line = ("eval", "data", "--policy", POLICY_NAME, "--segmenter", SEGMENTER_NAME, "--no-baselines", "--out", "out")
    ran = command(*line, "--workers", 2, "--local-only", cwd=folder)
    assert ran.returncode == 2
    assert "does not say is_local = True" in ran.stderr
    ran = command(*line, "--workers", 2, cwd=folder)
    assert ran.returncode == 0, ran.stderr
    rows = (folder / "out/rows.jsonl").read_bytes()
    told = [json.loads(row) for row in rows.splitlines()]
    assert len(told) == 6
    summary = json.loads((folder / "out/summary.json").read_text())
    assert [(run["policy"], run["segmenter"], run["done"]) for run in summary["runs"]] == [
        (POLICY_NAME, SEGMENTER_NAME, 6)
    ]
    again = command(*line, "--workers", 2, cwd=folder)
    assert (again.returncode, (folder / "out/rows.jsonl").read_bytes()) == (0, rows)
    changed = (folder / "my_segmenter.py").read_text().replace("threshold-1", "threshold-2")
    (folder / "my_segmenter.py").write_text(changed)
    refused = command(*line, cwd=folder)
    assert refused.returncode == 2
    assert "threshold-2" in refused.stderr


@pytest.mark.slow
def test_a_server_starts_with_them_and_prints_nothing_among_its_messages(folder, pixels, monkeypatch):
    monkeypatch.chdir(folder)
    named = ("--policy", POLICY_NAME, "--segmenter", SEGMENTER_NAME, "--root", folder)
    quiet = command("mcp", *named, cwd=folder)
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "my_segmenter is imported\n")

    async def ask():
        async with over_stdio(*named, begin=(*BEGIN, "mcp")) as client:
            _, told = await call(client, "segment", image="scan.png", request="x")
            return told

    told = run_client(ask)
    assert (told["found"], told["stop"]) == (True, "terminated")
    forget(monkeypatch)
    same = build_graph(POLICY_NAME, SEGMENTER_NAME).invoke({"image": pixels, "request": "x"})
    assert told["measurements"]["area_px"] == decode(same["mask"]).sum()


def test_no_message_names_code(folder, monkeypatch):
    trace = write_spy(folder)
    monkeypatch.chdir(folder)

    async def ask():
        async with over_stdio("--policy", "centre", "--root", folder, begin=("-m", "ibisagent.ui", "mcp")) as client:
            right = {"image": "scan.png", "request": "x"}
            refused = [
                await call_refused(client, "segment", **right | {wrong: SPY_NAME})
                for wrong in ("policy", "segmenter", "image", "mask", "slice", "window")
            ]
            _, told = await call(client, "segment", image="scan.png", request=SPY_NAME)
            return refused, told

    refused, told = run_client(ask)
    assert [wrong.count("\n") for wrong in refused] == [0] * 6
    assert told["stop"] == "terminated"
    assert not trace.exists()


@pytest.mark.slow
def test_no_record_no_manifest_and_no_settings_name_code(folder):
    trace = write_spy(folder)
    plainly = ("-m", "ibisagent.ui")  # the current folder is on the module path
    command("segment", "scan.png", "x", "--policy", "centre", "--segmenter", "disk", "--out", "o", cwd=folder)
    record = json.loads((folder / "o/trajectory.json").read_text())
    for name in (SPY_NAME, f"{SPY_NAME}?a=b"):
        named = dict.fromkeys(("segmenter", "segmenter_name", "policy"), name)
        (folder / "o/changed.json").write_text(json.dumps(record | named))
        ran = command("replay", "o/changed.json", cwd=folder, begin=plainly)
        assert (ran.returncode, ran.stderr.count("\n")) == (2, 1)
        assert "which names code" in ran.stderr
    (folder / "data").mkdir()
    write_organ_dataset(folder / "data", 1, "policy,segmenter,request", lambda *_: ",".join([SPY_NAME] * 3))
    line = ("eval", "data", "--policy", "centre", "--segmenter", "disk", "--no-baselines", "--out", "out")
    ran = command(*line, "--workers", 1, cwd=folder, begin=plainly)
    assert ran.returncode == 0, ran.stderr
    settings = json.loads((folder / "out/settings.json").read_text())
    settings["policies"][SPY_NAME] = settings["segmenters"][SPY_NAME] = None
    (folder / "out/settings.json").write_text(json.dumps(settings))
    ran = command(*line, "--workers", 1, cwd=folder, begin=plainly)
    assert ran.returncode == 0, ran.stderr
    assert not trace.exists()
    command("segment", "scan.png", "x", "--policy", "centre", "--segmenter", SPY_NAME, cwd=folder)
    assert trace.exists()  # it would have been seen


@pytest.mark.parametrize("name", ["nano", "vllm:http://127.0.0.1:9/v1#model", "openai:some-model", POLICY_NAME])
def test_a_policy_s_name_crosses_at_most_eight_files_to_its_policy(name, folder, monkeypatch):
    """From the command line to the object that completes; what runs after that only reports the name."""
    files = set()

    def trace(frame, event, argument):
        path = frame.f_code.co_filename
        if f"{ROOT}{os.sep}" not in path or "site-packages" in path:
            return None
        if name in [value for value in frame.f_locals.values() if isinstance(value, str)]:
            files.add(os.path.relpath(path, ROOT))
        return trace

    forget(monkeypatch)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    monkeypatch.setattr(run_commands, "run_case", lambda *arguments: sys.settrace(None))
    monkeypatch.setattr(sys, "argv", ["ibisagent", "segment", "scan.png", "x", "--policy", name])
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        with pytest.raises(SystemExit) as caught:
            main()
    finally:
        sys.settrace(before)
    assert caught.value.code == 0
    assert {"ui/cli/run_commands.py", "agent/policies/registry.py", "tools/registry.py"} < files
    assert len(files) <= 8, sorted(files)


WRONG = {
    "absent_module:C": "got no module 'absent_module', installed or in the current folder",
    "json:Nothing": "got no class 'Nothing' in that module",
    "json:dumps": "got no class 'dumps' in that module",
    "json:JSONDecoder": "got a class without act, aact; derive it from",
    "wrong_a:Raising": "it cannot be made (ZeroDivisionError: division by zero)",
    "wrong_a:Leaving": "it cannot be made (SystemExit: 3)",
    "wrong_a:Nameless": "got one without name (str)",
    "wrong_a:Wanting": "it needs the option 'depth'; add ?depth=VALUE",
    "wrong_a:Wanting?deep=3": "got the option 'deep', expected depth",
    "wrong_a:Knowing": "it needs the true mask",
    "wrong_b:C": "its module cannot be imported (SyntaxError",
    "wrong_c:C": "its module cannot be imported (ModuleNotFoundError: No module named 'absent_part')",
}
WRONG_MODULE = """
from ibisagent.agent.policies import SyncPolicy
class Raising(SyncPolicy):
    def __init__(self): 1 / 0
class Leaving(SyncPolicy):
    def __init__(self): raise SystemExit(3)
class Nameless(SyncPolicy):
    name = None
class Wanting(SyncPolicy):
    def __init__(self, depth, seed): pass
class Knowing(SyncPolicy):
    def __init__(self, truth): pass
class NoFingerprint:
    embed = predict = predict_many = prior_from_mask = print
"""


@pytest.fixture
def wrong_modules(tmp_path, pixels, monkeypatch):
    Image.fromarray(pixels).save(tmp_path / "scan.png")
    (tmp_path / "wrong_a.py").write_text(WRONG_MODULE)
    (tmp_path / "wrong_b.py").write_text("def\n")
    (tmp_path / "wrong_c.py").write_text("import absent_part\n")
    forget(monkeypatch)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("options", "said"),
    [
        *((["--policy", name], words) for name, words in WRONG.items()),
        (["--policy", "wrong_a:Wanting?depth=3", "--local-only"], "does not say is_local = True"),
        (["--policy", "none", "--segmenter", "wrong_a:Raising"], "got a class without embed, predict"),
        (
            ["--policy", "centre", "--segmenter", "wrong_a:NoFingerprint"],
            "got one without fingerprint (str), calibrated",
        ),
        (
            ["--policy", "centre", "--segmenter", "wrong_a:NoFingerprint", "--local-only"],
            "does not say is_local = True",
        ),
    ],
)
def test_a_wrong_class_is_one_line_and_exit_code_2(options, said, wrong_modules, capsys, monkeypatch):
    for name in ("HF_HUB_OFFLINE", "HF_HUB_DISABLE_TELEMETRY", "NO_PROXY", "no_proxy"):  # --local-only sets them
        monkeypatch.setenv(name, "1")
    given = ["--click", "+0.5,0.5"] if "none" in options else []
    monkeypatch.setattr(sys, "argv", ["ibisagent", "segment", "scan.png", "x", "--out", "o", *options, *given])
    with pytest.raises(SystemExit) as caught:
        main()
    shown = capsys.readouterr()
    assert caught.value.code == 2
    assert said in shown.err
    assert (shown.out, shown.err.count("\n")) == ("", 1)
    assert not (wrong_modules / "o").exists()
