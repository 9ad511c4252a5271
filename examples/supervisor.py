"""A supervisor whose tool is an agent of its own that segments: `python examples/supervisor.py`."""
# ruff: noqa: T201

from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.tools import BaseTool, tool
from scripted import ScriptedChatModel, run_example, scan, tool_calls

from ibisagent.agent.integrations import segmentation_tool

RADIOLOGY_MODEL = ScriptedChatModel(
    replies=[
        tool_calls(("segment_image", {"image": "scan 1", "request": "Segment the liver."})),
        AIMessage("The liver is found; the mask is stored."),
    ]
)
SUPERVISOR_MODEL = ScriptedChatModel(
    replies=[
        tool_calls(("ask_radiology", {"task": "Find the liver in scan 1 and say how large it is."})),
        AIMessage("Radiology has found the liver."),
    ]
)


def build_supervisor(
    supervisor_model: BaseChatModel, radiology_model: BaseChatModel, segment: BaseTool, **options: object
) -> object:
    """Return an agent with another agent as its tool; the inner one's segmentations are the tool result's artifact."""
    radiology = create_agent(radiology_model, [segment], system_prompt="You segment and measure.", name="radiology")

    @tool(response_format="content_and_artifact")
    def ask_radiology(task: str) -> tuple[str, list[dict[str, object]]]:
        """Delegate a task to radiology, which looks at images, segments and measures."""
        messages = radiology.invoke({"messages": [("user", task)]})["messages"]
        return messages[-1].text, [message.artifact for message in messages if message.type == "tool"]

    return create_agent(
        supervisor_model, [ask_radiology], system_prompt="You supervise a clinic's departments.", **options
    )


def main() -> None:
    """Ask the supervisor, which delegates to radiology."""
    agent = build_supervisor(
        SUPERVISOR_MODEL, RADIOLOGY_MODEL, segmentation_tool("centre", "geocut", root={"scan 1": scan()})
    )
    ended = agent.invoke({"messages": [("user", "Is the liver of scan 1 enlarged?")]})
    for message in ended["messages"]:
        print(f"{message.type}: {message.text or [call['args'] for call in message.tool_calls]}")
    print(ended["messages"][-2].artifact[0]["measurements"]["area_px"])


if __name__ == "__main__":
    run_example(main)
