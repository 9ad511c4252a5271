"""Trainings compared with each other: SFT, imitation of the best rollouts, and GRPO with several rewards."""
