"""The contact sheet of a run: every step with its thought, its clicks, and where it is wrong."""

from ibisagent.agent.sheet.page import HIT, MISS, SPILL, Panel, contact_sheet, error_map
from ibisagent.agent.sheet.record import sheet_of

__all__ = ["HIT", "MISS", "SPILL", "Panel", "contact_sheet", "error_map", "sheet_of"]
