"""Shared by all tests: no network but loopback, none of our folders under its literal name, small pictures."""

import os
import socket
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["LANGSMITH_TRACING"] = "false"

import numpy as np
import pytest

_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_FOLDERS = ("tools", "agent", "training", "evals", "ui")


@pytest.fixture(autouse=True)
def loopback_only(monkeypatch):
    connect = socket.socket.connect

    def checked(self, address):
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in _LOOPBACK:
            raise AssertionError(f"a test reached for the network: {address}")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", checked)


@pytest.fixture(autouse=True)
def no_literal_names():
    yield
    wrong = [name for name in _FOLDERS if name in sys.modules]
    assert not wrong, f"imported under a literal name: {wrong}"


def ellipse(shape=(96, 128), centre=(40, 70), radii=(20, 30)):
    """An (H, W) bool ellipse; centre and radii as (row, column) in pixels."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    return ((y - centre[0]) / radii[0]) ** 2 + ((x - centre[1]) / radii[1]) ** 2 < 1


@pytest.fixture
def truth():
    return ellipse()


@pytest.fixture
def pixels(truth):
    noise = np.random.default_rng(0).normal(0, 6, truth.shape)
    return np.clip(70 + 90 * truth + noise, 0, 255).astype(np.uint8)
