"""Each fault once for the real daemon, with all four kinds of sources on one server behind the proxy."""

from pathlib import Path
from typing import Any

import pytest

from tests.acceptance import daemon
from tests.faults import rules
from tests.faults.proxy import Proxy, in_front_of
from tests.faults.rules import Fault, Rule, mix
from tests.faults.sources import (
    READ,
    Source,
    first_successes,
    four,
    numbered,
    out_of_order,
    queue_source,
    stream_source,
)

HANDLERS = READ + "".join(
    f"""
async def {name}(event, context, file=opened("{name}.txt")):
    note(file, event["Records"])
"""
    for name in ("orders", "pay", "clicks", "stock")
)
# What a daemon asks again and again, in the order of the sources: receipts and reads, deletes.
HOT = ("sqs.ReceiveMessage", "sqs.DeleteMessageBatch", "kinesis.GetRecords", "streams.GetRecords")
EACH = 3  # requests of each operation that meet the fault: one for each queue at least
RECORDS = 20  # of each source for each fault
KEYS = 4
GROUPS = {
    "connections": (rules.Reset(), rules.Reset(after=True), rules.HangUp()),
    "bodies": (rules.Truncated(), rules.Garbage(), rules.Mangled()),
    "refusals": (rules.Throttle(), rules.Broken(500), rules.Broken(503), rules.Expired()),
    "slowness": (rules.Delay(1.0), rules.Slow()),
    "a black hole": (rules.BlackHole(),),
    "a black hole behind the server": (rules.BlackHole(after=True),),
}
# One receive that is never answered holds the only long poll of an idle queue for its whole deadline.
ONCE = (rules.BlackHole(), rules.BlackHole(after=True))


def write(folder: Path, sources: list[Source]) -> None:
    daemon.write(
        folder,
        *(
            source.mapping(f"python:handlers:{source.name}", BatchSize=10, Handler={"TimeoutInSeconds": 2})
            for source in sources
        ),
        handlers=HANDLERS,
        State="sqlite:state.db",
    )


def noted(folder: Path, source: Source) -> list[str]:
    return daemon.written(folder / f"{source.name}.txt")


def handled(folder: Path, sources: list[Source], count: int) -> bool:
    """Whether each source's records 0 to count - 1 have all been handled."""
    return all(sum(map(len, first_successes(noted(folder, source)).values())) >= count for source in sources)


def check(folder: Path, sources: list[Source], count: int) -> None:
    """Nothing lost, nothing that nobody sent, order kept."""
    for source in sources:
        found = first_successes(noted(folder, source))
        assert sorted(n for numbers in found.values() for n in numbers) == list(range(count)), source.name
        if source.ordered:
            assert out_of_order(noted(folder, source)) == [], source.name


def met_everywhere(proxy: Proxy, fault: Fault, wanted: int, operations: tuple[str, ...]) -> bool:
    name = rules.name_of(fault)
    return all(proxy.faults[name, operation] >= wanted for operation in operations)


@pytest.mark.acceptance
@pytest.mark.parametrize("group", GROUPS)
def test_each_fault_costs_nothing(group: str, embedded_aws: str, aws_client: Any, tmp_path: Path) -> None:
    """GEN-2, SQS-26, FIFO-1, STR-30, STR-40, API-16: every read, receive and delete meets each fault; all records
    are handled, keys in their order, and SIGTERM ends the daemon with 0.
    """
    sources = four(lambda service: aws_client(service, embedded_aws), daemon.own("each"), visibility=2)
    write(tmp_path, sources)
    with (
        in_front_of(embedded_aws) as proxy,
        daemon.running(tmp_path, daemon.environment(proxy.url)) as running,
    ):
        running.ready()
        sent = 0
        for fault in GROUPS[group]:
            times = 1 if fault in ONCE else EACH
            proxy.be(Rule(fault, operations=HOT, first=times), cut=False)
            for source in sources:
                source.send(numbered(sent, RECORDS, KEYS))
            sent += RECORDS
            name = rules.name_of(fault)
            daemon.wait_for(lambda sent=sent: handled(tmp_path, sources, sent), f"the work under {name}")
            daemon.wait_for(
                lambda fault=fault, times=times: met_everywhere(proxy, fault, times, HOT),
                f"{name} everywhere",
            )
        running.signal(15)
        assert running.wait() == 0, running.output()
        assert "Traceback" not in running.output()
    check(tmp_path, sources, sent)


MIXED = (
    *(rules.Reset(), rules.Reset(after=True), rules.HangUp(), rules.Truncated(), rules.Garbage(), rules.Mangled()),
    *(rules.Throttle(), rules.Broken(500), rules.Broken(503), rules.Expired(), rules.Delay(0.2), rules.Slow(4)),
)


def drain_under_faults(url: str, sources: list[Source], folder: Path, *operations: str) -> None:
    """A third of these requests meets some fault, by a fixed seed, until everything is handled."""
    write(folder, sources)
    for source in sources:
        source.send(numbered(0, 100, KEYS))
    with in_front_of(url) as proxy, daemon.running(folder, daemon.environment(proxy.url)) as running:
        running.ready()
        proxy.be(*mix(0.33, MIXED, *operations), seed=5, cut=False)
        sent = 100
        while sum(proxy.faults.values()) < 30:
            daemon.wait_for(lambda sent=sent: handled(folder, sources, sent), "the work under faults")
            for source in sources:
                source.send(numbered(sent, 20, KEYS))
            sent += 20
        daemon.wait_for(lambda: handled(folder, sources, sent), "the rest")
        proxy.be(cut=False)
        running.signal(15)
        assert running.wait() == 0, running.output()
        assert "Traceback" not in running.output()
    check(folder, sources, sent)


@pytest.mark.acceptance
def test_queues_of_another_server(ministack: str, sqs_client: Any, tmp_path: Path) -> None:
    """GEN-2, SQS-26, FIFO-1: a mix of faults before ministack's queues."""
    client = sqs_client(ministack)
    name = daemon.own("mix")
    queues = {n: daemon.make_queue(client, name + s, visibility=2) for n, s in (("orders", ""), ("pay", ".fifo"))}
    drain_under_faults(
        ministack,
        [queue_source(client, queue, name) for name, queue in queues.items()],
        tmp_path,
        *("sqs.ReceiveMessage", "sqs.DeleteMessageBatch"),
    )


@pytest.mark.acceptance
def test_a_stream_of_another_server(kinesalite: str, new_stream: Any, tmp_path: Path) -> None:
    """GEN-2, STR-30, STR-40: a mix of faults before a stream of kinesalite."""
    drain_under_faults(kinesalite, [stream_source(new_stream(kinesalite, 6), "clicks")], tmp_path, "kinesis.*")
