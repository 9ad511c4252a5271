"""An MCP server that rejects unknown arguments and reports every fault of a call in one line."""

from collections.abc import Iterable
from typing import Any

from mcp.server.fastmcp import FastMCP
from mcp.server.fastmcp.exceptions import ResourceError, ToolError
from mcp.server.lowlevel.helper_types import ReadResourceContents
from mcp.types import Tool
from pydantic import AnyUrl, ValidationError

from ibisagent.agent.integrations.argument_errors import describe_unknown_arguments, describe_validation_error
from ibisagent.tools.files import printable_text

__all__ = ["StrictServer"]

_WRAPPING = "Error creating resource from template: "


class StrictServer(FastMCP[Any]):
    """FastMCP with one-line messages for its own and its validator's errors; tools raise their own."""

    async def list_tools(self) -> list[Tool]:
        """List the tools; their schemas forbid additional arguments."""
        tools = await super().list_tools()
        return [tool.model_copy(update={"inputSchema": tool.inputSchema | _CLOSED}) for tool in tools]

    async def call_tool(self, name: str, arguments: dict[str, Any]) -> Any:
        """Call a tool; any fault is a `ToolError` of one line."""
        known = {tool.name: tool.inputSchema["properties"] for tool in await self.list_tools()}
        if name not in known:
            raise ToolError(f"tool: got {printable_text(name)!r}, expected one of {', '.join(known)}; call one of them")
        if fault := describe_unknown_arguments(arguments, known[name]):
            raise ToolError(f"{fault}.")
        try:
            return await super().call_tool(name, arguments)
        except ToolError as error:
            raise ToolError(_error_text(error, known[name])) from None

    async def read_resource(self, uri: AnyUrl | str) -> Iterable[ReadResourceContents]:
        """Read a resource; any fault is a `ResourceError` of one line."""
        try:
            return await super().read_resource(uri)
        except ValueError as error:
            text = str(error).replace(_WRAPPING, "")
            places = ", ".join(sorted(template.uriTemplate for template in await self.list_resource_templates()))
            unknown = f"resource: got {printable_text(uri)!r}, expected one of {places}; name one of them"
            raise ResourceError(unknown if text.startswith("Unknown resource") else text) from None


_CLOSED = {"additionalProperties": False}


def _error_text(error: ToolError, properties: dict[str, Any]) -> str:
    cause = error.__cause__
    return (
        f"{describe_validation_error(cause, properties)}."
        if isinstance(cause, ValidationError)
        else str(cause or error)
    )
