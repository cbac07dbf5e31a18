"""SQS FIFO: a thousand groups, each receive of ten brings one of them; 512-byte bodies."""

from tests.bench.compare import compare
from tests.bench.peers import bare
from tests.bench.rows import Row, Work
from tests.bench.sections.sqs import BARE, UNIT, canned, poller

GROUPS = ("--groups", "1000")
MESSAGES = {"poller": 200_000, "bare": 20_000}


def bare_loop(messages: int) -> float:
    with canned(messages + 1_000, *GROUPS) as url:
        return bare("bare_loop.py", url, messages, "bench.fifo")


def measure(work: Work) -> list[Row]:
    return compare(
        UNIT,
        lambda: poller(work.count(MESSAGES["poller"]), *GROUPS, source="sqs:bench.fifo"),
        {BARE: lambda: bare_loop(work.count(MESSAGES["bare"]))},
        work.rounds(3),
    )
