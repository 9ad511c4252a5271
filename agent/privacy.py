"""Keep a run's data on this machine."""

import ipaddress
import os
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

__all__ = ["disable_tracing", "is_loopback", "restrict_to_local"]


def is_loopback(url: str) -> bool:
    """Whether an address, with its scheme or without, is this machine.

    >>> is_loopback("http://127.0.0.1:8000/v1"), is_loopback("localhost:11434"), is_loopback("http://gpu.example.org/v1")
    (True, True, False)
    """
    try:
        host = urlsplit(url if "//" in url else f"//{url}").hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@contextmanager
def restrict_to_local(local_only: bool) -> Iterator[None]:
    """Disable LangSmith's tracing, which posts node inputs when its variables are set, the model hub, and proxies.

    The variables stay set, and the hub's are read when its package is imported: enter this before loading a model.
    """
    if not local_only:
        yield
        return
    os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "NO_PROXY": "*", "no_proxy": "*"}
    from langsmith import tracing_context

    with tracing_context(enabled=False):
        yield


def disable_tracing() -> None:
    """Disable LangSmith's tracing for the whole process, whatever its variables say."""
    import langsmith

    langsmith.configure(enabled=False)
