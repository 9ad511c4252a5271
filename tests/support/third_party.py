"""A third party's policy and segmenter, each a class in a file of its own outside the package."""

import re
import sys
from pathlib import Path

import pytest

SEGMENTER = '''
"""A segmenter that takes what is about as bright as what was clicked."""

from dataclasses import dataclass

import numpy as np

from ibisagent.tools.clicks import Click, click_to_pixel
from ibisagent.tools.segmenters import Prediction, predict_one_by_one

print("my_segmenter is imported")


class Threshold:
    name = "threshold"
    calibrated = False

    def __init__(self, tolerance="30"):
        self.tolerance = float(tolerance)

    @property
    def fingerprint(self):
        return f"threshold-1 tolerance={self.tolerance}"

    def embed(self, pixels):
        return pixels.astype(float) if pixels.ndim == 2 else pixels.mean(axis=2)

    def predict(self, embedding, prompts, prior):
        mask = np.zeros(embedding.shape, bool) if prior is None else prior.copy()
        for click in prompts:
            if isinstance(click, Click):
                close = np.abs(embedding - embedding[click_to_pixel(click, mask.shape)]) <= self.tolerance
                mask = mask | close if click.positive else mask & ~close
        mask.setflags(write=False)
        return Prediction(mask, None, mask)

    def predict_many(self, queries):
        return predict_one_by_one(self, queries)

    def prior_from_mask(self, embedding, mask):
        return mask
'''
POLICY_NAME, SEGMENTER_NAME = "my_policy:Brightest", "my_segmenter:Threshold"
SPY_NAME = "spy:Spy"
_ROOT = Path(__file__).parents[2]


def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take modules of a third party and their folders off this process, now and after the test."""
    monkeypatch.setattr(sys, "path", [each for each in sys.path if each])
    for name in ("my_policy", "my_segmenter", "spy", "wrong_a", "wrong_b", "wrong_c"):
        monkeypatch.setitem(sys.modules, name, None)  # what the test leaves there goes as well
        del sys.modules[name]


def write_policy(folder: Path) -> None:
    """Write ``my_policy.py``: the policy of docs/extending.md."""
    blocks = re.findall(r"```python\n(.*?)```", (_ROOT / "docs/extending.md").read_text(), re.DOTALL)
    [text] = [block for block in blocks if "class Brightest" in block]
    (folder / "my_policy.py").write_text(text)


def write_segmenter(folder: Path) -> None:
    """Write ``my_segmenter.py``, which prints when it is imported."""
    (folder / "my_segmenter.py").write_text(SEGMENTER)


def write_spy(folder: Path) -> Path:
    """Write ``spy.py``, which leaves a file when it is imported; return that file."""
    trace = folder / "imported"
    (folder / "spy.py").write_text(f"open({str(trace)!r}, 'w').close()\nclass Spy: pass\n")
    return trace
