"""`python -m tests.planted.run [NAME...] [--jobs N]`: plants each bug in a copy and shows which test catches it.

Ends with 1 if a bug survives or cannot be planted. At the end the tests that caught something are run on an
unchanged copy, where all of them must pass: else they would have failed anyhow.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from tests.planted.bug import Bug, plant, problem
from tests.planted.bugs import BUGS
from tests.planted.copies import Ran, copied, run_pytest


@dataclass(frozen=True, slots=True)
class Row:
    """What became of one bug; `caught_by` is empty where nothing noticed it, and `why` says more."""

    bug: Bug
    caught_by: str
    seconds: float
    why: str = ""


def main(arguments: Sequence[str]) -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.planted.run", description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="of bugs; all if there is none")
    parser.add_argument("--jobs", type=int, default=2, help="copies at once")
    parser.add_argument("--list", action="store_true", help="only name them")
    chosen = parser.parse_args(arguments)
    if unknown := set(chosen.names) - {bug.name for bug in BUGS}:
        parser.error(f"no such bug: {', '.join(sorted(unknown))}")
    bugs = [bug for bug in BUGS if not chosen.names or bug.name in chosen.names]
    if chosen.list:
        print("\n".join(f"{bug.name:44} {bug.guarantee}" for bug in bugs))
        return 0
    started = time.monotonic()
    rows = []
    with ThreadPoolExecutor(chosen.jobs) as pool:
        for row in pool.map(try_one, bugs):
            rows.append(row)
            print(line(row), flush=True)
    survived = [row for row in rows if not row.caught_by]
    flaky = fails_anyhow(sorted({row.caught_by for row in rows if row.caught_by}))
    caught = len(rows) - len(survived)
    print(f"\n{caught} of {len(rows)} planted bugs caught, {time.monotonic() - started:.0f} s")
    for row in survived:
        print(f"SURVIVED: {row.bug.name} in poller/{row.bug.file}: {row.bug.guarantee}\n    {row.why}")
    if flaky:
        print(f"PROVES NOTHING: on an unchanged copy {flaky}")
    return 1 if survived or flaky else 0


def try_one(bug: Bug) -> Row:
    """Plants it in a copy of its own."""
    started = time.monotonic()
    if why := problem(bug):
        return Row(bug, "", 0.0, why)
    with copied() as copy:
        plant(bug, copy)
        ran = run_pytest(copy, bug.tests)
    return Row(bug, ran.caught_by if ran.status == 1 else "", time.monotonic() - started, why_not(ran))


def why_not(ran: Ran) -> str:
    """What became of a run that caught nothing."""
    if ran.status == 0:
        return "every test of its selection passed"
    return f"pytest ended with {ran.status}: " + " / ".join(ran.output.strip().splitlines()[-4:])


def fails_anyhow(tests: Sequence[str]) -> str:
    """Runs these on an unchanged copy: which of them fails, or what else went wrong; empty if all is well."""
    if not tests:
        return ""
    with copied() as copy:
        ran = run_pytest(copy, tests)
    return "" if ran.status == 0 else f"{ran.caught_by or 'a test'} fails too ({why_not(ran)})"


def line(row: Row) -> str:
    """One row of the table."""
    clause = row.bug.guarantee.partition(":")[0]
    return f"{row.bug.name:44} {clause:18} {row.seconds:5.1f} s  {row.caught_by or 'SURVIVED'}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
