"""What a client is told of files that it may not have opened."""

import os

import pytest
from PIL import Image
from support.mcp_servers import call, call_refused, over_stdio, run

GIB = 2**30


@pytest.fixture
def root(tmp_path, pixels):
    folder = tmp_path / "root"
    (folder / "inner").mkdir(parents=True)
    Image.fromarray(pixels).save(folder / "scan.png")
    Image.fromarray(pixels).save(tmp_path / "secret.png")
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    (folder / "here.png").symlink_to(folder / "scan.png")
    (folder / "up").symlink_to(tmp_path)
    (folder / "circle").symlink_to(folder / "circle")
    with (folder / "huge.png").open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        file.truncate(5 * GIB)
    return folder.resolve()


def test_a_client_is_told_so(root, tmp_path):
    wrong = {
        "../secret.png": "outside the folders",
        "link.png": "outside the folders",
        "huge.png": "5,120 MiB",
        "none.png": "no file",
        "inner": "",
    }

    async def ask():
        async with over_stdio("--policy", "centre", "--root", root) as client:
            told = {name: await call_refused(client, "segment", image=name, request="x") for name in wrong}
            masks = [
                await call_refused(client, "segment", image="scan.png", request="x", mask=mask)
                for mask in ("../secret.png", "link.png", "huge.png", {"size": [90000, 90000], "counts": "0"})
            ]
            await call(client, "segment", image="scan.png", request="x")
            return told, masks

    told, masks = run(ask)
    for name, words in told.items():
        assert wrong[name] in words
        assert "Traceback" not in words
        assert str(tmp_path) not in words
    assert all(words.startswith("mask: ") for words in masks)
    assert [("outside" in words, "MiB" in words) for words in masks] == [(True, False)] * 2 + [
        (False, True),
        (False, False),
    ]
    assert os.stat(root / "huge.png").st_size == 5 * GIB
