"""A supervisor whose tool is an agent of its own that segments: `python examples/supervisor.py`."""
# ruff: noqa: T201

from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.tools import BaseTool, tool
from scripted import Scripted, calls, run, scan

from ibisagent.agent.integrations import segmentation_tool

CLERK = Scripted(
    replies=[
        calls(("segment_image", {"image": "scan 1", "request": "Segment the liver."})),
        AIMessage("The liver is found; the mask is stored."),
    ]
)
HEAD = Scripted(
    replies=[
        calls(("ask_radiology", {"task": "Find the liver in scan 1 and say how large it is."})),
        AIMessage("Radiology has found the liver."),
    ]
)


def supervisor(head: BaseChatModel, clerk: BaseChatModel, segment: BaseTool, **options: object) -> object:
    """Put one agent under another; what the lower one segmented is the artifact of the upper one's tool result."""
    radiology = create_agent(clerk, [segment], system_prompt="You segment and measure.", name="radiology")

    @tool(response_format="content_and_artifact")
    def ask_radiology(task: str) -> tuple[str, list[dict[str, object]]]:
        """Hand a task to the radiology desk, which looks at images, segments and measures."""
        messages = radiology.invoke({"messages": [("user", task)]})["messages"]
        return messages[-1].text, [message.artifact for message in messages if message.type == "tool"]

    return create_agent(head, [ask_radiology], system_prompt="You run a clinic's desks.", **options)


def main() -> None:
    """Ask the head; the clerk does the work."""
    desk = supervisor(HEAD, CLERK, segmentation_tool("centre", "geocut", root={"scan 1": scan()}))
    ended = desk.invoke({"messages": [("user", "Is the liver of scan 1 enlarged?")]})
    for message in ended["messages"]:
        print(f"{message.type}: {message.text or [call['args'] for call in message.tool_calls]}")
    print(ended["messages"][-2].artifact[0]["measurements"]["area_px"])


if __name__ == "__main__":
    run(main)
