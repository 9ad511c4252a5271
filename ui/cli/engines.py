"""The engine that a command over a data set runs on, and what it has to tell at the end."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from rich.console import Console

from ibisagent.tools.datasets import Case
from ibisagent.tools.errors import InputError
from ibisagent.tools.jobs.engines import get_engine
from ibisagent.tools.jobs.job_runner import Engine
from ibisagent.tools.jobs.ray_engine import RayEngine

__all__ = ["open_engine", "picture_fetcher"]


@contextmanager
def open_engine(name: str, ray_address: str | None, *, shared: bool = True) -> Iterator[Engine]:
    """Yield an engine by name (`get_engine`); at the end a line on stderr counts its workers that died, if any did."""
    engine = get_engine(name, ray_address, shared=shared)
    try:
        yield engine
    finally:
        if isinstance(engine, RayEngine) and engine.deaths:
            count = f"{engine.deaths} worker{'s' if engine.deaths > 1 else ''} died"
            Console(stderr=True).print(f"{count}; what they were working on was run again", soft_wrap=True)


def picture_fetcher(cases: Sequence[Case]) -> Callable[[str], None]:
    """Return what brings the picture of a case, given its id, from a remote data set, if it can be had."""
    known = {case.id: case for case in cases}

    def fetch(id: str) -> None:
        with suppress(InputError):  # it is drawn on grey then
            known[id].fetch_image()

    return fetch
