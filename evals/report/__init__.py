"""An evaluation's results as one page of HTML that needs no network and no script."""

from ibisagent.evals.report.page import write_report

__all__ = ["write_report"]
