"""Evaluation over data sets and its report, metrics of recorded trajectories, the click benchmark, time benchmarks."""
