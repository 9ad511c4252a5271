"""Masks out, always on the source's own grid: a room for each format, one door."""

from ibisagent.tools.export.provenance import About
from ibisagent.tools.export.writer import ENDINGS, ending_of, require_savable, save_mask

__all__ = ["ENDINGS", "About", "ending_of", "require_savable", "save_mask"]
