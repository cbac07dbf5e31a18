"""A plugin for pytest: writes the id of the first test that fails into the file that PLANTED_TOLD names.

The lines that pytest prints are for people: ids in them cannot be told from messages.
"""

import os
from pathlib import Path

import pytest


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Only a test's own failure counts: a fixture that breaks may be the machine's fault."""
    told = Path(os.environ["PLANTED_TOLD"])
    if report.failed and report.when == "call" and not told.exists():
        told.write_text(report.nodeid, encoding="utf-8")
