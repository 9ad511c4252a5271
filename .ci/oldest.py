"""Print our direct dependencies at the lower bounds of pyproject.toml, as pip's constraints, but torch as it is pinned.

An older torch brings other builds of CUDA along, several gigabytes each; what none of our own code imports stays free.
"""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
UNTOUCHED = {"torch", "ibisagent", "mypy", "ruff", "scipy-stubs", "vllm", "gradio"}

project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
named = [*project["dependencies"], *(each for extra in project["optional-dependencies"].values() for each in extra)]
for each in dict.fromkeys(named):
    name, bound = re.match(r"([\w.-]+)(?:\[[\w,]+\])?(?:[>=]=([\d.]+))?", each).groups()
    if bound is not None and name not in UNTOUCHED:
        print(f"{name}=={bound}")
print(*re.findall(r"^torch==.*", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
