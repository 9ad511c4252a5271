"""The files that work makes beside its rows: they come back with the rows, and the caller alone writes them.

So a worker needs no place that the caller sees, and what is written of a case lies there before its row does.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ibisagent.tools.errors import InputError
from ibisagent.tools.files import describe_os_error, printable_text

__all__ = ["JobOutput", "write_files"]


class JobOutput(NamedTuple):
    """A row, and the contents of its files by their paths from the run's folder, with forward slashes."""

    row: dict[str, Any]
    files: Mapping[str, bytes]


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files below a folder, each whole or not at all when this process is killed; `InputError` where it fails.

    What a killed process was writing has a name of its own, and is written over when the run is resumed.
    """
    for name, content in files.items():
        path = folder / name
        part = path.with_name(f".{path.name}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            part.write_bytes(content)
            os.replace(part, path)
        except OSError as error:
            got = f"could not be written ({describe_os_error(error)})"
            raise InputError(f"{printable_text(path)}: {got}; free disk space or choose another --out") from error
