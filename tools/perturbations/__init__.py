"""Inputs made worse on purpose: initial masks that are off the target, and distractor clicks beside it."""
