"""What metrics cost: the SQS benchmark in one process, in which they are switched off and on again all the time.

A switch each tenth of a second, because programs beside us disturb two runs by more than the difference. What one
span of messages took is compared with the one after it.
"""

import itertools
import statistics
import tempfile
import time
from pathlib import Path

from tests.bench.daemon import DEADLINE, HERE, daemon
from tests.bench.rows import Row, Work, at_most, row
from tests.bench.sections.sqs import canned

SPANS = 60
SPAN = 10_000
WITH = "poller run"
WITHOUT = "the same, telemetry replaced by nothing"
LEAST = "the same, telemetry replaced by the bare additions (least.py)"


def microseconds(**more: str) -> list[tuple[float, float]]:
    """CPU microseconds a message of each pair of spans, with metrics and without; `more` is for untold.py."""
    with tempfile.NamedTemporaryFile("r", prefix="esm-bench-") as out:
        environment = {"ESM_BENCH_OUT": out.name, "ESM_BENCH_TENTH": str(SPAN), **more}
        with (
            canned(SPAN * (SPANS + 2)) as url,
            daemon(url, "sqs:bench", "switching", environment, program=(str(HERE / "untold.py"),), BatchSize=10),
        ):
            deadline = time.monotonic() + DEADLINE
            while len(lines := Path(out.name).read_text().splitlines()) <= SPANS + 1:
                if time.monotonic() > deadline:
                    raise RuntimeError(f"only {len(lines) - 1} spans of {SPAN} messages were done")
                time.sleep(0.1)
    cpu = [float(line.split()[1]) for line in lines]
    spans = [(after - before) / SPAN * 1e6 for before, after in itertools.pairwise(cpu)]
    # the first is that of a process that starts
    return list(zip(spans[2::2], spans[3::2], strict=False))


def measure(work: Work) -> list[Row]:
    rounds = work.rounds(4)
    pairs = [pair for _ in range(rounds) for pair in microseconds()]
    least = [pair for _ in range(rounds) for pair in microseconds(ESM_BENCH_LEAST="1")]
    unit = "CPU microseconds a message"
    return [
        row(WITHOUT, statistics.median(off for _, off in pairs), unit),
        row(LEAST, statistics.median(on for on, _ in least), unit, WITHOUT, _ratio(least)),
        row(
            WITH,
            statistics.median(on for on, _ in pairs),
            unit,
            WITHOUT,
            _ratio(pairs),
            at_most(1.03, "at most 3 % more"),
        ),
    ]


def _ratio(pairs: list[tuple[float, float]]) -> float:
    return statistics.median(on / off for on, off in pairs)
