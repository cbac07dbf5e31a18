"""SQS standard as in sqs.py, over TLS: the server's certificate and host name are verified."""

from tests.bench.compare import OURS, compare
from tests.bench.daemon import ROOT
from tests.bench.peers import bare
from tests.bench.rows import Row, Work
from tests.bench.sections.sqs import BARE, UNIT, canned, poller

CERTIFICATES = ROOT / "tests" / "unit" / "aws" / "certs"
OPTIONS = ("--certificates", str(CERTIFICATES))
TRUST = {"AWS_CA_BUNDLE": str(CERTIFICATES / "ca.pem")}
MESSAGES = {"poller": 200_000, "bare": 20_000}
PLAIN = OURS + ", without TLS"


def bare_loop(messages: int) -> float:
    with canned(messages + 1_000, *OPTIONS) as url:
        return bare("bare_loop.py", url, messages, **TRUST)


def measure(work: Work) -> list[Row]:
    wanted = work.count(MESSAGES["poller"])
    return compare(
        UNIT,
        lambda: poller(wanted, *OPTIONS, environment=TRUST),
        {BARE: lambda: bare_loop(work.count(MESSAGES["bare"])), PLAIN: lambda: poller(wanted)},
        work.rounds(3),
    )
