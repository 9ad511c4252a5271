"""Detect connections of a process and its children to other machines: a guard in Python, and strace if installed."""

import os
import re
import shutil
import sys
from pathlib import Path

GUARD = """
import os, socket

_HERE = ("127.", "::1", "localhost", "0.0.0.0", "::")

def _outside(host):
    host = host.decode() if isinstance(host, bytes) else host
    if host in (None, "") or str(host).startswith(_HERE):
        return False
    with open(os.environ["CONNECTS"], "a") as file:
        file.write(f"{host}\\\\n")
    return True

def _guarded(name):
    inner = getattr(socket.socket, name)
    def call(self, address, *rest):
        inet = self.family in (socket.AF_INET, socket.AF_INET6)
        if inet and isinstance(address, tuple) and _outside(address[0]):
            raise OSError("no network")
        return inner(self, address, *rest)
    setattr(socket.socket, name, call)

_guarded("connect")
_guarded("connect_ex")
_lookup = socket.getaddrinfo

def _getaddrinfo(host, *rest, **options):
    if _outside(host):
        raise socket.gaierror("no network")
    return _lookup(host, *rest, **options)

socket.getaddrinfo = _getaddrinfo
"""
_ADDRESS = re.compile(r'sin6?_port=htons\((\d+)\).*?(?:inet_addr\(|inet_pton\(AF_INET6, )"([^"]+)"')


class NetworkWatch:
    """Observes the processes that are started with its ``env`` and ``command``."""

    def __init__(self, folder: Path) -> None:
        (folder / "guard").mkdir(parents=True)
        (folder / "guard/sitecustomize.py").write_text(GUARD.replace("\\\\n", "\\n"))
        self.connects, self.calls = folder / "connects.txt", folder / "strace.txt"
        path = os.pathsep.join(filter(None, (str(folder / "guard"), os.environ.get("PYTHONPATH"))))
        self.env = {"PYTHONPATH": path, "CONNECTS": str(self.connects)}
        strace = shutil.which("strace")
        calls = ("-f", "-qq", "--seccomp-bpf", "-e", "trace=connect,sendto,sendmsg,sendmmsg", "-o", str(self.calls))
        self.command = [*((strace, *calls) if strace else ()), sys.executable]

    def outside(self) -> list[str]:
        """Return every address or name outside this machine that was contacted, and every query to a name server."""
        told = self.connects.read_text().splitlines() if self.connects.exists() else []
        lines = self.calls.read_text().splitlines() if self.calls.exists() else []
        found = [match.groups() for line in lines if (match := _ADDRESS.search(line))]
        return told + [f"{host}:{port}" for port, host in found if port == "53" or not host.startswith(("127.", "::1"))]
