"""Whatever a handler does is an outcome of its mapping, never the end of the daemon or of another mapping."""

from pathlib import Path
from typing import Any

import pytest

from tests.acceptance import daemon

HANDLERS = """
import asyncio, sys, threading, time


def never_returns(event, context):
    threading.Event().wait()


async def never_returns_async(event, context):
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            pass


def exits(event, context):
    sys.exit(7)


async def exits_async(event, context):
    sys.exit(7)


def returns_ten_megabytes(event, context):
    return "x" * 10_000_000


def returns_a_set(event, context):
    return {1, 2, 3}


class BadError(Exception):
    def __str__(self):
        raise ValueError("no text for you")


def raises_badly(event, context):
    raise BadError()


async def good(event, context):
    return None


async def blocks(event, context):
    time.sleep(4)
"""
OUTCOMES = {
    "never_returns": "timeout",
    "never_returns_async": "timeout",
    "exits": "error",
    "exits_async": "error",
    "returns_ten_megabytes": "error",
    "returns_a_set": "error",
    "raises_badly": "error",
}


def mapping(name: str, queue: dict[str, str], **more: Any) -> dict[str, Any]:
    return {
        "Name": name,
        "EventSourceArn": queue["arn"],
        "FunctionName": f"python:handlers:{name}",
        "Handler": {"TimeoutInSeconds": 2},
        **more,
    }


def test_every_misbehaviour_is_an_outcome_and_the_neighbour_goes_on(
    embedded_aws: str, sqs_client: Any, tmp_path: Path
) -> None:
    """SQS-21, INV-2, INV-5, SUR-5: nothing deleted, the right outcome counted, another mapping unharmed."""
    client = sqs_client(embedded_aws)
    queues = {
        name: daemon.make_queue(client, daemon.own(f"bad-{name}"), visibility=2, dead=2) for name in OUTCOMES
    }
    good = daemon.make_queue(client, daemon.own("good"))
    daemon.write(
        tmp_path,
        *(mapping(name, queue) for name, queue in queues.items()),
        mapping("good", good),
        handlers=HANDLERS,
    )
    with daemon.running(tmp_path, daemon.environment(embedded_aws)) as running:
        running.ready()
        for queue in queues.values():
            daemon.send(client, queue["url"], [str(n) for n in range(5)])
        for _ in range(5):
            daemon.send(client, good["url"], [str(n) for n in range(200)])
            daemon.wait_for(lambda: daemon.empty(client, good["url"]), "the good neighbour")
        for name, outcome in OUTCOMES.items():

            def counted(name: str = name, outcome: str = outcome) -> float:
                return running.metric("esm_invocations_total", mapping=name, outcome=outcome)

            daemon.wait_for(counted, f"{name} to count as {outcome}")
            others = running.metric("esm_invocations_total", mapping=name) - counted()
            assert others == 0, f"{name} had other outcomes than {outcome}"
            assert running.metric("esm_deleted_events_total", mapping=name) == 0
        for name, queue in queues.items():
            daemon.wait_for(
                lambda queue=queue: daemon.counts(client, queue["dead"])[0] == 5,
                f"the messages of {name} in the DLQ",
            )
        assert running.metric("esm_deleted_events_total", mapping="good") == 1_000
        assert running.metric("esm_invocations_total", mapping="good", outcome="error") == 0
        running.signal(15)
        assert running.wait() in {0, 3}, running.output()


def test_a_handler_that_blocks_the_loop_is_named_and_heartbeats_go_on(
    embedded_aws: str, sqs_client: Any, tmp_path: Path
) -> None:
    """SQS-9: with Poller.Heartbeat the receipts outlive a loop blocked for longer than the visibility timeout."""
    client = sqs_client(embedded_aws)
    blocked = daemon.make_queue(client, daemon.own("blocks"), visibility=2)
    good = daemon.make_queue(client, daemon.own("beside"))
    daemon.write(
        tmp_path,
        mapping("blocks", blocked, Poller={"Heartbeat": True}, Handler={"TimeoutInSeconds": 20}),
        mapping("good", good),
        handlers=HANDLERS,
    )
    with daemon.running(tmp_path, daemon.environment(embedded_aws)) as running:
        running.ready()
        daemon.send(client, blocked["url"], ["one"])

        def named() -> bool:
            told = running.metric("esm_event_loop_blocked_seconds_total", mapping="blocks") > 0
            return told and any(
                line.get("mapping") == "blocks" and "block" in line["event"] for line in running.lines()
            )

        daemon.wait_for(named, "the blocking mapping to be named in log and metric")
        # the metrics answered meanwhile; the visibility of 2 s is over long before the handler of 4 s
        daemon.send(client, good["url"], [str(n) for n in range(50)])
        daemon.wait_for(lambda: daemon.empty(client, good["url"]), "the neighbour once the loop yields")
        daemon.wait_for(
            lambda: running.metric("esm_visibility_extensions_total", mapping="blocks", outcome="success") >= 1,
            "a heartbeat",
        )
        daemon.wait_for(
            lambda: running.metric("esm_invocations_total", mapping="blocks") >= 1, "the invocation's end"
        )
        assert running.metric("esm_redelivered_events_total", mapping="blocks") == 0


@pytest.mark.parametrize("number", [2, 15], ids=["Ctrl-C", "SIGTERM"])
def test_both_signals_end_it_cleanly_at_rest(
    number: int, embedded_aws: str, sqs_client: Any, tmp_path: Path
) -> None:
    """API-8: at rest a stop takes no longer than the long poll, with exit code 0."""
    client = sqs_client(embedded_aws)
    queue = daemon.make_queue(client, daemon.own("rest"))
    daemon.write(tmp_path, mapping("good", queue), handlers=HANDLERS)
    with daemon.running(tmp_path, daemon.environment(embedded_aws)) as running:
        running.ready()
        running.signal(number)
        assert running.wait() == 0, running.output()
