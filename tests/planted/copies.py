"""Copies of the checkout in which things are broken, and pytest run in them."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.planted.bug import ROOT

LONGEST: Final = 600.0
"""Seconds for one run of pytest, whatever hangs in it."""

_LEFT_OUT: Final = shutil.ignore_patterns(".git", ".venv*", ".servers", ".hypothesis", ".*_cache", "poller.db*")


@dataclass(frozen=True, slots=True)
class Ran:
    """`status` is pytest's, `caught_by` the id of the first test that failed itself; `output` for people."""

    status: int
    caught_by: str
    output: str


@contextmanager
def copied() -> Iterator[Path]:
    """A copy of the checkout as it is now, compiled files included; removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="planted-") as folder:
        copy = Path(folder) / "copy"
        shutil.copytree(ROOT, copy, ignore=_LEFT_OUT, ignore_dangling_symlinks=True)
        yield copy


def run_pytest(copy: Path, tests: Sequence[str]) -> Ran:
    """pytest on this selection in the copy, up to the first failure; the product is the copy's, everywhere."""
    told = copy.parent / "told"
    told.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:xdist", "-p", "tests.planted.told", *tests]
    environment = {**os.environ, "PYTHONPATH": str(copy), "PLANTED_TOLD": str(told), "COLUMNS": "200"}
    with subprocess.Popen(
        command,
        cwd=copy,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as process:
        try:
            output, _ = process.communicate(timeout=LONGEST)
        except subprocess.TimeoutExpired:
            output = "it did not end in time"
        finally:
            # what hangs may have children of its own
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    caught = told.read_text(encoding="utf-8") if told.exists() else ""
    return Ran(process.returncode, caught, output)
