"""Masks, (H, W) bool of the displayed picture: read, converted, encoded as run lengths, measured."""
