"""Benchmarks: what the loop, a vision-language policy and SAM 2 cost in time."""
