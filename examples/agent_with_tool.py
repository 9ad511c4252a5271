"""A LangChain agent that segments with our tool: `python examples/agent_with_tool.py`."""
# ruff: noqa: T201

from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from scripted import ScriptedChatModel, run_example, scan, tool_calls

from ibisagent.agent.integrations import segmentation_tool

# Yours: "openai:gpt-5", "anthropic:claude-sonnet-4-5", or any chat model that calls tools.
MODEL = ScriptedChatModel(
    replies=[
        tool_calls(("segment_image", {"image": "scan 1", "request": "Segment the liver."})),
        tool_calls(("segment_image", {"image": "scan 1", "request": "Segment it.", "region": [0.3, 0.3, 0.7, 0.7]})),
        AIMessage("The second mask is the better one."),
    ]
)


def main() -> None:
    """Ask once; the model looks at the first result and tries again with a region."""
    # root may be a folder as well; then the model names files in it. "nano" is the policy that clicks by itself.
    tool = segmentation_tool("centre", "geocut", root={"scan 1": scan()})
    agent = create_agent(MODEL, [tool], system_prompt="You measure organs. Use the tool; never guess a number.")
    ended = agent.invoke({"messages": [("user", "How large is the liver in scan 1?")]})
    for message in ended["messages"]:
        print(f"{message.type}: {message.text or [call['args'] for call in message.tool_calls]}")
    artifact = ended["messages"][-2].artifact
    print(artifact["mask_key"], artifact["stop"], artifact["measurements"]["area_px"])


if __name__ == "__main__":
    run_example(main)
