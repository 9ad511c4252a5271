"""Data-set folders of five kinds, all read into the same rows: one `Case` for each target in each picture."""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from ibisagent.tools.datasets import biomedparse, coco, cvpr, manifest, nnunet
from ibisagent.tools.datasets.case import Case
from ibisagent.tools.datasets.manifest import write_manifest
from ibisagent.tools.datasets.names import assign_ids
from ibisagent.tools.errors import InputError
from ibisagent.tools.files import describe_os_error, local_path, printable_text
from ibisagent.tools.masks.label_maps import SliceChoice
from ibisagent.tools.remote_folder import is_address, open_folder, require_no_address

__all__ = ["KINDS", "Case", "read_dataset", "write_manifest"]

_MODULES = {"native": manifest, "nnunet": nnunet, "biomedparse": biomedparse, "coco": coco, "cvpr": cvpr}
KINDS = {kind: str(module.LAYOUT) for kind, module in _MODULES.items()}
"""Each kind of folder, and what it is recognised by; the first that fits is taken."""


def read_dataset(
    folder: str | os.PathLike[str],
    *,
    kind: str | None = None,
    split: str | None = None,
    slices: SliceChoice = "largest",
    channel: int = 0,
    local_only: bool = False,
) -> list[Case]:
    """Read a data set's rows, sorted by id; the pictures stay closed, and what is wrong with one shows when it opens.

    ``kind`` is one of `KINDS`, by default the first that the folder looks like. Of a labelled volume (nnU-Net, CVPR)
    each label gives the slice that shows most of it, or with ``slices="all"`` every slice that shows it; choosing
    decodes every label file, so keep the rows of a large set by `write_manifest`. ``channel`` picks nnU-Net's picture.
    A folder of no kind, without rows, or without rows of ``split`` is an `InputError`.

    ``folder`` is a path, or an address that fsspec opens, such as ``s3://bucket/set``: of the native kind, its
    ``manifest.csv`` read at once and each picture and mask when it is opened. With ``local_only`` an address is an
    `InputError`.
    """
    if slices not in ("largest", "all"):
        raise InputError(f"got slices={slices!r}, expected 'largest' or 'all'; choose one")
    require_no_address(folder, local_only)
    read = _read_remote(os.fspath(folder), kind) if is_address(folder) else _read_local(folder, kind, slices, channel)
    cases = sorted(read, key=lambda case: case.id)
    chosen = [case for case in cases if split in (None, case.split)]
    if not chosen:
        splits = ", ".join(sorted({repr(case.split) for case in cases}))
        got = f"no row of split {split!r}, expected one of {splits}" if cases else "no row, expected at least one"
        name = printable_text(open_folder(os.fspath(folder)) if is_address(folder) else folder)
        raise InputError(f"{name}: got {got}; check the data set")
    return chosen


def _read_remote(address: str, kind: str | None) -> list[Case]:
    if kind not in (None, "native"):
        remedy = "write a manifest.csv for it (`write_manifest`), or download it"
        raise InputError(f"got kind={kind[:40]!r} of an address, expected native; {remedy}")
    remote = open_folder(address)
    remote.fetch(remote.folder / manifest.LAYOUT)
    return [replace(case, remote=remote) for case in manifest.read(remote.folder, listed=False)]


def _read_local(folder: str | os.PathLike[str], kind: str | None, slices: SliceChoice, channel: int) -> list[Case]:
    path = local_path(folder)
    if not path.is_dir():
        raise InputError(f"{printable_text(path)}: got no folder, expected a data set's; check the path")
    try:
        return list(_read(path, kind or _detect_kind(path), slices, channel))
    except OSError as error:
        got = f"could not be read ({describe_os_error(error)})"
        raise InputError(f"{printable_text(path)}: {got}, expected a readable folder; check it") from None


def _detect_kind(folder: Path) -> str:
    found = next((kind for kind, module in _MODULES.items() if module.is_match(folder)), None)
    if found is None:
        looked_for = "; ".join(f"{files} ({kind})" for kind, files in KINDS.items())
        raise InputError(
            f"{printable_text(folder)}: got a folder of no known kind, expected {looked_for}; check the path"
        )
    return found


def _read(folder: Path, kind: str, slices: SliceChoice, channel: int) -> Iterable[Case]:
    readers: dict[str, Callable[[], Iterator[Case]]] = {
        "nnunet": lambda: nnunet.read(folder, slices, channel),
        "biomedparse": lambda: biomedparse.read(folder),
        "coco": lambda: coco.read(folder),
        "cvpr": lambda: cvpr.read(folder, slices),
    }
    if kind == "native":
        return manifest.read(folder)
    if kind not in readers:
        raise InputError(f"got kind={kind[:40]!r}, expected one of {', '.join(KINDS)}; choose one")
    return assign_ids(readers[kind]())
