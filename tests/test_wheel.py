"""The wheel, which an editable install does not exercise: everything is in it and it runs from elsewhere."""

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("tools", "agent", "training", "evals", "ui")


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel of what is committed, and the sources that it was built from."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    subprocess.run(["git", "clone", "--quiet", ROOT, source], check=True)
    told = ["--quiet", "--no-deps", "--no-build-isolation", "-w", folder, source]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *told], check=True)
    (built,) = folder.glob("*.whl")
    return built, source


def test_the_wheel_holds_every_module_and_runs(wheel, tmp_path):
    built, source = wheel
    with zipfile.ZipFile(built) as archive:
        names = set(archive.namelist())
        archive.extractall(tmp_path / "installed")
    wanted = [path.relative_to(source) for folder in FOLDERS for path in (source / folder).rglob("*.py")]
    assert {f"ibisagent/{path.as_posix()}" for path in wanted} <= names
    assert "ibisagent/agent/prompts/default.toml" in names
    assert not any(name.split("/")[0] in FOLDERS for name in names)
    code = (
        "import ibisagent.ui.cli.doctor as d; assert 'installed' in d.__file__, d.__file__; d.run_doctor();"
        "from ibisagent.agent.prompting import load_prompts; load_prompts()"
    )
    clean = {"PYTHONPATH": str(tmp_path / "installed"), "PATH": "", "OMP_NUM_THREADS": "1"}
    ran = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=clean, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert "geocut: " in ran.stdout


def test_a_user_s_type_checker_sees_the_types_of_the_wheel(wheel, tmp_path):
    venv.create(tmp_path / "env", with_pip=False)
    (packages,) = (tmp_path / "env").rglob("site-packages")
    with zipfile.ZipFile(wheel[0]) as archive:
        archive.extractall(packages)
    user = tmp_path / "user.py"
    user.write_text("from ibisagent.tools.clicks import Click\n\nreveal_type(Click(0.5, 0.5).x)\nClick('0.5', 0.5)\n")
    python = ["--python-executable", next(path for path in (tmp_path / "env").glob("*/python*") if path.is_file())]
    ran = subprocess.run(
        [sys.executable, "-m", "mypy", *python, "--config-file", "", "--cache-dir", tmp_path / "cache", user],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert 'Revealed type is "float"' in ran.stdout.replace("builtins.", ""), ran.stdout
    assert 'Argument 1 to "Click" has incompatible type "str"; expected "float"' in ran.stdout
    assert "py.typed" not in ran.stdout


@pytest.fixture(scope="module")
def distributions(wheel, tmp_path_factory):
    """An sdist, and the wheel that is built from it."""
    folder = tmp_path_factory.mktemp("dist")
    told = ["--no-isolation", "--outdir", folder, wheel[1]]
    subprocess.run([sys.executable, "-m", "build", *told], check=True, capture_output=True)
    (sdist,), (built,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return sdist, built


def test_the_index_would_take_sdist_and_wheel_which_hold_the_same(distributions, wheel):
    check = [sys.executable, "-m", "twine", "check", "--strict", *distributions]
    ran = subprocess.run(check, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    held = [set(zipfile.ZipFile(path).namelist()) for path in (distributions[1], wheel[0])]
    assert held[0] == held[1]


def test_the_wheel_installs_in_a_bare_environment_and_runs(distributions, tmp_path):
    """Installed by pip without an index; what it needs is borrowed from this environment, by path."""
    environment = tmp_path / "env"
    venv.create(environment, with_pip=True)
    python, program = environment / "bin/python", environment / "bin/ibisagent"
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", distributions[1]], check=True)
    (packages,) = environment.rglob("site-packages")
    (packages / "borrowed.pth").write_text("\n".join(path for path in sys.path if path.endswith("site-packages")))
    for words in (
        ["--version"],
        ["example", "."],
        ["segment", "scan.png", "The lesion.", "--click", "+0.285,0.415", "--segmenter", "geocut", "--out", "run"],
        ["segment", "spleen.png", "Segment the spleen.", "--out", "nano"],
    ):
        ran = subprocess.run([program, *words], cwd=tmp_path, env={"PATH": ""}, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "nano/mask.png").is_file()
    code = "import ibisagent.agent as a; print(a.__file__)"
    where = subprocess.run([python, "-c", code], cwd=tmp_path, env={"PATH": ""}, capture_output=True, text=True)
    assert Path(where.stdout.strip()).is_relative_to(packages)
