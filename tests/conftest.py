"""Shared by all tests: no network but loopback, none of our folders under its literal name, small pictures."""

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["LANGSMITH_TRACING"] = "false"

import hypothesis
import numpy as np
import pytest
from numpy.typing import NDArray

hypothesis.settings.register_profile("any machine", deadline=None)  # a busy one takes ten times as long
hypothesis.settings.load_profile("any machine")

_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_FOLDERS = ("tools", "agent", "training", "evals", "ui")


@pytest.fixture(autouse=True)
def loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    connect = socket.socket.connect

    def checked(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in _LOOPBACK:
            raise AssertionError(f"a test reached for the network: {address}")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", checked)


@pytest.fixture(autouse=True)
def no_literal_names() -> Iterator[None]:
    yield
    wrong = [name for name in _FOLDERS if name in sys.modules]
    assert not wrong, f"imported under a literal name: {wrong}"


def ellipse(
    shape: tuple[int, int] = (96, 128),
    centre: tuple[float, float] = (40, 70),
    radii: tuple[float, float] = (20, 30),
) -> NDArray[np.bool_]:
    """An (H, W) bool ellipse; centre and radii as (row, column) in pixels."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    inside: NDArray[np.bool_] = ((y - centre[0]) / radii[0]) ** 2 + ((x - centre[1]) / radii[1]) ** 2 < 1
    return inside


@pytest.fixture
def truth() -> NDArray[np.bool_]:
    return ellipse()


@pytest.fixture
def pixels(truth: NDArray[np.bool_]) -> NDArray[np.uint8]:
    noise = np.random.default_rng(0).normal(0, 6, truth.shape)
    return np.clip(70 + 90 * truth + noise, 0, 255).astype(np.uint8)


@pytest.fixture
def cache_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return where this test keeps what it fetches."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"
