"""GRPO through TRL: rollouts are episodes of the real graph, and each of their turns is a row with its own picture."""
