"""What an exported file records of how its mask was made."""

from dataclasses import dataclass
from importlib.metadata import version

__all__ = ["Provenance"]


@dataclass(frozen=True, slots=True)
class Provenance:
    """``target``: what the mask shows, in words, or the request; ``clicked``: a person clicked or drew, too.

    ``algorithm`` and ``version`` name what made it. Only DICOM-SEG has a place for any of this.
    """

    target: str = ""
    interactive: bool = False
    algorithm: str = "ibisagent"
    version: str = version("ibisagent")
