"""What keeps a run on this machine."""

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["untraced"]


@contextmanager
def untraced(local_only: bool) -> Iterator[None]:
    """Turn tracing off, which would otherwise post node inputs to LangSmith when its variables are set."""
    if not local_only:
        yield
        return
    from langsmith import tracing_context

    with tracing_context(enabled=False):
        yield
