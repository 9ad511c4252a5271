"""Time benchmarks of the loop, a vision-language policy and SAM 2."""
