"""How fast the listeners and the commands answer while the daemon runs at full load: 1,000 shards that are read as
fast as it can, and 200 mappings of one queue that never ends.
"""

import math
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence

from tests.bench.daemon import CPU, ENV, Daemon, daemon
from tests.bench.rows import Row, Work, at_most, row
from tests.bench.sections import kinesis, sqs

GOAL = 200.0  # milliseconds
SHARDS, MAPPINGS = 1_000, 200
ENOUGH = 10**9  # records and messages: the load does not end before the measurement
PATHS = ("/", "/v1/mappings", "/v1/history", "/v1/mappings/bench/shards", "/v1/mappings/bench/scale")
HEALTH = ("/metrics", "/livez")


def times(url: str, rounds: int) -> list[float]:
    """Milliseconds until the whole answer was there."""
    found = []
    for _ in range(rounds):
        begun = time.perf_counter()
        with urllib.request.urlopen(url, timeout=60) as answer:
            answer.read()
        found.append(1_000 * (time.perf_counter() - begun))
    return found


def command(url: str, *words: str) -> float:
    """Milliseconds of a whole command, its interpreter included."""
    begun = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "poller", *words, "--url", url], env=ENV, check=True, stdout=subprocess.DEVNULL
    )
    return 1_000 * (time.perf_counter() - begun)


def slow(found: Sequence[float]) -> float:
    """What 95 of 100 are not above."""
    return sorted(found)[math.ceil(0.95 * len(found)) - 1]


def asked(running: Daemon, load: str, work: Work) -> list[Row]:
    control, health = running.base("/"), running.base("/metrics")
    before, begun = running.metrics(), time.monotonic()
    rounds = work.count(50)
    measured = {path: times(control + path, rounds) for path in PATHS}
    measured |= {path: times(health + path, rounds) for path in HEALTH}
    did, lasted = running.metrics(), time.monotonic() - begun
    rows = [row(f"{load}: CPU meanwhile", 100 * (did[CPU] - before[CPU]) / lasted, "% of a core")]
    for path, found in measured.items():
        what = f"{load}: {path}"
        rows.append(row(f"{what}, median", statistics.median(found), "ms"))
        rows.append(row(f"{what}, 95 of 100", slow(found), "ms", goal=at_most(GOAL, "under 200 ms")))
    above = statistics.median(
        command(control, "status") - command(control, "status", "--help") for _ in range(work.rounds(9))
    )
    rows.append(
        row(f"{load}: poller status, above its own start", above, "ms", goal=at_most(GOAL, "under 200 ms"))
    )
    return rows


def measure(work: Work) -> list[Row]:
    shards, mappings = work.count(SHARDS), work.count(MAPPINGS)
    rows = []
    with (
        kinesis.canned(shards, ENOUGH) as url,
        daemon(url, kinesis.STREAM, "noop", control=True, **kinesis.FIELDS) as running,
    ):
        running.reaches("esm_polls_total", shards)
        rows += asked(running, f"{shards:,} shards", work)
    with (
        sqs.canned(ENOUGH) as url,
        daemon(url, "sqs:bench", "noop", mappings=mappings, control=True, BatchSize=10) as running,
    ):
        running.reaches("esm_deleted_events_total", 100 * mappings)
        rows += asked(running, f"{mappings} mappings", work)
    return rows
