"""The engines of the runner by name."""

from ibisagent.tools.errors import InputError, MissingExtra
from ibisagent.tools.jobs.job_runner import Engine
from ibisagent.tools.jobs.process_pool import map_unordered
from ibisagent.tools.jobs.ray_engine import RayEngine

__all__ = ["ENGINES", "get_engine"]

ENGINES = ("processes", "ray")


def get_engine(name: str, ray_address: str | None = None, *, shared: bool = True) -> Engine:
    """Return the engine of a name in `ENGINES`; ``ray_address``: of a running cluster, None starts one here.

    ``shared``: whether the work reads local files, which every node must see.

    `InputError` for another name, and for an address of an engine that has none; `MissingExtra` without Ray.
    """
    if name not in ENGINES:
        raise InputError(f"got engine {name[:40]!r}, expected one of {', '.join(ENGINES)}; choose one")
    if name == "ray":
        MissingExtra.require("ray", "ray")
        return RayEngine(ray_address, shared)
    if ray_address is not None:
        raise InputError(f"got a Ray address for engine {name!r}, expected it for ray alone; add --engine ray")
    return map_unordered
