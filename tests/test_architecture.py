"""The house: packaging, the direction of imports, quiet and light imports, examples that run."""

import ast
import doctest
import graphlib
import importlib
import importlib.util
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from itertools import permutations
from pathlib import Path

import pytest

from ibisagent.tools.errors import install_hint

ROOT = Path(__file__).parents[1]
FOLDERS = ("tools", "agent", "evals", "training", "ui")
MAY_IMPORT = {
    "tools": {"tools"},
    "agent": {"tools", "agent"},
    "evals": {"tools", "agent", "evals"},
    "training": {"tools", "agent", "evals", "training"},
    "ui": set(FOLDERS),
}


def modules():
    """Every module by its installed name, but the one that runs when it is imported."""
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            if parts[-1] == "__main__":
                continue
            yield ".".join(["ibisagent", *(parts[:-1] if parts[-1] == "__init__" else parts)])


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module


def ours_in(path):
    return (name for name in imported(path) if name.startswith("ibisagent."))


@pytest.mark.parametrize("folder", FOLDERS)
def test_imports_go_one_way(folder):
    for path in (ROOT / folder).rglob("*.py"):
        ours = {name.split(".")[1] for name in ours_in(path)}
        assert ours <= MAY_IMPORT[folder], f"{path.relative_to(ROOT)} imports {ours - MAY_IMPORT[folder]}"


def test_every_import_that_is_allowed_is_used():
    """What no folder needs is not allowed either: the table is the tree as it is."""
    found = {
        folder: {name.split(".")[1] for path in (ROOT / folder).rglob("*.py") for name in ours_in(path)}
        for folder in FOLDERS
    }
    assert found == MAY_IMPORT


TRANSPORTS = {"mcp", "gradio", "fastapi", "starlette", "uvicorn"}


def test_sessions_know_no_transport_and_an_interface_reaches_the_graph_by_way_of_them():
    for path in (ROOT / "ui" / "sessions").glob("*.py"):
        names = list(imported(path))
        assert not TRANSPORTS & {name.partition(".")[0] for name in names}, path
        assert not [name for name in names if name.startswith(("ibisagent.ui.mcp", "ibisagent.ui.cli"))], path
    loop = ("graph", "threads", "branches", "state", "checkpoints", "nodes", "stores", "trajectory")
    interfaces = [path for folder in ("mcp", "web") for path in (ROOT / "ui" / folder).glob("*.py")]
    assert len(interfaces) > 20
    for path in interfaces:
        names = list(imported(path))
        inner = [name for name in names if f"{name}.".startswith(tuple(f"ibisagent.agent.{part}." for part in loop))]
        assert inner + [name for name in names if name.startswith(("langgraph", "ibisagent.ui.cli"))] == [], path
        assert "build_graph" not in path.read_text(), path


def test_using_sessions_imports_no_transport():
    code = f"import ibisagent.ui.sessions.service, sys; sys.exit(bool({TRANSPORTS!r} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def imports_of(path, known):
    """The modules of ours that a module imports, also inside functions and for its types alone."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if name in known else node.module for name in names if {name, node.module} & known)


def test_what_trainings_share_needs_none_of_them():
    """Run folders, config files, rendering and the like are used by one kind of training without another's code.

    Arms compare the kinds: they use both, and nothing uses them.
    """
    kinds = ("sft", "grpo", "dpo")
    shared = [
        path
        for path in (ROOT / "training").rglob("*.py")
        if path.relative_to(ROOT / "training").parts[0] not in (*kinds, "arms")
    ]
    known = {"run_folder.py", "config_files.py", "model_folder.py", "renderer.py", "samples.py", "scoring.py"}
    assert known <= {path.name for path in shared}
    names = [name for path in shared for name in imported(path)]
    assert [name for name in names if name.startswith(tuple(f"ibisagent.training.{kind}" for kind in kinds))] == []
    for kind, other in permutations(kinds, 2):
        names = [name for path in (ROOT / "training" / kind).glob("*.py") for name in imported(path)]
        assert [name for name in names if name.startswith(f"ibisagent.training.{other}")] == []
    others = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py") if path.parent.name != "arms"]
    assert [path for path in others if any("training.arms" in name for name in imported(path))] == []


def test_a_reader_does_not_import_the_dispatcher_that_calls_it():
    """`open_image` chooses among the readers of tools/imaging, `read_dataset` among those of tools/datasets."""
    for folder, dispatcher in (("imaging", "open_image"), ("datasets", "__init__")):
        name = f"ibisagent.tools.{folder}.{dispatcher}".removesuffix(".__init__")
        readers = [path for path in (ROOT / "tools" / folder).rglob("*.py") if path.stem != dispatcher]
        assert len(readers) > 5
        assert [str(path) for path in readers if name in imports_of(path, {name})] == []


def test_no_module_imports_itself_by_way_of_others():
    paths = {name: Path(importlib.util.find_spec(name).origin) for name in modules()}
    graph = {name: set(imports_of(path, paths.keys())) - {name} for name, path in paths.items()}
    assert sum(map(len, graph.values())) > 500
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def definitions(kinds, *folders):
    for path in sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, kinds):
                yield path.relative_to(ROOT), node


def test_a_public_class_has_a_name_of_its_own():
    found = {}
    for path, node in definitions(ast.ClassDef, *FOLDERS, "examples", "tests"):
        if not node.name.startswith("_"):
            found.setdefault(node.name, []).append(f"{path}:{node.lineno}")
    assert len(found) > 200
    assert {name: places for name, places in found.items() if len(places) > 1} == {}


def test_a_docstring_begins_with_what_the_thing_does_or_is():
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    first = [
        (str(path), getattr(node, "lineno", 1), text.split()[0])
        for path, node in definitions(kinds, *FOLDERS, "examples", "tests", ".ci")
        if (text := ast.get_docstring(node))
    ]
    assert len(first) > 2000
    wrong = ("Give", "Gives", "Tell", "Tells", "Say", "Says")
    assert [place for place in first if place[2].strip(".,:;") in wrong] == []


def test_what_is_imported_is_declared():
    """By a dependency or an extra of our own, not by way of what another package happens to bring."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [*project["dependencies"], *(line for extra in project["optional-dependencies"].values() for line in extra)]
    declared = {re.match(r"[\w.-]+", line)[0].lower() for line in lines}
    brought = packages_distributions()
    for path in (path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")):
        names = {name.partition(".")[0] for name in imported(path)} - sys.stdlib_module_names - {"ibisagent"}
        missing = {name for name in names if not declared & {each.lower().replace("_", "-") for each in brought[name]}}
        assert not missing, f"{path.relative_to(ROOT)} imports {missing}"


def test_every_package_is_listed():
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    found = [path.parent.relative_to(ROOT) for folder in FOLDERS for path in (ROOT / folder).rglob("__init__.py")]
    assert sorted(listed) == sorted(".".join(["ibisagent", *path.parts]) for path in found)


def test_every_data_file_is_packaged():
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    globs = [(Path(*name.split(".")[1:]), glob) for name, some in listed.items() for glob in some]
    packaged = {path for folder, glob in globs for path in (ROOT / folder).glob(glob)}
    suffixes = {".toml", ".csv", ".j2", ".css", ".js", ".html", ".json", ".jinja", ".md", ".safetensors", ".typed"}
    data = {path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.suffix in suffixes}
    assert data == packaged


def test_type_checkers_are_told_that_the_packages_are_typed():
    assert [folder for folder in FOLDERS if not (ROOT / folder / "py.typed").is_file()] == []


@pytest.mark.parametrize("name", list(modules()))
def test_examples_in_docstrings_hold(name):
    module = importlib.import_module(name)
    assert module.__name__ == name
    assert doctest.testmod(module).failed == 0


def test_importing_the_agent_is_quiet_and_needs_no_torch(tmp_path):
    code = "import ibisagent.agent, sys; sys.exit(any(m in sys.modules for m in ('torch', 'transformers', 'gradio')))"
    ran = subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    assert not list(tmp_path.iterdir())


def test_no_machine_path_or_registry_host_in_the_tree():
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    wrong = re.compile(rb"/(home|root|work|opt|farm)/[a-z]|pypi\.org|files\.pythonhosted")
    found = [name for name in tracked if not name.endswith(".png") and _file(name) and wrong.search(_file(name))]
    assert [name for name in found if name != "tests/test_architecture.py"] == []


def _file(name):
    path = ROOT / name
    return path.read_bytes() if path.is_file() and not path.is_symlink() else b""


def test_a_hint_to_install_an_extra_names_one_and_the_clone():
    """No index has the project: what is told to be installed by its name would be somebody else's, or nothing."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    told = r"""(?:install_hint\(|MissingExtra\.require\(|MissingExtra\.of\([^,]+, )["'](\w+)["']"""
    named = set()
    for path in (path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")):
        text = path.read_text()
        assert "ibisagent[" not in text, path.relative_to(ROOT)
        assert "pip install ibisagent" not in text, path.relative_to(ROOT)
        named |= set(re.findall(told, text))
    assert {"models", "medical", "serve"} <= named <= extras.keys()
    assert install_hint("models") == "pip install -e '.[models]' -c constraints.txt"
