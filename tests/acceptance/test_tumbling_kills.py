"""Tumbling windows under `kill -9`: state and position are one write, so the sums of a window stay exact.

The embedded AWS runs in a thread of the test, and its clock moves only when the test says so: all records but the
last belong to one window, however long the kills take.
"""

import asyncio
import base64
import json
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from poller.core.model import Instant
from poller.testing import EmbeddedAws, ManualClock
from tests.acceptance import daemon

STREAM = "arn:aws:kinesis:us-east-1:000000000000:stream/amounts"
RECORDS, KILLS, LENGTH = 250, 2, 900
HANDLERS = """
import asyncio, base64, json, os, pathlib

OUT = os.open(pathlib.Path(__file__).with_name("seen.txt"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)


async def sums(event, context):
    state = event["state"]
    await asyncio.sleep(0.02)
    for record in event["Records"]:
        key, amount = record["kinesis"]["partitionKey"], int(base64.b64decode(record["kinesis"]["data"]))
        state[key] = state.get(key, 0) + amount
    final = event["isFinalInvokeForWindow"]
    os.write(OUT, (json.dumps({"count": len(event["Records"]), "final": final, "state": state}) + "\\n").encode())
    return {"state": state}
"""


@pytest.fixture
def aws() -> Iterator[EmbeddedAws]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    now = time.time()
    # the window after the present one, so that it is not over by our own clock before the test is
    aws = EmbeddedAws(clock=ManualClock(Instant(now - now % LENGTH + LENGTH, 1_000.0)))
    aws.kinesis.limits = False  # its clock stands still: after five reads nobody could read any more
    asyncio.run_coroutine_threadsafe(aws.start(), loop).result(30)
    try:
        yield aws
    finally:
        asyncio.run_coroutine_threadsafe(aws.close(), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)
        loop.close()


def ask(aws: EmbeddedAws, operation: str, **request: Any) -> Any:
    return aws.kinesis.apply(aws.service.clock.now(), operation, {"StreamName": "amounts", **request})


def put(aws: EmbeddedAws, key: str, amount: int) -> None:
    ask(aws, "PutRecord", PartitionKey=key, Data=base64.b64encode(str(amount).encode()).decode())


def seen(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in daemon.written(folder / "seen.txt")]


def test_kills_count_nothing_twice_in_a_window(aws: EmbeddedAws, tmp_path: Path) -> None:
    """TMB-12, STR-31, GEN-2: records come again, and their state with them is that of before."""
    ask(aws, "CreateStream", ShardCount=1)
    for number in range(RECORDS):
        put(aws, f"key-{number % 7}", number)
    expected = {f"key-{key}": sum(range(key, RECORDS, 7)) for key in range(7)}
    mapping = {
        "Name": "sums",
        "EventSourceArn": STREAM,
        "FunctionName": "python:handlers:sums",
        "StartingPosition": "TRIM_HORIZON",
        "TumblingWindowInSeconds": LENGTH,
        "BatchSize": 5,
    }
    daemon.write(tmp_path, mapping, handlers=HANDLERS, State="sqlite:sums.db")
    env = daemon.environment(aws.url)
    chance = random.Random(7)
    for _ in range(KILLS):
        before = len(seen(tmp_path))
        with daemon.running(tmp_path, env):
            daemon.wait_for(lambda before=before: len(seen(tmp_path)) > before + 5, "some batches")
            time.sleep(chance.uniform(0, 0.03))  # not always at the same place of a batch
    with daemon.running(tmp_path, env) as running:
        daemon.wait_for(lambda: seen(tmp_path)[-1]["state"] == expected, "all records of the window")
        clock = aws.service.clock
        assert isinstance(clock, ManualClock)
        clock.advance(LENGTH)
        put(aws, "next", 1)
        daemon.wait_for(lambda: seen(tmp_path)[-1]["state"] == {"next": 1}, "the next window")
        running.signal(15)
        assert running.wait() == 0, running.output()
    finals = [one["state"] for one in seen(tmp_path) if one["final"]]
    assert finals == [expected]
    assert sum(one["count"] for one in seen(tmp_path)) > RECORDS + 1, "no kill was in the way of anything"
