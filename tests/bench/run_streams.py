"""`make bench`, its second half: Kinesis end to end, idle shards, and what a failing shard costs the others.

Against a canned endpoint in a process of its own; CPU seconds of the client process alone. On a shared machine
only the ratios mean anything, so the clients of a comparison run in turn, REPEATS times, and medians are shown.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.bench.daemon import ENV, HERE, Daemon, daemon, endpoint

REPEATS = 3
RECORDS = {"poller": 3_000_000, "bare": 300_000}
SHARDS = 100
IDLE = (1_000, 5_000)
STREAM = "kinesis:stream/bench"
FIELDS = {"StartingPosition": "TRIM_HORIZON", "BatchSize": 500}


def canned(shards: int, records: int, page: int = 500) -> Any:
    return endpoint(
        str(HERE / "canned_kinesis.py"), "--shards", str(shards), "--records", str(records), "--page", str(page)
    )


def between(running: Daemon, counter: str, first: float, last: float) -> dict[str, float]:
    """What happened while this counter went from `first` to `last`."""
    begin: dict[str, float] = {}
    while True:
        now = running.metrics() | {"at": time.monotonic()}
        if not begin and now.get(counter, 0.0) >= first:
            begin = now
        if begin and now[counter] >= last:
            return {name: now[name] - begin.get(name, 0.0) for name in now}
        time.sleep(0.5)  # a scrape costs the daemon some milliseconds


def poller_throughput() -> float:
    """Read, event, async handler in process, position: records per CPU second."""
    wanted = RECORDS["poller"]
    with canned(SHARDS, wanted) as url, daemon(url, STREAM, "noop", **FIELDS) as running:
        did = between(running, "esm_polled_events_total", wanted * 0.1, wanted * 0.9)
    return did["esm_polled_events_total"] / did["process_cpu_seconds_total"]


def bare_throughput() -> float:
    """The same for the loop that does nothing."""
    wanted = RECORDS["bare"]
    with canned(4, wanted + 10_000) as url:
        command = [sys.executable, str(HERE / "bare_kinesis_loop.py"), url, str(wanted)]
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=ENV, timeout=300)
    told = json.loads(done.stdout)
    return float(told["records"] / told["cpu"])


def throughput(console: Console, repeats: int) -> dict[str, Any]:
    """Records per CPU second, in turn."""
    ours, bare = [], []
    for _ in range(repeats):
        bare.append(bare_throughput())
        ours.append(poller_throughput())
    ratio = statistics.median([a / b for a, b in zip(ours, bare, strict=True)])
    table = Table(title="Kinesis, 512-byte records, 500 a read and a batch", title_justify="left")
    for heading in ("client", "records per CPU second", "poller is so many times faster"):
        table.add_column(heading, justify="left" if heading == "client" else "right")
    table.add_row("poller run (whole product)", f"{statistics.median(ours):,.0f}", "1.0")
    table.add_row("bare aiobotocore loop", f"{statistics.median(bare):,.0f}", f"{ratio:.1f}")
    console.print(table)
    return {"poller": ours, "bare": bare, "ratio": ratio}


def idle(console: Console, seconds: float) -> list[dict[str, float]]:
    """Idle shards, each read once a second: CPU and memory of the whole daemon."""
    table = Table(title="Idle shards, each read once a second", title_justify="left")
    for heading in ("shards", "reads a second", "CPU %", "memory MB"):
        table.add_column(heading, justify="right")
    figures = []
    for shards in IDLE:
        with canned(shards, 0) as url, daemon(url, STREAM, "noop", **FIELDS) as running:
            while running.metrics().get("esm_polls_total", 0.0) < shards * 5:
                time.sleep(1.0)
            before, begin = running.metrics(), time.monotonic()
            time.sleep(seconds)
            after, lasted = running.metrics(), time.monotonic() - begin
        figure = {
            "shards": shards,
            "reads": (after["esm_polls_total"] - before["esm_polls_total"]) / lasted,
            "cpu_percent": 100
            * (after["process_cpu_seconds_total"] - before["process_cpu_seconds_total"])
            / lasted,
            "rss_mb": after["process_resident_memory_bytes"] / 1e6,
        }
        figures.append(figure)
        table.add_row(
            f"{shards:,}", f"{figure['reads']:,.0f}", f"{figure['cpu_percent']:.1f}", f"{figure['rss_mb']:.0f}"
        )
    console.print(table)
    return figures


def failing(console: Console, repeats: int) -> dict[str, Any]:
    """One of a hundred shards fails for ever: what gets done, in records per CPU second and per second."""
    rates: dict[str, list[float]] = {"noop": [], "first_shard_fails": []}
    speeds: dict[str, list[float]] = {"noop": [], "first_shard_fails": []}
    wanted = RECORDS["poller"] // 2
    for _ in range(repeats):
        for function, rate in rates.items():
            with canned(SHARDS, 2 * wanted, 1_000) as url, daemon(url, STREAM, function, **FIELDS) as running:
                did = between(running, "esm_invoked_events_total", wanted * 0.1, wanted)
            rate.append(did["esm_invoked_events_total"] / did["process_cpu_seconds_total"])
            speeds[function].append(did["esm_invoked_events_total"] / did["at"])
    table = Table(title=f"One of {SHARDS} shards fails for ever", title_justify="left")
    for heading in ("", "records per CPU second", "records per second"):
        table.add_column(heading, justify="right" if heading else "left")
    for function, name in (("noop", "all shards well"), ("first_shard_fails", "one fails, the others")):
        usual, speed = statistics.median(rates[function]), statistics.median(speeds[function])
        table.add_row(name, f"{usual:,.0f}", f"{speed:,.0f}")
    console.print(table)
    return {"rates": rates, "speeds": speeds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--repeats", type=int, default=REPEATS)
    options = parser.parse_args()
    console = Console()
    figures = {
        "throughput": throughput(console, options.repeats),
        "idle": idle(console, 20.0),
        "failing": failing(console, options.repeats),
    }
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
