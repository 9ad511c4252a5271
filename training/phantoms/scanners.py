"""What scanners add to a slice: of CT a window, grainy noise and streaks, of MR a coil's bias and Rician noise."""

import numpy as np

from ibisagent.training.phantoms.canvas import Field, PhantomCanvas, blur
from ibisagent.training.phantoms.noise import gaussian_noise

__all__ = ["receive_mr", "scan_ct"]

Window = tuple[float, float]
"""Centre and width in Hounsfield units."""


def scan_ct(k: PhantomCanvas, window: Window, noise: float, body: Field, *, sharp: float = 0.5) -> Field:
    """Return Hounsfield units blurred, with noise of the deviation ``noise`` inside ``body``, in a window of 0..255.

    The noise has the grain of filtered back projection (little at low frequencies) and streaks from side to side.
    """
    rng, size = k.rng, k.size
    rows = int(rng.integers(170, 340))
    coarse = rng.uniform(0.3, 0.9)
    grain = gaussian_noise(rng, size, rows, rows) - np.float32(coarse) * gaussian_noise(rng, size, rows // 3, rows // 3)
    streaks = gaussian_noise(rng, size, int(rng.integers(90, 200)), int(rng.integers(4, 9)))
    depth = np.float32(0.3) + np.float32(0.85) * body
    image = blur(k.image, (sharp + rng.uniform(0, 0.5)) * k.px)
    image = image + np.float32(noise) * depth * (grain + np.float32(max(rng.uniform(-0.4, 0.5), 0)) * streaks * body)
    centre, width = window
    return np.asarray((image - np.float32(centre - width / 2)) * np.float32(255 / width), np.float32)


def receive_mr(k: PhantomCanvas, noise: float, bias: float, *, white: float = 1.0) -> Field:
    """Return a magnitude picture, 0..255, of signal 0..``white``; noise and bias are shares of ``white``.

    Low matrix, a little ringing of sharp edges, a smooth coil bias, Rician noise.
    """
    rng, size = k.rng, k.size
    matrix = int(rng.integers(130, 260))
    image = blur(k.image, rng.uniform(0.35, 0.9) * k.px)
    if rng.random() < 0.5:
        image = image + np.float32(rng.uniform(0.1, 0.5)) * (image - blur(image, 1.3 * k.px))
    coil = k.smooth_field(2) + 0.5 * k.smooth_field(3)
    image = image * np.exp(np.float32(bias) * np.clip(coil - coil.mean(), -2.5, 2.5))
    real, imaginary = (np.float32(noise * white) * gaussian_noise(rng, size, matrix, matrix) for _ in range(2))
    return np.asarray(np.hypot(np.clip(image, 0, None) + real, imaginary) * np.float32(255 / white), np.float32)
