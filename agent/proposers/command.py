"""A program as a proposer: it is given the picture as a file and the request, and writes a mask on the same grid."""

import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import nibabel as nib
import numpy as np

from ibisagent.agent.policies.options import PolicyOptions
from ibisagent.agent.proposers.base import Proposal
from ibisagent.tools.errors import InputError
from ibisagent.tools.imaging.grids import Mask
from ibisagent.tools.imaging.medical_image import MedicalImage
from ibisagent.tools.masks.reading import read_mask

__all__ = ["CommandProposer", "open_command"]

_SECONDS = 300.0
_ENDINGS = (".nii.gz", ".nii", ".png")


@dataclass(frozen=True, slots=True)
class CommandProposer:
    """Runs ``line`` without a shell, in an empty folder that is then deleted.

    ``{image}`` becomes the path of a NIfTI file, (W, H, 1), the values of the picture (HU for CT) or its grey levels,
    with the identity as affine: pixels alone, nothing of a header. ``{out}`` becomes the path for the mask: not 0 is
    inside; ``{out}.png`` and ``{out}.nii.gz`` choose its form, ``{out}`` alone is a ``.nii.gz``. ``{text}`` becomes the
    request. The program has ``seconds``; it fails by an exit code other than 0.
    """

    line: str
    seconds: float = _SECONDS

    def __post_init__(self) -> None:
        """Raise `InputError` for a line that lacks a placeholder or cannot be split."""
        try:
            parts = shlex.split(self.line)
        except ValueError as error:
            raise InputError(f"propose: got a command that cannot be split ({error}); correct its quotes") from error
        if lacking := [name for name in ("{image}", "{out}") if not any(name in part for part in parts)]:
            raise InputError(
                f"propose: got a command without {lacking[0]}, expected COMMAND {{image}} {{out}} {{text}}"
            )

    @property
    def name(self) -> str:
        """The program's file name."""
        return f"command:{Path(shlex.split(self.line)[0]).name}"

    def propose(self, image: MedicalImage, request: str) -> Proposal:
        """Run the program; `InputError` where it fails, is late, or writes no mask on the picture's grid."""
        with TemporaryDirectory(prefix="ibisagent-") as folder:
            picture, out = Path(folder) / "image.nii.gz", Path(folder) / "mask"
            _write_picture(picture, image)
            self._run([self._fill(part, picture, out, request) for part in shlex.split(self.line)], folder)
            return Proposal(_read(out, image), None, self.name)

    @staticmethod
    def _fill(part: str, picture: Path, out: Path, request: str) -> str:
        if "{out}" in part and not any(f"{{out}}{ending}" in part for ending in _ENDINGS):
            part = part.replace("{out}", "{out}.nii.gz")
        places = {"{image}": str(picture), "{out}": str(out), "{text}": request}
        pieces = [part]
        for name, value in places.items():  # values are not looked through again: a request may hold "{out}"
            pieces = [new for piece in pieces for new in _split(piece, name, value)]
        return "".join(str(piece) for piece in pieces)

    def _run(self, arguments: list[str], folder: str) -> None:
        try:
            subprocess.run(
                arguments, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, timeout=self.seconds, check=True
            )
        except subprocess.TimeoutExpired:
            raise InputError(f"{self.name}: got no mask within {self.seconds:g} s; make it faster") from None
        except subprocess.CalledProcessError as error:
            last = error.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
            said = f" ({last[0][:200]})" if last else ""
            raise InputError(f"{self.name}: got exit code {error.returncode}{said}, expected 0; correct it") from None
        except OSError as error:
            raise InputError(f"{self.name}: it cannot be started ({error.strerror}); correct the command") from None


class _Done(str):
    """A piece in which nothing more is replaced."""


def _split(piece: str, name: str, value: str) -> list[str]:
    if isinstance(piece, _Done) or name not in piece:
        return [piece]
    parts = piece.split(name)
    filled = [each for part in parts for each in (part, _Done(value))]
    return filled[:-1]


def _write_picture(path: Path, image: MedicalImage) -> None:
    values = image.values if image.values is not None else image.pixels
    grey = values.mean(axis=2) if values.ndim == 3 else values
    nifti: Any = nib.Nifti1Image
    nib.save(nifti(np.asarray(grey, np.float32).T[..., None], np.eye(4)), path)


def _read(out: Path, image: MedicalImage) -> Mask:
    written = [path for ending in _ENDINGS if (path := out.with_name(out.name + ending)).is_file()]
    if not written:
        raise InputError("got no file at {out}, expected a mask; write it there")
    if written[0].suffix == ".png":
        return read_mask(written[0], image)
    try:
        voxels = np.asanyarray(nib.load(written[0]).dataobj)  # type: ignore[attr-defined]
    except Exception as error:
        raise InputError(f"got a mask that cannot be read ({type(error).__name__}), expected NIfTI or PNG") from error
    height, width = image.shape
    if voxels.shape not in ((width, height, 1), (width, height)):
        raise InputError(f"got a mask of {voxels.shape} voxels, expected {(width, height, 1)}, the picture's grid")
    return np.asarray(voxels.reshape(width, height).T != 0)


def open_command(name: str, options: PolicyOptions) -> CommandProposer:
    """Return the proposer of ``command:LINE`` or ``local-command:LINE``."""
    del options
    return CommandProposer(name.partition(":")[2])
