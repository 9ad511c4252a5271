"""A server that takes no argument it does not have, and says in one line what is wrong with a call."""

from collections.abc import Iterable
from typing import Any

from mcp.server.fastmcp import FastMCP
from mcp.server.fastmcp.exceptions import ResourceError, ToolError
from mcp.server.lowlevel.helper_types import ReadResourceContents
from mcp.types import Tool
from pydantic import AnyUrl, ValidationError

from ibisagent.agent.integrations.argument_errors import describe_validation_error, describe_unknown_arguments
from ibisagent.tools.files import printable_text

__all__ = ["StrictServer"]

_WRAPPING = "Error creating resource from template: "


class StrictServer(FastMCP[Any]):
    """FastMCP with the words of its own errors, and its validator's, replaced; tools raise lines of their own."""

    async def list_tools(self) -> list[Tool]:
        """List the tools; their schemas say that no other arguments are taken."""
        tools = await super().list_tools()
        return [tool.model_copy(update={"inputSchema": tool.inputSchema | _CLOSED}) for tool in tools]

    async def call_tool(self, name: str, arguments: dict[str, Any]) -> Any:
        """Call a tool; whatever is wrong is a `ToolError` of one line."""
        known = {tool.name: tool.inputSchema["properties"] for tool in await self.list_tools()}
        if name not in known:
            raise ToolError(f"tool: got {printable_text(name)!r}, expected one of {', '.join(known)}; call one of them")
        if fault := describe_unknown_arguments(arguments, known[name]):
            raise ToolError(f"{fault}.")
        try:
            return await super().call_tool(name, arguments)
        except ToolError as error:
            raise ToolError(_said(error, known[name])) from None

    async def read_resource(self, uri: AnyUrl | str) -> Iterable[ReadResourceContents]:
        """Read a resource; whatever is wrong is a `ResourceError` of one line."""
        try:
            return await super().read_resource(uri)
        except ValueError as error:
            said = str(error).replace(_WRAPPING, "")
            places = ", ".join(sorted(template.uriTemplate for template in await self.list_resource_templates()))
            unknown = f"resource: got {printable_text(uri)!r}, expected one of {places}; name one of them"
            raise ResourceError(unknown if said.startswith("Unknown resource") else said) from None


_CLOSED = {"additionalProperties": False}


def _said(error: ToolError, properties: dict[str, Any]) -> str:
    cause = error.__cause__
    return f"{describe_validation_error(cause, properties)}." if isinstance(cause, ValidationError) else str(cause or error)
