"""DynamoDB Streams: a hundred shards, 500 records with images of 512 bytes a read and a batch."""

from tests.bench.compare import compare
from tests.bench.daemon import CPU, HERE, daemon, endpoint
from tests.bench.peers import bare
from tests.bench.rows import Row, Work
from tests.bench.sections.kinesis import BARE, FIELDS, SHARDS, UNIT

STREAM = "dynamodb:table/bench/stream/bench"
RECORDS = {"poller": 600_000, "bare": 100_000}


def canned(shards: int, records: int):
    return endpoint(str(HERE / "canned_dynamodb.py"), "--shards", str(shards), "--records", str(records))


def poller(records: int) -> float:
    """Records per CPU second of the whole daemon, from a tenth of them to nine tenths."""
    with canned(SHARDS, records) as url, daemon(url, STREAM, "noop", **FIELDS) as running:
        did = running.between("esm_polled_events_total", records * 0.1, records * 0.9)
    return did["esm_polled_events_total"] / did[CPU]


def bare_loop(records: int) -> float:
    with canned(4, records + 10_000) as url:
        return bare("bare_stream_loop.py", "dynamodbstreams", url, records)


def measure(work: Work) -> list[Row]:
    return compare(
        UNIT,
        lambda: poller(work.count(RECORDS["poller"])),
        {BARE: lambda: bare_loop(work.count(RECORDS["bare"]))},
        work.rounds(3),
    )
