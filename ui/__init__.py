"""The command line, the MCP server, the sessions behind it, and the files that they write."""
