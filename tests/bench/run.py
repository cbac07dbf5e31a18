"""`make bench`: the figures of the README, as tables and as JSON. `python -m tests.bench.run [SECTION ...]`

Throughput is work per CPU second of the client process alone, against one canned endpoint in a process of its own:
on a shared machine only the ratios mean anything. Latency and idle figures are those of the real `poller run` on
the embedded AWS. A goal that is missed is marked; the exit code is 1 only when a section could not be measured.
"""

import argparse
import dataclasses
import datetime as dt
import importlib
import json
import os
import platform
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.bench.rows import Row, Work

# Each is a file of sections/ with `measure(work)`, and the title of its table.
SECTIONS = {
    "sqs": "SQS standard, 512-byte bodies, receive 10 + delete 10",
    "fifo": "SQS FIFO, a thousand groups, 512-byte bodies",
    "tls": "SQS standard over TLS",
    "kinesis": "Kinesis, 512-byte records, 500 a read and a batch",
    "dynamodb": "DynamoDB Streams, images of 512 bytes, 500 a read and a batch",
    "idle": "Nothing to do",
    "failing": "One shard fails for ever",
    "latency": "Send to handler start, idle queue, window 0",
    "memory": "Memory",
    "drain": "A drain of 100,000 messages",
    "filters": "Filters",
    "responsive": "Answers while the daemon runs at full load",
    "processes": "Handlers in processes",
    "metrics": "What counting and telling costs, SQS standard",
}
MET = {None: "", True: "met", False: "MISSED"}


def number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"


def table(title: str, rows: Sequence[Row]) -> Table:
    """A section as it is shown."""
    shown = Table(title=title, title_justify="left")
    for heading in ("what", "figure", "unit", "against", "ratio", "goal", ""):
        shown.add_column(heading, justify="right" if heading in {"figure", "ratio"} else "left")
    for each in rows:
        cells = (
            each.what,
            number(each.figure),
            each.unit,
            each.against,
            number(each.ratio),
            each.goal,
            MET[each.met],
        )
        shown.add_row(*cells, style="bold red" if each.met is False else None)
    return shown


def machine() -> dict[str, Any]:
    return {
        "command": ["python", "-m", "tests.bench.run", *sys.argv[1:]],
        "date": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.run", description=__doc__)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"of {', '.join(SECTIONS)}; all of them")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to this file")
    parser.add_argument("--quick", action="store_true", help="a tenth of the work, once: to see that it runs")
    options = parser.parse_args()
    unknown = [name for name in options.sections if name not in SECTIONS]
    if unknown:
        parser.error(f"no section {unknown[0]!r}; there are {', '.join(SECTIONS)}")
    console = Console(width=None if sys.stdout.isatty() else 160)
    told = machine()
    console.print(f"{' '.join(told['command'])}\n{told['date']}, {told['cpus']} CPUs, Python {told['python']}")
    sections: dict[str, Any] = {}
    failed = missed = 0
    for name in options.sections or SECTIONS:
        begun = time.monotonic()
        try:
            rows = importlib.import_module(f"tests.bench.sections.{name}").measure(Work(quick=options.quick))
        except Exception:  # noqa: BLE001 - the other sections are measured all the same
            failed += 1
            sections[name] = {"title": SECTIONS[name], "failed": traceback.format_exc()}
            console.print(f"{SECTIONS[name]}: could not be measured\n{traceback.format_exc()}", markup=False)
        else:
            missed += sum(each.met is False for each in rows)
            sections[name] = {"title": SECTIONS[name], "rows": [dataclasses.asdict(each) for each in rows]}
            console.print(table(SECTIONS[name], rows))
        sections[name]["seconds"] = round(time.monotonic() - begun, 1)
        console.print(f"{name}: {sections[name]['seconds']:g} s\n")
        if options.json:  # after each section: what is measured is not lost with the rest
            options.json.write_text(
                json.dumps({**told, "quick": options.quick, "sections": sections}, indent=2) + "\n"
            )
    console.print(f"goals missed: {missed}; sections that could not be measured: {failed}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
