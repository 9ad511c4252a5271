"""Measuring: data sets through the loop and their report, the click benchmark, and what the loop itself costs."""
