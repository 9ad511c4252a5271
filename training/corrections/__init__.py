"""A person's corrections of recorded runs, as the labels that supervised and preference training learn."""
