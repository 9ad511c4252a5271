"""A small Ray cluster on this machine alone, and its workers."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

_ONE_MACHINE = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_agent_register_timeout_ms": "100000",
}
_HEAD = """
import sys, ray

ray.init("local", num_cpus=2, include_dashboard=False, object_store_memory=100 * 2**20, log_to_driver=False,
         _temp_dir=sys.argv[1])
print(ray.get_runtime_context().gcs_address, flush=True)
sys.stdin.read()
ray.shutdown()
"""


@contextmanager
def open_cluster(folder: Path, hidden: Path | None = None) -> Iterator[str]:
    """Yield the address of a cluster of two processors on loopback, which this process can connect to.

    ``hidden``: a folder in which its processes see files of their own alone, as those of another machine would.
    """
    if find_spec("ray") is None:
        pytest.skip("Ray is not installed")
    if os.environ.get("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER") != "0":
        assert "ray" not in sys.modules  # it reads this as it is imported
    os.environ.update(_ONE_MACHINE)
    command = [sys.executable, "-c", _HEAD, str(folder)]
    if hidden is not None:
        apart = [
            "unshare",
            "--mount",
            "--map-root-user",
            "sh",
            "-c",
            'mount -t tmpfs none "$0" && exec "$@"',
            str(hidden),
        ]
        if subprocess.run([*apart, "true"], capture_output=True).returncode:
            pytest.skip("a folder cannot be hidden from other processes here")
        command = apart + command
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as head:
        assert head.stdin is not None
        assert head.stdout is not None
        try:
            address = head.stdout.readline().strip()
            assert address, "the cluster did not start"
            yield address
        finally:
            head.stdin.close()


def worker_pids() -> list[int]:
    """List the processes of workers of `RayEngine`, busy or not."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "cmdline").read_bytes().startswith(b"ray::_Worker"):
                found.append(int(entry.name))
        except OSError:  # it has ended
            continue
    return found


def await_no_workers(seconds: float = 60) -> None:
    """Wait until no worker is left, which Ray ends in its own time; fail where one is."""
    until = time.monotonic() + seconds
    while left := worker_pids():
        assert time.monotonic() < until, left
        time.sleep(0.1)


def processes_below(folder: Path) -> list[str]:
    """List the processes whose command names a folder, as those of a Ray head do."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode() if entry.name.isdigit() else ""
        except OSError:
            continue
        if str(folder) in command:
            found.append(command)
    return found
