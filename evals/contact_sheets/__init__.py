"""The contact sheet of a run: every step with its thought, its clicks, and its errors; and of pairs of runs."""

from ibisagent.evals.contact_sheets.case_pairs import PairedRun, draw_case_pairs
from ibisagent.evals.contact_sheets.from_trajectory import contact_sheet_of, open_or_grey
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
    "PairedRun",
    "Panel",
    "contact_sheet_of",
    "draw_case_pairs",
    "draw_contact_sheet",
    "error_map",
    "open_or_grey",
]
