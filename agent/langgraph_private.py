"""All that the package takes from LangGraph's private parts, each with the public way that does not do it.

`tests/agent/test_langgraph_private.py` fails, naming the behaviour, when LangGraph moves or changes one of them.
"""

from dataclasses import replace
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph._internal._constants import CONFIG_KEY_RUNTIME, CONFIG_KEY_SCRATCHPAD
from langgraph.config import get_config
from langgraph.runtime import Runtime

# A node or a route with a synchronous and an asynchronous function, told the runtime and unseen by tracers. A plain
# function has one of the two; LangChain's `RunnableLambda` has both, but is passed no runtime and traces every call.
from langgraph.utils.runnable import RunnableCallable  # type: ignore[attr-defined]

__all__ = ["RunnableCallable", "numbered_run_config", "runtime_of"]

_FIRST_NUMBER = 1000  # past the numbers of whatever else runs in the same task


def runtime_of(config: RunnableConfig) -> Runtime[Any] | None:
    """Return a run's runtime from the configuration of a route, None where `update_state` routes on from a node.

    A ``runtime`` parameter raises there, and `langgraph.runtime.get_runtime` everywhere: a route is not called in the
    context of its run.
    """
    runtime: Runtime[Any] | None = config.get("configurable", {}).get(CONFIG_KEY_RUNTIME)
    return runtime


def numbered_run_config(number: int | None) -> RunnableConfig | None:
    """Return a configuration that numbers a nested run within the enclosing task, None without a number or a task.

    LangGraph numbers the graphs that a task runs in the order in which they begin, by a counter in the task's
    scratchpad. A `ToolNode` runs parallel calls in one task, so that a resumed call would go on with the checkpoints of
    whichever began in its place, and answer with the mask of another picture. A ``checkpoint_ns`` of the run's own does
    not help: the counter is appended to it.
    """
    if number is None:
        return None
    try:
        scratchpad: Any = get_config()["configurable"][CONFIG_KEY_SCRATCHPAD]
    except (KeyError, RuntimeError):
        return None
    numbered = replace(scratchpad, subgraph_counter=lambda: _FIRST_NUMBER + number)
    return {"configurable": {CONFIG_KEY_SCRATCHPAD: numbered}}
