"""The contact sheet of a run: every step with its thought, its clicks, and its errors."""

from ibisagent.agent.contact_sheet.from_trajectory import contact_sheet_of
from ibisagent.agent.contact_sheet.layout import (
    FALSE_NEGATIVE,
    FALSE_POSITIVE,
    TRUE_POSITIVE,
    Panel,
    draw_contact_sheet,
    error_map,
)

__all__ = [
    "FALSE_NEGATIVE",
    "FALSE_POSITIVE",
    "TRUE_POSITIVE",
    "Panel",
    "contact_sheet_of",
    "draw_contact_sheet",
    "error_map",
]
