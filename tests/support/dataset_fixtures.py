"""A data-set folder of drawn pictures with two organs each."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from conftest import ellipse
from PIL import Image


def write_organ_dataset(folder: Path, pictures: int, column: str, fill: Callable[[int, str], str]) -> Path:
    """Write pictures (64, 64) of a liver and a spleen, and a polyp that is absent; return the folder.

    ``column``: a further column of the manifest, ``fill``: returns its text for a picture and a target.
    """
    for name in ("images", "masks"):
        (folder / name).mkdir()
    rng = np.random.default_rng(0)
    lines = [f"id,image,mask,target,{column},present"]
    for number in range(pictures):
        shapes = {
            "liver": ellipse((64, 64), (20 + number, 20), (12, 11)),
            "spleen": ellipse((64, 64), (40, 48 - number), (9, 8)),
        }
        pixels = 70 + 60 * shapes["liver"] + 110 * shapes["spleen"] + rng.normal(0, 6, (64, 64))
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(folder / f"images/{number}.png")
        for target, mask in shapes.items():
            files = f"images/{number}.png,masks/{number}-{target}.png"
            Image.fromarray(mask).save(folder / f"masks/{number}-{target}.png")
            lines.append(f"{number}-{target},{files},{target},{fill(number, target)},1")
        lines.append(f"{number}-polyp,images/{number}.png,,polyp,{fill(number, 'polyp')},0")
    (folder / "manifest.csv").write_text("\n".join(lines))
    return folder
