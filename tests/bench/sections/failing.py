"""One of a hundred shards fails for ever: what all others get done meanwhile."""

import statistics

from tests.bench.daemon import CPU, daemon
from tests.bench.rows import Row, Work, row
from tests.bench.sections.kinesis import FIELDS, SHARDS, STREAM, UNIT, canned

RECORDS = 1_000_000
WELL = "all shards well"
ONE = f"one of {SHARDS} fails, the others"


def rates(function: str, wanted: int) -> tuple[float, float]:
    """Records per CPU second and per second."""
    with canned(SHARDS, 2 * wanted, 1_000) as url, daemon(url, STREAM, function, **FIELDS) as running:
        did = running.between("esm_invoked_events_total", wanted * 0.1, wanted)
    done = did["esm_invoked_events_total"]
    return done / did[CPU], done / did["at"]


def measure(work: Work) -> list[Row]:
    well, one = [], []
    for _ in range(work.rounds(3)):
        well.append(rates("noop", work.count(RECORDS)))
        one.append(rates("first_shard_fails", work.count(RECORDS)))
    rows = []
    for which, unit in enumerate((UNIT, "records per second")):
        ratio = statistics.median(b[which] / a[which] for a, b in zip(well, one, strict=True))
        rows.append(row(WELL, [each[which] for each in well], unit))
        rows.append(row(ONE, [each[which] for each in one], unit, WELL, ratio))
    return rows
