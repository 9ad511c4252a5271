"""`ibisagent example`: the pictures of the documentation, with their true masks, and a small data set."""

from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.data import get_testdata_file
from scipy import ndimage

from ibisagent.tools.errors import InputError
from ibisagent.tools.files import atomic_write, printable_text
from ibisagent.tools.imaging.png import encode_png
from ibisagent.training.phantoms import draw
from ibisagent.ui.example_image import draw_example_image
from ibisagent.ui.run_folder import make_folder

__all__ = [
    "ExamplePhantom",
    "draw_unseen_phantom",
    "find_fundus_photograph",
    "load_scan_with_lesion",
    "write_example",
]

SCAN = "examples_overlay.dcm"
PHOTOGRAPH = "retina.jpg"
# The overlay plane also holds text and a scale; the outline of the lesion lies in these rows and columns.
_OUTLINE = np.s_[139:174, 46:81]
_UNSEEN = {  # modality, seed, target; training's seeds are lower
    "spleen": ("ct_abdomen", 10_000_000, "spleen"),
    "corrected": ("ct_abdomen", 10_000_039, "spleen"),
    "polyp": ("endoscopy", 10_000_001, "polyp"),
    "nuclei": ("fluorescence", 10_000_008, "nuclei"),
}

_MANIFEST = "id,target,modality,present\nscan,liver lesion,MR,1\nspleen,spleen,CT,1\npolyp,polyp,endoscopy,0\n"


class ExamplePhantom(NamedTuple):
    """A phantom outside every training set: ``pixels`` (H, W) or (H, W, 3) uint8, ``truth`` (H, W) bool."""

    pixels: NDArray[np.uint8]
    truth: NDArray[np.bool_]


def draw_unseen_phantom(name: str) -> ExamplePhantom:
    """Draw the picture for "spleen" or "nuclei", in which they are present, or for "polyp", in which it is absent.

    "corrected": a spleen that nano finds from a wrong mask and from a wrong click; in other pictures it often does not.
    """
    modality, seed, target = _UNSEEN[name]
    phantom = draw(modality, seed)
    return ExamplePhantom(phantom.image, phantom.masks.get(target, np.zeros(phantom.image.shape[:2], np.bool_)))


def find_fundus_photograph() -> Path:
    """Return the path of a real photograph of a retina, 1411 x 1411 in colour, that scikit-image ships."""
    path = Path(str(files("skimage.data"))) / PHOTOGRAPH
    if not path.is_file():
        raise InputError(f"{PHOTOGRAPH}: this scikit-image does not ship it; install 0.25 from the package index")
    return path


def load_scan_with_lesion() -> tuple[Path, NDArray[np.bool_]]:
    """Return the path of a real MR scan and its liver lesion, (H, W) bool: the circle drawn by a person, filled."""
    path = get_testdata_file(SCAN, download=False)
    if path is None:
        raise InputError(f"{SCAN}: this pydicom does not ship it; install pydicom 3 from the package index")
    plane = dcmread(path).overlay_array(0x6000).astype(np.bool_)
    outline = np.zeros_like(plane)
    outline[_OUTLINE] = plane[_OUTLINE]
    return Path(path), ndimage.binary_fill_holes(outline)


def write_example(folder: Path) -> list[Path]:
    """Write all of it into ``folder``, and return the paths; `InputError` rather than replace another file."""
    scan, circled = load_scan_with_lesion()
    nuclei = draw_unseen_phantom("nuclei")
    contents: dict[str, bytes] = {"mri.dcm": scan.read_bytes(), "mri-truth.png": encode_png(circled, level=6)}
    contents |= {
        "nuclei.png": encode_png(nuclei.pixels, level=6),
        "nuclei-truth.png": encode_png(nuclei.truth, level=6),
    }
    for name, picture in (
        ("scan", ExamplePhantom(*draw_example_image())),
        ("spleen", draw_unseen_phantom("spleen")),
        ("polyp", draw_unseen_phantom("polyp")),
    ):
        contents[f"{name}.png"] = contents[f"dataset/images/{name}.png"] = encode_png(picture.pixels, level=6)
        if picture.truth.any():
            truth = "truth.png" if name == "scan" else f"{name}-truth.png"
            contents[truth] = contents[f"dataset/masks/{name}.png"] = encode_png(picture.truth, level=6)
    contents["dataset/manifest.csv"] = _MANIFEST.encode()
    for name, content in contents.items():
        _require_free(folder / name, content)
    for part in (".", "dataset/images", "dataset/masks"):
        make_folder(folder / part)
    for name, content in contents.items():
        with atomic_write(folder / name) as temporary:
            temporary.write_bytes(content)
    return [folder / name for name in contents]


def _require_free(path: Path, content: bytes) -> None:
    if path.exists() and not (path.is_file() and path.read_bytes() == content):
        raise InputError(f"{printable_text(path)}: got another file of this name, expected none; name another folder")
