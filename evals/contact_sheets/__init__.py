"""The contact sheet of a run: every step with its thought, its clicks, and its errors."""

from ibisagent.evals.contact_sheets.from_trajectory import contact_sheet_of
from ibisagent.evals.contact_sheets.layout import (
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
