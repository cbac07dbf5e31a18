"""Kinesis: a hundred shards, 500 records of 512 bytes a read and a batch, async handler in process, position."""

from tests.bench.compare import compare
from tests.bench.daemon import CPU, HERE, daemon, endpoint
from tests.bench.peers import bare, python_peer
from tests.bench.rows import Row, Work, at_least

UNIT = "records per CPU second"
BARE = "bare aiobotocore GetRecords loop, no work at all"
ASYNC_KINESIS = "async-kinesis 3.0, no work at all"
RECORDS = {"poller": 3_000_000, "bare": 300_000, "async-kinesis": 100_000}
SHARDS = 100
STREAM = "kinesis:stream/bench"
FIELDS = {"StartingPosition": "TRIM_HORIZON", "BatchSize": 500}


def canned(shards: int, records: int, page: int = 500):
    command = (str(HERE / "canned_kinesis.py"), "--shards", str(shards), "--records", str(records))
    return endpoint(*command, "--page", str(page))


def poller(records: int) -> float:
    """Records per CPU second of the whole daemon, from a tenth of them to nine tenths."""
    with canned(SHARDS, records) as url, daemon(url, STREAM, "noop", **FIELDS) as running:
        did = running.between("esm_polled_events_total", records * 0.1, records * 0.9)
    return did["esm_polled_events_total"] / did[CPU]


def bare_loop(records: int) -> float:
    with canned(4, records + 10_000) as url:
        return bare("bare_stream_loop.py", "kinesis", url, records)


def async_kinesis(records: int) -> float:
    """On as many shards as the daemon has: five reads a second of each is the most that it does."""
    with canned(SHARDS, 2 * records) as url:
        return python_peer("peer_async_kinesis.py", url, records)


def measure(work: Work) -> list[Row]:
    return compare(
        UNIT,
        lambda: poller(work.count(RECORDS["poller"])),
        {
            BARE: lambda: bare_loop(work.count(RECORDS["bare"])),
            ASYNC_KINESIS: lambda: async_kinesis(work.count(RECORDS["async-kinesis"])),
        },
        work.rounds(3),
        {BARE: at_least(5)},
    )
