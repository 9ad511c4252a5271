"""An engine of the runner on Ray: the same work in worker processes of one machine or of a cluster.

Each worker is a Ray actor that gets the work once and keeps what it loads, as a process of `map_unordered` does. Rows
and files come back to the caller, which alone writes them; local files that the work reads lie in a file system that
all nodes see under the same paths.
"""

import os
import pickle
import secrets
import shutil
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any, NamedTuple, TypeVar

from ibisagent.tools.errors import InputError, MissingExtra, describe_error
from ibisagent.tools.files import printable_text
from ibisagent.tools.jobs.process_pool import ONE_THREAD

__all__ = ["RayEngine"]

Job = TypeVar("Job")
Row = TypeVar("Row")

_MOST_DEATHS = 3  # of workers at one job, after which it gets the row of a crash
_MOST_STARTS = 3  # that fail one after the other
_SETTINGS = {"RAY_USAGE_STATS_ENABLED": "0", **ONE_THREAD}
_OWN_HEAD = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # on Linux too: one machine alone, on loopback
    "RAY_worker_niceness": "0",  # as the processes of `map_unordered`
    "RAY_agent_register_timeout_ms": "100000",  # on a busy machine Ray's own processes take long to start
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": secrets.token_hex(32),
}
_OBJECT_STORE = 200 * 2**20  # bytes; rows are small
_CRASHED = f"its worker died {_MOST_DEATHS} times (out of memory, a crash in native code, or lost nodes)"


class _Unit(NamedTuple):
    """Jobs for one worker; ``deaths``: of the workers that had them before."""

    jobs: Sequence[Any]
    deaths: int = 0


@dataclass
class RayEngine:
    """An `Engine` on Ray.

    ``address``: of a running cluster (`ray start --head`), None: a head of this call's own, on loopback, without
    dashboard and usage statistics, which ends with it. A worker asks for one CPU. The jobs of a worker that died are
    run again, each alone, until three workers died of it; ``deaths`` counts the workers. ``shared``: whether the work
    reads local files, so that every node must have the caller's folder.
    """

    address: str | None = None
    shared: bool = True
    deaths: int = field(default=0, init=False)

    def __call__(
        self,
        work: Callable[[Sequence[Job]], list[Row]],
        units: Iterable[Sequence[Job]],
        workers: int | None,
        on_crash: Callable[[Job, str], Row],
    ) -> Generator[list[Row], None, None]:
        """Yield each unit's rows as they come, in any order; closing the generator ends the workers.

        ``workers``: by default one for each CPU of the machine or the cluster. What ``work`` raises, this raises.
        `InputError` for a cluster that cannot be reached and for nodes on which the current folder is missing.
        """
        queue = iter(units)
        first = next(queue, None)
        if first is None:
            return
        MissingExtra.require("ray", "ray")
        with _connect(self.address, workers) as ray, closing(_Workers(ray, work, self.shared)) as pool:
            count = workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
            waiting = deque(_Unit(jobs) for jobs in chain([first], islice(queue, count - 1)))
            pool.start(len(waiting))
            while waiting or pool.running:
                pool.submit(waiting)
                unit, rows = pool.next_result(waiting)
                self.deaths += pool.take_deaths()
                yield from [rows] if rows is not None else _retry_or_give_up(unit, waiting, on_crash)
                waiting.extend(_Unit(jobs) for jobs in islice(queue, max(0, 1 - len(waiting))))


def _retry_or_give_up(
    unit: "_Unit", waiting: "deque[_Unit]", on_crash: Callable[[Job, str], Row]
) -> Iterator[list[Row]]:
    """Put each job of a unit whose worker died in the queue again, or make its row."""
    for job in unit.jobs:
        if unit.deaths + 1 < _MOST_DEATHS:
            waiting.append(_Unit((job,), unit.deaths + 1))
        else:
            yield [on_crash(job, _CRASHED)]


class _Workers:
    """Actors, each with one unit at a time, so that a death costs one unit and is counted against that one."""

    def __init__(self, ray: Any, work: Callable[[Any], list[Any]], shared: bool) -> None:
        """Start none yet; each will get the work and the caller's folder, which it must have if ``shared``."""
        self.running: dict[Any, tuple[Any, _Unit]] = {}
        self._ray, self._failed_starts, self._deaths = ray, 0, 0
        self._given = (ray.put(ray.cloudpickle.dumps(work)), os.getcwd(), list(sys.path), shared)
        self._actor = ray.remote(num_cpus=1, max_restarts=0)(_Worker)
        self._idle: list[Any] = []
        self._starting: dict[Any, Any] = {}

    def start(self, count: int) -> None:
        """Start so many workers more."""
        for _ in range(count):
            actor = self._actor.remote(*self._given)
            self._starting[actor.ready.remote()] = actor

    def submit(self, waiting: deque[_Unit]) -> None:
        """Take units from the left for the workers that have none."""
        while waiting and self._idle:
            actor, unit = self._idle.pop(), waiting.popleft()
            self.running[actor.run.remote(unit.jobs)] = (actor, unit)

    def next_result(self, waiting: deque[_Unit]) -> tuple[_Unit, list[Any] | None]:
        """Return a unit and its rows, None where its worker died; workers that begin meanwhile take from ``waiting``.

        Raises what the work raised.
        """
        while True:
            (done,), _ = self._ray.wait([*self.running, *self._starting], num_returns=1)
            if done in self._starting:
                self._finish_start(done)
                self.submit(waiting)
                continue
            actor, unit = self.running.pop(done)
            rows, died = self._result(done)
            if died is not None:
                self._deaths += 1
                self.start(1)
                return unit, None
            self._idle.append(actor)
            return unit, rows

    def take_deaths(self) -> int:
        """Return how many workers died since the last call."""
        deaths, self._deaths = self._deaths, 0
        return deaths

    def close(self) -> None:
        """End all workers at once."""
        for actor in (*self._idle, *self._starting.values(), *(actor for actor, _ in self.running.values())):
            with suppress(Exception):  # of an actor or a cluster that is gone already
                self._ray.kill(actor)

    def _finish_start(self, begun: Any) -> None:
        actor = self._starting.pop(begun)
        _, died = self._result(begun)
        if died is None:
            self._idle.append(actor)
            self._failed_starts = 0
            return
        self._deaths += 1
        self._failed_starts += 1
        if self._failed_starts >= _MOST_STARTS:
            remedy = "install the same ibisagent on every node, or free memory"
            raise InputError(
                f"got Ray workers that end as they start ({describe_error(died, 200)}); {remedy}"
            ) from died
        self.start(1)

    def _result(self, done: Any) -> tuple[Any, Exception | None]:
        """Return what a worker returned, or how it died; raise what the work raised there."""
        exceptions = self._ray.exceptions
        try:
            value, error = self._ray.get(done)
        except exceptions.RayTaskError:  # the value cannot be sent: a bug of the work's
            raise
        except exceptions.RayError as died:
            return None, died
        if error is not None:
            raise error
        return value, None


class _Worker:
    """An actor: the work, called in its own process with one unit at a time."""

    def __init__(self, work: bytes, folder: str, modules: Sequence[str], shared: bool) -> None:
        """Load the pickled work as the caller would: in its folder, with its places of modules.

        Without that folder it stays in Ray's own, unless local files are ``shared``.
        """
        self._work: Callable[[Any], list[Any]]
        self._error: Exception | None = None
        sys.path += [place for place in modules if place not in sys.path]
        try:
            os.chdir(folder)
        except OSError:
            if shared:
                got = f"{printable_text(folder)}: got a Ray node without this folder, expected the caller's"
                remedy = "mount one file system on every node under the same path, or name the data set by an address"
                self._error = InputError(f"{got}; {remedy}")
                return
        try:
            self._work = pickle.loads(work)
        except Exception as error:
            got = f"got a Ray worker that cannot load its work ({describe_error(error, 200)})"
            self._error = InputError(f"{got}, expected the caller's modules; install them on every node")

    def ready(self) -> tuple[None, Exception | None]:
        """Return as `run` does why this worker cannot work."""
        return None, self._error

    def run(self, jobs: Sequence[Any]) -> tuple[list[Any] | None, Exception | None]:
        """Return the rows of a unit, or what the work raised: as a value, since Ray would rewrite its text."""
        try:
            return self._work(jobs), None
        except Exception as error:
            return None, error


@contextmanager
def _connect(address: str | None, workers: int | None) -> Iterator[Any]:
    """Yield the module `ray`, connected to the cluster at ``address`` or to a head of its own."""
    with _environment(_SETTINGS if address else _SETTINGS | _OWN_HEAD):
        import ray

        folder = None if address else tempfile.mkdtemp(prefix="ray-", dir=_short_folder())
        own: dict[str, Any] = {"num_cpus": workers, "include_dashboard": False, "object_store_memory": _OBJECT_STORE}
        given = {} if address else own | {"_temp_dir": folder}
        try:
            _init(ray, address, given)
            yield ray
        finally:
            ray.shutdown()
            if folder:
                shutil.rmtree(folder, ignore_errors=True)


def _short_folder() -> str | None:
    """Return where Ray's folder is made: a socket's path has 107 bytes at most, of which Ray takes 78 below it."""
    usual = tempfile.gettempdir()
    return usual if len(os.fsencode(usual)) < 29 or not os.path.isdir("/tmp") else "/tmp"


def _init(ray: Any, address: str | None, given: Mapping[str, Any]) -> None:
    try:
        ray.init(address or "local", log_to_driver=False, configure_logging=False, logging_level="ERROR", **given)
    except Exception as error:  # Ray raises `Exception` itself for a head that is too slow
        got = f"no Ray cluster at {printable_text(address)}" if address else "a Ray head that does not start"
        remedy = "check --ray-address" if address else "free memory and processors, and run it again"
        raise InputError(f"got {got} ({describe_error(error, 200)}), expected one; {remedy}") from error
    own = ray.util.get_node_ip_address()
    if not address and not own.startswith("127."):  # Ray reads its environment as it is imported
        raise InputError(f"got a Ray head at {own}, expected one on loopback; do not import ray before this call")


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
