"""SQS standard: receive 10, event, async handler in process, delete 10; 512-byte bodies."""

from tests.bench.compare import compare
from tests.bench.daemon import CPU, HERE, daemon, endpoint
from tests.bench.peers import bare, node_peer, python_peer
from tests.bench.rows import Row, Work, at_least

UNIT = "messages per CPU second"
BARE = "bare aiobotocore loop, no work at all"
CONSUMER = "sqs-consumer 15 (Node), empty handler"
TASKIQ = "taskiq-aio-sqs 2.1, listen and acknowledge"
MESSAGES = {"poller": 400_000, "bare": 30_000, "node": 60_000, "taskiq": 3_000}


def canned(messages: int, *options: str):
    return endpoint(str(HERE / "canned.py"), "--messages", str(messages), *options)


def poller(messages: int, *options: str, source: str = "sqs:bench", environment=None, **fields) -> float:
    """Messages per CPU second of the whole daemon, from a tenth of them to nine tenths."""
    with (
        canned(messages, *options) as url,
        daemon(url, source, "noop", environment, BatchSize=10, **fields) as run,
    ):
        did = run.between("esm_deleted_events_total", messages * 0.1, messages * 0.9)
    return did["esm_deleted_events_total"] / did[CPU]


def bare_loop(messages: int) -> float:
    with canned(messages + 1_000) as url:
        return bare("bare_loop.py", url, messages)


def node(messages: int) -> float:
    with canned(messages + 1_000) as url:
        return node_peer(url, messages)


def taskiq(messages: int) -> float:
    with canned(messages + 1_000) as url:
        return python_peer("peer_taskiq.py", url, messages)


def measure(work: Work) -> list[Row]:
    return compare(
        UNIT,
        lambda: poller(work.count(MESSAGES["poller"])),
        {
            BARE: lambda: bare_loop(work.count(MESSAGES["bare"])),
            CONSUMER: lambda: node(work.count(MESSAGES["node"])),
            TASKIQ: lambda: taskiq(work.count(MESSAGES["taskiq"])),
        },
        work.rounds(5),
        {BARE: at_least(8), CONSUMER: at_least(6)},
    )
