"""Training over the same graph (to come)."""
