"""The report of an evaluation: one page of HTML without network access and scripts."""

from ibisagent.evals.report.page import write_report

__all__ = ["write_report"]
