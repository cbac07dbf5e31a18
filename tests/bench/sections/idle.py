"""What the daemon costs while nothing comes: one empty queue, and 1,000 and 5,000 empty shards, each read once a
second. A quick run has a tenth of the shards.
"""

from tests.bench.daemon import CPU, RSS, daemon
from tests.bench.embedded import embedded_queue
from tests.bench.rows import Row, Work, at_most, row
from tests.bench.sections.kinesis import FIELDS, STREAM, canned

SECONDS = 15.0
SHARDS = (1_000, 5_000)


def queue(work: Work) -> list[Row]:
    with embedded_queue() as (url, _, _), daemon(url, "sqs:bench", "noop", BatchSize=10) as running:
        running.reaches("esm_pollers", 1)
        running.over(2)  # what starting costs is over
        did = running.over(work.seconds(SECONDS))
    return [
        row("one queue: CPU", 100 * did[CPU] / did["at"], "% of a core"),
        row("one queue: long polls in flight", did["now_esm_pollers"], "", goal=at_most(1, "one, not five")),
        row("one queue: memory", did["now_" + RSS] / 1e6, "MB", goal=at_most(80, "under 80 MB")),
    ]


def shards(work: Work, count: int) -> dict[str, float]:
    with canned(count, 0) as url, daemon(url, STREAM, "noop", **FIELDS) as running:
        running.reaches("esm_polls_total", count * 5)
        return running.over(work.seconds(SECONDS))


def measure(work: Work) -> list[Row]:
    rows = queue(work)
    first: float | None = None
    for usual in SHARDS:
        count = work.count(usual)
        did = shards(work, count)
        name, cpu = f"{count:,} shards", 100 * did[CPU] / did["at"]
        memory = did["now_" + RSS] / 1e6
        rows.append(row(f"{name}: reads", did["esm_polls_total"] / did["at"], "a second"))
        if first is None:
            first, less = cpu, name
            rows.append(row(f"{name}: CPU", cpu, "% of a core", goal=at_most(15, "under 15 %")))
            rows.append(row(f"{name}: memory", memory, "MB", goal=at_most(150, "under 150 MB")))
        else:
            linear = at_most(usual / SHARDS[0], "grows linearly")
            rows.append(row(f"{name}: CPU", cpu, "% of a core", f"{less}: CPU", cpu / first, linear))
            rows.append(row(f"{name}: memory", memory, "MB"))
    return rows
