"""The MCP server: agents that people already use call the box's queries, inbox and status."""
