"""Supervised fine-tuning: the cold start of a policy from recorded trajectories, by TRL's trainer."""
