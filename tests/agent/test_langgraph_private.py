"""What the package takes from LangGraph's private parts does what it is taken for; each failure names the behaviour."""

import ast
import asyncio
from pathlib import Path
from typing import Any, Literal

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime
from typing_extensions import TypedDict

from ibisagent.agent.langgraph_private import RunnableCallable, numbered_run_config, runtime_of
from ibisagent.agent.normalizing_graph import InputNormalizingGraph

ROOT = Path(__file__).parents[2]
THREAD: RunnableConfig = {"configurable": {"thread_id": "1"}}


class Words(TypedDict, total=False):
    said: str


class Context(TypedDict, total=False):
    word: str


def test_private_names_are_taken_in_one_file_alone():
    allowed = ROOT / "agent/langgraph_private.py"
    for folder in ("tools", "agent", "evals", "training", "ui"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("langgraph"):
                    parts = (node.module or "").split(".")
                    private = any(part.startswith("_") or part == "utils" for part in parts)
                    assert not private or file == allowed, f"{file} imports from {node.module}; do so in {allowed}"


class Seen(BaseCallbackHandler):
    def __init__(self) -> None:
        self.names: list[str] = []

    def on_chain_start(self, serialized: Any, inputs: Any, **about: Any) -> None:
        self.names.append(about["name"])


def test_a_callable_has_two_functions_and_the_runtime_and_is_not_traced():
    def say(state: Words, runtime: Runtime[Context]) -> Words:
        return {"said": f"sync {runtime.context['word']}"}

    async def asay(state: Words, runtime: Runtime[Context]) -> Words:
        return {"said": f"async {runtime.context['word']}"}

    graph = StateGraph(Words, context_schema=Context)
    graph.add_node("say", RunnableCallable(say, asay, name="inner", trace=False))
    compiled = graph.add_edge(START, "say").add_edge("say", END).compile()
    seen = Seen()
    assert compiled.invoke({}, {"callbacks": [seen]}, context={"word": "on"}) == {"said": "sync on"}
    assert seen.names == ["LangGraph", "say"]  # and no third, which trace=True would add
    assert asyncio.run(compiled.ainvoke({}, context={"word": "on"})) == {"said": "async on"}


def route(state: Words, config: RunnableConfig) -> Literal["second", "__end__"]:
    runtime = runtime_of(config)
    return END if runtime is None else runtime.context["word"]  # type: ignore[no-any-return]


async def aroute(state: Words, config: RunnableConfig) -> Literal["second", "__end__"]:
    return route(state, config)


def routed_graph() -> Any:
    graph = StateGraph(Words, context_schema=Context)
    graph.add_node("first", lambda state: {"said": "first"})
    graph.add_node("second", lambda state: {"said": "second"})
    graph.add_edge(START, "first")
    graph.add_conditional_edges("first", RunnableCallable(route, aroute, name="route", trace=False))
    return graph.compile(checkpointer=InMemorySaver())


def test_a_callable_as_a_route_names_its_ends_by_its_annotation():
    drawn = routed_graph().get_graph()
    assert {edge.target for edge in drawn.edges if edge.source == "first"} == {"second", "__end__"}


def test_a_route_finds_the_runtime_in_its_configuration():
    graph = routed_graph()
    assert graph.invoke({}, THREAD, context={"word": "second"}) == {"said": "second"}
    assert asyncio.run(graph.ainvoke({}, THREAD, context={"word": "second"})) == {"said": "second"}


def test_a_route_finds_no_runtime_where_a_state_is_updated():
    graph = routed_graph()
    graph.update_state(THREAD, {"said": "edited"}, as_node="first")
    assert graph.get_state(THREAD).next == ()  # END, which the route answers without a runtime


def test_the_number_of_a_nested_run_is_that_of_its_checkpoints():
    """Two runs of one task, begun in the opposite order of their numbers."""
    inner = StateGraph(Words).add_node("keep", lambda state: {"said": state["said"] + "!"})
    compiled = inner.add_edge(START, "keep").add_edge("keep", END).compile()

    def both(state: Words) -> Words:
        for number, word in ((1, "b"), (0, "a")):
            compiled.invoke({"said": word}, numbered_run_config(number))
        return {"said": "done"}

    saver = InMemorySaver()
    graph = StateGraph(Words).add_node("both", both).add_edge(START, "both").compile(checkpointer=saver)
    graph.invoke({"said": ""}, THREAD)
    kept = {
        one.config["configurable"]["checkpoint_ns"].rpartition("|")[2]: one.checkpoint["channel_values"]["said"]
        for one in list(saver.list(THREAD))[::-1]
        if one.config["configurable"]["checkpoint_ns"] and "said" in one.checkpoint["channel_values"]
    }
    assert kept == {"1000": "a!", "1001": "b!"}


def test_without_a_number_or_a_task_a_nested_run_is_numbered_by_langgraph():
    assert numbered_run_config(None) is None
    assert numbered_run_config(3) is None


def test_a_parent_s_task_is_known_by_its_namespace():
    """`InputNormalizingGraph` tells a parent's state from a caller's input by the public ``checkpoint_ns``."""
    seen: list[bool] = []
    inner = StateGraph(Words).add_node("keep", lambda state: {"said": "inner"}).add_edge(START, "keep").compile()

    def note(given: Any, *, nested: bool) -> Any:
        seen.append(nested)
        return given

    graph = InputNormalizingGraph(normalize_input=note, **vars(inner))
    graph.invoke({}, {"configurable": {"thread_id": "1", "checkpoint_ns": ""}})
    parent = StateGraph(Words).add_node("inner", graph).add_edge(START, "inner")
    parent.compile().invoke({})
    parent.compile(checkpointer=InMemorySaver()).invoke({}, THREAD)
    asyncio.run(parent.compile().ainvoke({}))
    assert seen == [False, True, True, True]
