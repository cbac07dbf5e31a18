"""Draining 100,000 messages: throughput of each tenth, and memory at the start and at the end.

The handler itself writes down clock, CPU and memory at each tenth: scrapes would be too rare.
"""

import statistics
import tempfile
import time
from pathlib import Path

from tests.bench.daemon import DEADLINE, daemon
from tests.bench.rows import Goal, Row, Work, at_most, row
from tests.bench.sections.sqs import UNIT, canned

MESSAGES = 100_000
TENTHS = 10
LEVEL = Goal("within 10 %", 0.9, 1.1)


def drained(messages: int) -> list[tuple[float, float, float]]:
    """Clock, CPU seconds and bytes at the first message, and at the end of each tenth."""
    with tempfile.NamedTemporaryFile("r", prefix="esm-bench-") as out:
        environment = {"ESM_BENCH_OUT": out.name, "ESM_BENCH_TENTH": str(messages // TENTHS)}
        with canned(messages) as url, daemon(url, "sqs:bench", "tenths", environment, BatchSize=10):
            deadline = time.monotonic() + DEADLINE
            while len(lines := Path(out.name).read_text().splitlines()) <= TENTHS:
                if time.monotonic() > deadline:
                    raise RuntimeError(f"only {len(lines) - 1} tenths of {messages} messages were drained")
                time.sleep(0.1)
    points = [line.split() for line in lines]
    return [(float(clock), float(cpu), float(rss)) for clock, cpu, rss in points]


def measure(work: Work) -> list[Row]:
    messages = MESSAGES  # a tenth of them is gone before one can look
    tenth = messages / TENTHS
    per_cpu: list[list[float]] = [[] for _ in range(TENTHS)]
    per_second: list[list[float]] = [[] for _ in range(TENTHS)]
    memory: list[tuple[float, float]] = []
    for _ in range(work.rounds(5)):
        points = drained(messages)
        for number in range(TENTHS):
            (clock, cpu, _), (clock_after, cpu_after, _) = points[number : number + 2]
            per_second[number].append(tenth / (clock_after - clock))
            per_cpu[number].append(tenth / (cpu_after - cpu))
        memory.append((points[1][2] / 1e6, points[-1][2] / 1e6))
    rows = []
    for unit, rates in ((UNIT, per_cpu), ("messages per second", per_second)):
        for number, rate in enumerate(rates):
            ratio = statistics.median(now / first for now, first in zip(rate, rates[0], strict=True))
            last = number == TENTHS - 1
            against = ("tenth 1", ratio, LEVEL if last else None) if number else ()
            rows.append(row(f"tenth {number + 1}", rate, unit, *against))
    starts, ends = [start for start, _ in memory], [end for _, end in memory]
    grown = statistics.median(end / start for start, end in memory)
    rows.append(row("memory after the first tenth", starts, "MB"))
    goal = at_most(1.05, "flat: at most 5 % more")
    rows.append(row("memory at the end", ends, "MB", "memory after the first tenth", grown, goal))
    return rows
