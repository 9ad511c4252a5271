"""Masks out, always on the source's own grid: a room for each format, one door."""

from ibisagent.tools.export.provenance import Provenance
from ibisagent.tools.export.writer import EXTENSIONS, get_extension, require_savable, save_mask

__all__ = ["EXTENSIONS", "Provenance", "get_extension", "require_savable", "save_mask"]
