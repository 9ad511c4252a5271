"""README.md and docs/: every block runs, or says what it needs; links lead somewhere; the front page is one page."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.doc_blocks import PAGES, ROOT, Block, check, read_blocks, run_page
from support.third_party import forget

from ibisagent.ui.example_folder import write_example

BLOCKS = [block for page in PAGES for block in read_blocks(page)]
_LINK = re.compile(r"(?<!`)\[[^\]\n]*\]\((?P<target>[^)\s]+)\)")


def test_there_are_pages_and_blocks() -> None:
    assert len(PAGES) >= 25
    assert len(BLOCKS) >= 60


def test_the_readme_is_one_page() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 130


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.where)
def test_a_block_parses_and_names_what_exists(block: Block) -> None:
    check(block)


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("sh", "ibisagent segment a.png b --no-such-option"),
        ("sh", "ibisagent no-such-command"),
        ("sh", "ibisagent train sft --config"),
        ("sh", "accelerate launch -m ibisagent.ui train grpo --no-such-option"),
        ("sh", "make no-such-target"),
        ("sh", "pip install '.[no_such_extra]'"),
        ("sh", "python -m ibisagent.no.such.module"),
        ("python", "x = ("),
        ("toml", "x = "),
    ],
)
def test_a_wrong_block_is_found(language: str, text: str) -> None:
    with pytest.raises((AssertionError, ImportError, SyntaxError, ValueError)):
        check(Block("page.md", 1, language, text))


def test_few_blocks_are_not_run() -> None:
    """Those that need a GPU, weights or a network say so in their first line, and stand where that is the subject."""
    left_out = {block.where: block.needs for block in BLOCKS if block.needs is not None}
    assert 2 * len(left_out) < len(BLOCKS), left_out
    assert not {where for where in left_out if where.startswith(("docs/concepts", "docs/cli", "docs/python"))}


@pytest.mark.parametrize("page", PAGES)
def test_links_of_a_page_lead_somewhere(page: str) -> None:
    text = re.sub(r"^ *```.*?^ *```", "", (ROOT / page).read_text(), flags=re.M | re.S)
    for found in _LINK.finditer(text):
        path, _, anchor = found["target"].partition("#")
        if path.startswith(("https://", "http://", "mailto:")):
            continue
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.exists(), f"{page}: {found['target']}"
        if anchor:
            assert anchor in _anchors(target), f"{page}: {found['target']}"


def _anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def test_the_readme_s_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The front page's Python, on the example's pictures; the other pages run in the slow tests."""
    write_example(tmp_path)
    monkeypatch.chdir(tmp_path)
    blocks = [block for block in read_blocks("README.md") if block.language == "python"]
    assert blocks
    for block in blocks:
        exec(compile(block.text, block.where, "exec"), {})


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_a_page_runs_from_top_to_bottom(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder of the example's pictures, in which everything that the page makes is at hand further down."""
    folder = tmp_path / "page"
    write_example(folder)
    monkeypatch.chdir(folder)
    forget(monkeypatch)  # what a page imports from its folder
    run_page(page, folder)


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", tmp_path / "site"]
    ran = subprocess.run(build, cwd=ROOT, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "site" / "index.html").is_file()
