"""Training: experts, trajectories, phantoms, requests, and supervised fine-tuning."""
