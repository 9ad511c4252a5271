"""A synthetic axial slice with a lesion, drawn from ellipses: for first steps, tests and the README's picture."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from ibisagent.agent import Backtrack, Click, ScriptedPolicy, Terminate, build_graph
from ibisagent.agent.actions import write_reply
from ibisagent.agent.episode import run_episode
from ibisagent.evals.contact_sheets import contact_sheet_of
from ibisagent.tools.imaging.open_image import open_image

__all__ = ["ExampleImage", "draw_example_image", "main"]


class ExampleImage(NamedTuple):
    """``pixels``: (H, W) uint8; ``truth``: the lesion, (H, W) bool."""

    pixels: NDArray[np.uint8]
    truth: NDArray[np.bool_]


# Grey value, centre and radii (x, y) in the unit square, and tilt in radians; later ones lie over earlier ones.
_ORGANS = (
    (64, (0.50, 0.52), (0.44, 0.36), 0.0),  # body
    (96, (0.50, 0.52), (0.41, 0.33), 0.0),  # muscle
    (74, (0.50, 0.50), (0.36, 0.28), 0.0),  # fat within
    (148, (0.31, 0.45), (0.17, 0.21), 0.35),  # liver
    (148, (0.44, 0.36), (0.15, 0.09), 0.1),  # its left lobe
    (140, (0.75, 0.50), (0.07, 0.14), -0.3),  # spleen
    (168, (0.66, 0.62), (0.06, 0.08), 0.3),  # left kidney
    (168, (0.36, 0.66), (0.06, 0.08), -0.3),  # right kidney
    (182, (0.54, 0.56), (0.035, 0.035), 0.0),  # aorta
    (214, (0.50, 0.70), (0.08, 0.065), 0.0),  # vertebra
    (50, (0.62, 0.36), (0.09, 0.06), 0.2),  # stomach
)
_LESION = (106, (0.29, 0.42), (0.065, 0.05), 0.6)


_SCRIPT = (
    write_reply("The liver is the large bright organ on the left. I click into it.", Click(0.36, 0.5)),
    write_reply("That took the whole liver; a darker, round lesion within it was asked for. I undo it.", Backtrack()),
    write_reply("The lesion is the dark oval in the upper part of the right lobe.", Click(0.285, 0.415)),
    write_reply("The green area follows the lesion's edge on all sides.", Terminate(), "One lesion in the right lobe."),
)


def _ellipse(
    size: int, centre: tuple[float, float], radii: tuple[float, float], tilt: float, wobble: float = 0.0
) -> NDArray[np.bool_]:
    y, x = (np.mgrid[:size, :size] + 0.5) / size
    x, y = x - centre[0], y - centre[1]
    u, v = x * np.cos(tilt) + y * np.sin(tilt), y * np.cos(tilt) - x * np.sin(tilt)
    edge = 1 + wobble * np.sin(3 * np.arctan2(v, u) + 1) + 0.6 * wobble * np.sin(5 * np.arctan2(v, u))
    return np.asarray(np.hypot(u / radii[0], v / radii[1]) < edge)


def draw_example_image(size: int = 256, seed: int = 0) -> ExampleImage:
    """Draw the slice, (``size``, ``size``): blurred as by a scanner, with noise by ``seed``."""
    rng = np.random.default_rng(seed)
    picture = np.full((size, size), 8.0)
    for grey, centre, radii, tilt in _ORGANS:
        picture[_ellipse(size, centre, radii, tilt, 0.01)] = grey
    grey, centre, radii, tilt = _LESION
    truth = _ellipse(size, centre, radii, tilt, 0.08)
    picture[truth] = grey
    texture = ndimage.gaussian_filter(rng.normal(0, 1, picture.shape), size / 64) * size / 4
    noisy = ndimage.gaussian_filter(picture + texture * 0.08, size / 256) + rng.normal(0, 5, picture.shape)
    return ExampleImage(np.clip(noisy, 0, 255).astype(np.uint8), truth)


def main() -> None:
    """Draw the README's contact sheet, docs/steps.png: a scripted run with a wrong first click that is undone."""
    pixels, truth = draw_example_image()
    image = open_image(pixels)
    graph = build_graph(ScriptedPolicy(_SCRIPT), "geocut")
    record = run_episode(graph, {"image": image, "request": "Segment the liver lesion."}, truth=truth)
    sheet = contact_sheet_of(record, image)
    smaller = sheet.resize((sheet.width * 3 // 5, sheet.height * 3 // 5), Image.Resampling.LANCZOS)
    flat = smaller.quantize(255, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    flat.save(Path("docs/steps.png"), optimize=True)


if __name__ == "__main__":
    main()
