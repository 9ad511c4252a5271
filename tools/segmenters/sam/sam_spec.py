"""Specifications such as `medsam2:FILE?device=cuda&dtype=bfloat16`: a family, where its weights lie, and options."""

from dataclasses import dataclass, fields
from typing import Any

from ibisagent.tools.errors import InputError
from ibisagent.tools.registry import split_options
from ibisagent.tools.segmenters.registry import SEGMENTERS

__all__ = ["SamSpec", "parse_spec"]

_DTYPES = ("float32", "bfloat16", "float16")
_CHECKPOINTS = ("medsam2", "sam2")
_LARGEST_SIDE = 4096


@dataclass(frozen=True, slots=True)
class SamSpec:
    """A SAM-family segmenter as its name describes it.

    ``device``: torch's name; "" takes cuda where there is one, else cpu. ``dtype``: of the image encoder; prompts and
    masks are always decoded in float32. ``batch``: 1 gathers concurrent `predict` calls into one call of the decoder,
    which costs the bit-equality of runs. For checkpoint files only: ``size``, the side of the model's square input in
    pixels (0: 512 for MedSAM2, 1024 for SAM 2), and ``config``, the YAML file of an architecture of your own.
    """

    family: str
    source: str
    device: str = ""
    dtype: str = "float32"
    batch: bool = False
    size: int = 0
    config: str = ""

    @property
    def form(self) -> str:
        """The form in which such a name is written."""
        return SEGMENTERS.find(f"{self.family}:").form

    def build_error(self, got: str, expected: str) -> InputError:
        """Build the error for a fault in this name."""
        return InputError(f"segmenter {self.family}:{self.source}: got {got}, expected {expected}")


def parse_spec(name: str) -> SamSpec:
    """Read a name that begins with a family and a colon; `InputError` for an option that does not exist or fit.

    >>> parse_spec("medsam2:weights/MedSAM2_latest.pt?device=cpu&batch=1").batch
    True
    """
    family, _, rest = name.partition(":")
    source, options = split_options(rest)
    spec = SamSpec(family, source)
    if not source:
        raise spec.build_error("no weights", f"{spec.form}")
    given = {key: _parse_option(spec, key, value) for key, value in options}
    return SamSpec(family, source, **given)


def _parse_option(spec: SamSpec, name: str, value: str) -> Any:
    names = [field.name for field in fields(SamSpec)[2:]][: None if spec.family in _CHECKPOINTS else 3]
    if name not in names:
        raise spec.build_error(f"option {name!r}", f"one of {', '.join(names)}, as in ?device=cpu&dtype=float32")
    if name == "dtype" and value not in _DTYPES:
        raise spec.build_error(f"dtype={value}", f"one of {', '.join(_DTYPES)}")
    if name == "batch":
        return _parse_flag(spec, value)
    return _parse_side(spec, value) if name == "size" else value


def _parse_flag(spec: SamSpec, value: str) -> bool:
    if value not in ("0", "1"):
        raise spec.build_error(f"batch={value}", "0 or 1")
    return value == "1"


def _parse_side(spec: SamSpec, value: str) -> int:
    side = int(value) if value.isdecimal() and len(value) < 6 else 0
    if side <= 0 or side % 32 or side > _LARGEST_SIDE:
        raise spec.build_error(
            f"size={value}", f"a multiple of 32 up to {_LARGEST_SIDE}, the side that it was trained at"
        )
    return side
