"""The engine that a command over a data set runs on, and what it has to tell at the end."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

from ibisagent.tools.jobs.engines import get_engine
from ibisagent.tools.jobs.job_runner import Engine
from ibisagent.tools.jobs.ray_engine import RayEngine

__all__ = ["open_engine"]


@contextmanager
def open_engine(name: str, ray_address: str | None) -> Iterator[Engine]:
    """Yield an engine by name; at the end a line on stderr counts its workers that died, if any did."""
    engine = get_engine(name, ray_address)
    try:
        yield engine
    finally:
        if isinstance(engine, RayEngine) and engine.deaths:
            count = f"{engine.deaths} worker{'s' if engine.deaths > 1 else ''} died"
            Console(stderr=True).print(f"{count}; what they were working on was run again", soft_wrap=True)
