"""The command line, the MCP server, and the files that they write."""
