"""Permits before polls: nothing is received that cannot run."""

import time
from pathlib import Path
from typing import Any

from tests.acceptance import daemon

LONG_POLL = 3  # seconds, with a ShutdownTimeoutInSeconds of 6
HANDLERS = """
import asyncio, json, os, pathlib

OUT = os.open(pathlib.Path(__file__).with_name("seen.txt"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)


async def slow(event, context):
    counts = [record["attributes"]["ApproximateReceiveCount"] for record in event["Records"]]
    await asyncio.sleep(1)
    os.write(OUT, (" ".join(counts) + "\\n").encode())
"""


def test_nothing_is_received_beyond_free_slots(embedded_aws: str, sqs_client: Any, tmp_path: Path) -> None:
    """SQS-2, SQS-6, SUR-1: concurrency 2, a handler of 1 s, 500 messages, visibility 3 s: each received once.

    What was received early would wait longer than its visibility and come again with a higher count.
    """
    client = sqs_client(embedded_aws)
    queue = daemon.make_queue(client, daemon.own("permits"), visibility=3)
    daemon.send(client, queue["url"], [str(n) for n in range(500)])
    daemon.write(
        tmp_path,
        {
            "Name": "slow",
            "EventSourceArn": queue["arn"],
            "FunctionName": "python:handlers:slow",
            "ScalingConfig": {"MaximumConcurrency": 2},
            "Handler": {"TimeoutInSeconds": 3},
        },
        handlers=HANDLERS,
    )
    most = 0
    with daemon.running(tmp_path, daemon.environment(embedded_aws)) as running:
        running.ready()

        def done() -> bool:
            nonlocal most
            most = max(most, daemon.counts(client, queue["url"])[1])
            return len(daemon.written(tmp_path / "seen.txt")) >= 15

        daemon.wait_for(done, "fifteen batches")
    counts = [count for line in daemon.written(tmp_path / "seen.txt") for count in line.split()]
    assert set(counts) == {"1"}
    assert most <= 2 * 10, f"{most} messages were in flight with two slots of ten"


def test_idle_costs_one_long_poll(embedded_aws: str, sqs_client: Any, tmp_path: Path) -> None:
    """SQS-1, SQS-5, SUR-18: an idle mapping has exactly one receive in flight."""
    client = sqs_client(embedded_aws)
    queue = daemon.make_queue(client, daemon.own("idle"))
    daemon.write(
        tmp_path,
        {"Name": "idle", "EventSourceArn": queue["arn"], "FunctionName": "python:handlers:slow"},
        handlers=HANDLERS,
        ShutdownTimeoutInSeconds=6,
    )
    with daemon.running(tmp_path, daemon.environment(embedded_aws)) as running:
        running.ready()
        daemon.wait_for(lambda: running.metric("esm_pollers", mapping="idle") == 1, "one poller")
        daemon.send(client, queue["url"], [str(n) for n in range(100)])
        daemon.wait_for(lambda: daemon.empty(client, queue["url"]), "the work to be done")
        daemon.wait_for(lambda: running.metric("esm_pollers", mapping="idle") == 1, "one poller again")
        begin, before = time.monotonic(), running.metric("esm_polls_total", mapping="idle")

        def ended() -> float:
            return running.metric("esm_polls_total", mapping="idle") - before

        daemon.wait_for(lambda: ended() >= 3, "three long polls")
        # one after the other: what ended in this time began a poll's length earlier, but for the first
        polls = ended()
        assert polls <= (time.monotonic() - begin) / LONG_POLL + 1
