"""Direct preference optimization on trajectories: a labeled reply's label is preferred to the reply."""
