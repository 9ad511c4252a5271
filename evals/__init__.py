"""Measuring: click benchmark, and what the loop itself costs."""
