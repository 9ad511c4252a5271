"""What keeps a run on this machine."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["kept_here"]


@contextmanager
def kept_here(local_only: bool) -> Iterator[None]:
    """Turn LangSmith's tracing off, which posts node inputs when its variables are set, and the model hub.

    The hub reads its variables, which stay set, when its package is imported: enter this before a model is opened.
    """
    if not local_only:
        yield
        return
    os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    from langsmith import tracing_context

    with tracing_context(enabled=False):
        yield
