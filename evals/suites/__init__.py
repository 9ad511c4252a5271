"""Robustness suites: a policy under changed conditions, and how much worse it is there than on the data as they are."""

from ibisagent.evals.suites.results import SuiteResults
from ibisagent.evals.suites.run import run_suite
from ibisagent.evals.suites.suite import Condition, Suite, SuiteInput
from ibisagent.evals.suites.table import SUITES

__all__ = ["SUITES", "Condition", "Suite", "SuiteInput", "SuiteResults", "run_suite"]
