"""The MCP server: tools and resources over stdio and streamable HTTP."""
