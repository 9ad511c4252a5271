"""Export of masks, always on the source's own grid: one module for each format, one entry point."""

from ibisagent.tools.export.instances_writer import INSTANCE_EXTENSIONS, require_instances_savable, save_instances
from ibisagent.tools.export.provenance import Provenance
from ibisagent.tools.export.writer import EXTENSIONS, get_extension, require_savable, save_mask

__all__ = [
    "EXTENSIONS",
    "INSTANCE_EXTENSIONS",
    "Provenance",
    "get_extension",
    "require_instances_savable",
    "require_savable",
    "save_instances",
    "save_mask",
]
