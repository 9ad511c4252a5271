"""Inside other agents: a tool, a node, a fan-out over targets, and what they tell about a mask."""
