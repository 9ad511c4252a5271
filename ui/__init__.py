"""What people and other programs touch: the command line."""
