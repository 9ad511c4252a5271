"""The wheel, which an editable install does not exercise: everything is in it and it runs from elsewhere."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("tools", "agent", "training", "evals", "ui")


@pytest.mark.slow
def test_the_wheel_holds_every_module_and_runs(tmp_path):
    source = tmp_path / "source"
    subprocess.run(["git", "clone", "--quiet", ROOT, source], check=True)
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        tmp_path,
        source,
    ]
    subprocess.run(build, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        archive.extractall(tmp_path / "installed")
    wanted = [path.relative_to(source) for folder in FOLDERS for path in (source / folder).rglob("*.py")]
    assert {f"ibisagent/{path.as_posix()}" for path in wanted} <= names
    assert "ibisagent/agent/prompts/default.toml" in names
    assert not any(name.split("/")[0] in FOLDERS for name in names)
    code = (
        "import ibisagent.ui.doctor as d; assert 'installed' in d.__file__, d.__file__; d.run_doctor();"
        "from ibisagent.agent.prompting import load_prompts; load_prompts()"
    )
    clean = {"PYTHONPATH": str(tmp_path / "installed"), "PATH": "", "OMP_NUM_THREADS": "1"}
    ran = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=clean, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert "geocut: " in ran.stdout
