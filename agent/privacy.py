"""What keeps a run on this machine."""

import ipaddress
import os
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

__all__ = ["is_here", "kept_here"]


def is_here(url: str) -> bool:
    """Tell whether an address, with its scheme or without, is one of this machine's own.

    >>> is_here("http://127.0.0.1:8000/v1"), is_here("localhost:11434"), is_here("http://gpu.example.org/v1")
    (True, True, False)
    """
    try:
        host = urlsplit(url if "//" in url else f"//{url}").hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@contextmanager
def kept_here(local_only: bool) -> Iterator[None]:
    """Turn LangSmith's tracing off, which posts node inputs when its variables are set, the model hub, and proxies.

    The variables stay set, and the hub's are read when its package is imported: enter this before a model is opened.
    """
    if not local_only:
        yield
        return
    os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "NO_PROXY": "*", "no_proxy": "*"}
    from langsmith import tracing_context

    with tracing_context(enabled=False):
        yield
