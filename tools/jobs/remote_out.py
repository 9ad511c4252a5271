"""A run's folder at an address: it is written in a local folder, and uploaded from there while it grows.

An object store can neither append nor rename. What is uploaded goes on from any machine: records are there before the
rows that name them.
"""

import json
import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ibisagent.tools.errors import IbisError, InputError
from ibisagent.tools.files import atomic_write, make_folder, printable_text
from ibisagent.tools.remote_folder import RemoteFolder, is_address, open_folder, remote_errors, require_no_address

__all__ = ["open_out"]

_LEDGER = ".uploaded.json"
_ROWS = ".jsonl"  # what grows line by line
_BATCH = 256
_SECONDS = 60.0

Stamp = list[int]
"""A local file's size and time of change."""


@contextmanager
def open_out(
    out: str | os.PathLike[str], *, local_only: bool = False, every: float = _SECONDS
) -> Iterator[tuple[Path, str]]:
    """Yield the local folder of ``out``, and how to name it to a person: a path as it is, an address as its own folder.

    An address is first read, then uploaded to ``every`` so many seconds and at the end, also after an error. One
    machine at a time may write there. `InputError`: it cannot be opened, read or written, or ``local_only`` is set.
    """
    if not is_address(out):
        yield Path(out), str(Path(out))
        return
    require_no_address(out, local_only)
    remote = open_folder(os.fspath(out))
    make_folder(remote.folder)
    uploads = _Uploads(remote)
    uploads.require_writable()
    uploads.download()
    over = threading.Event()
    thread = threading.Thread(target=uploads.repeat, args=(over, every), name="ibisagent uploads", daemon=True)
    thread.start()
    try:
        yield remote.folder, str(remote)
    finally:
        over.set()
        thread.join()
        uploads.upload()


class _Uploads:
    """What of a local folder is at its address; a file in it keeps that from call to call."""

    def __init__(self, remote: RemoteFolder) -> None:
        self._remote, self._folder = remote, remote.folder
        self._system, self._root = remote.connect()
        self._done: dict[str, Stamp] = {}
        with suppress(OSError, ValueError):  # none yet, or torn: all of it is uploaded again
            self._done = json.loads((self._folder / _LEDGER).read_text(encoding="utf-8"))

    def require_writable(self) -> None:
        """Write a file of no bytes and delete it, before anything is computed."""
        with remote_errors(str(self._remote), "written"):
            self._system.makedirs(self._root, exist_ok=True)
            self._system.pipe_file(f"{self._root}/.ibisagent", b"")
            self._system.rm_file(f"{self._root}/.ibisagent")

    def download(self) -> None:
        """Make the local folder what is at the address, but for what was written here and not uploaded yet.

        A run that was deleted there is deleted here.
        """
        with remote_errors(str(self._remote), "read"):
            self._system.invalidate_cache()
            found = self._system.find(self._root, detail=True)
            sizes = {path[len(self._root) :].strip("/"): about["size"] for path, about in found.items()}
            here = self._list()
            for name in here.keys() - sizes.keys():
                if (self._done and not sizes) or here[name] == self._done.get(name):
                    (self._folder / name).unlink()
            wanted = [name for name in sizes if _is_kept(name) and not self._has(name, here.get(name), sizes[name])]
            for name in wanted:
                path = Path(os.path.normpath(self._folder / name))
                if path.is_relative_to(self._folder):
                    path.parent.mkdir(parents=True, exist_ok=True)
                    part = path.with_name(f".{path.name}.part")
                    self._system.get_file(f"{self._root}/{name}", str(part))
                    os.replace(part, path)
            here = self._list()
            self._done = {name: stamp for name, stamp in self._done.items() if name in sizes}
            self._done |= {name: here[name] for name in wanted if name in here}
            self._record()

    def _has(self, name: str, here: Stamp | None, size: int) -> bool:
        """Whether the local file counts: the one that was uploaded, or one that is still to be."""
        return here is not None and (here != self._done.get(name) or here[0] == size)

    def repeat(self, over: threading.Event, every: float) -> None:
        """Upload again and again until ``over``; a failure is left to the last upload."""
        pause = every
        while not over.wait(pause):
            begun = time.monotonic()
            with suppress(IbisError, OSError):
                self.upload()
            pause = max(every, 10 * (time.monotonic() - begun))

    def upload(self) -> None:
        """Upload what is new, rows as they were before the records beside them were listed, and delete what is gone."""
        try:
            with remote_errors(str(self._remote), "written"):
                self._upload()
        except InputError as error:
            kept = f"the run is kept in {printable_text(self._folder)}, and the same command uploads it"
            raise InputError(f"{error}; {kept}") from error
        finally:
            self._record()

    def _upload(self) -> None:
        before = self._list()
        rows = [name for name in before if name.endswith(_ROWS) and self._done.get(name) != before[name]]
        copies = {name: self._folder / f".{number}.copy" for number, name in enumerate(rows)}
        for name, copy in copies.items():
            shutil.copyfile(self._folder / name, copy)
        here = self._list()
        new = [name for name in here if not name.endswith(_ROWS) and self._done.get(name) != here[name]]
        for first in range(0, len(new), _BATCH):
            self._put({name: self._folder / name for name in new[first : first + _BATCH]}, here)
        self._put(copies, before)
        for copy in copies.values():
            copy.unlink()
        for name in self._done.keys() - here.keys():
            self._system.rm_file(f"{self._root}/{name}")
            del self._done[name]

    def _put(self, files: dict[str, Path], stamps: dict[str, Stamp]) -> None:
        if not files:
            return
        places = [f"{self._root}/{name}" for name in files]
        for parent in {place.rpartition("/")[0] for place in places}:
            self._system.makedirs(parent, exist_ok=True)
        self._system.put([str(path) for path in files.values()], places)
        self._done |= {name: stamps[name] for name in files}

    def _record(self) -> None:
        with atomic_write(self._folder / _LEDGER) as temporary:
            temporary.write_text(json.dumps(self._done), encoding="utf-8")

    def _list(self) -> dict[str, Stamp]:
        """Return the run's files, without what is being written."""
        found = {}
        for folder, _, names in os.walk(self._folder):
            for name in filter(_is_kept, names):
                path = Path(folder, name)
                with suppress(FileNotFoundError):
                    about = path.stat()
                    found[path.relative_to(self._folder).as_posix()] = [about.st_size, about.st_mtime_ns]
        return found


def _is_kept(name: str) -> bool:
    return (last := name.rpartition("/")[2]) == ".rows.jsonl" or not last.startswith(".")
