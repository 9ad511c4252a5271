"""The contact sheet of a run: every step with its thought, its clicks, and where it is wrong."""

from ibisagent.agent.contact_sheet.from_trajectory import sheet_of
from ibisagent.agent.contact_sheet.layout import HIT, MISS, SPILL, Panel, contact_sheet, error_map

__all__ = ["HIT", "MISS", "SPILL", "Panel", "contact_sheet", "error_map", "sheet_of"]
