"""Time as the daemon keeps it: batching windows, retry delays, the limit on what runs at once, throttled receives.

The embedded AWS runs in a thread of the test, which looks at every call and plants faults. CLOCK_MONOTONIC is one
clock for all processes of a machine, so that the daemon's moments can be held to those of the calls.
"""

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from poller.testing import EmbeddedAws
from tests.acceptance import daemon

HANDLERS = """
import asyncio, json, os, pathlib, time

OUT = os.open(pathlib.Path(__file__).with_name("seen.txt"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)


def note(**seen):
    os.write(OUT, (json.dumps({"at": time.monotonic(), **seen}) + "\\n").encode())


async def batches(event, context):
    records = event["Records"]
    note(
        bodies=[record["body"] for record in records],
        counts=[int(record["attributes"]["ApproximateReceiveCount"]) for record in records],
        md5=[record.get("md5OfMessageAttributes", "missing") for record in records],
    )


async def slow(event, context):
    note(change=1)
    await asyncio.sleep(0.2)
    note(change=-1)


async def fourth_time(event, context):
    count = int(event["Records"][0]["attributes"]["ApproximateReceiveCount"])
    note(count=count)
    if count < 4:
        raise RuntimeError("on purpose")
"""


@dataclass(frozen=True)
class Call:
    """One call that the embedded AWS has done, and when."""

    at: float
    operation: str
    request: dict[str, Any]
    messages: int


@dataclass(frozen=True)
class Watched:
    """The embedded AWS and its calls."""

    aws: EmbeddedAws
    calls: list[Call]

    def of(self, operation: str) -> list[Call]:
        return [call for call in self.calls if call.operation == operation]

    def received(self) -> list[Call]:
        """Receives that brought something."""
        return [call for call in self.of("ReceiveMessage") if call.messages]


@pytest.fixture
def watched() -> Iterator[Watched]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    aws = EmbeddedAws()
    calls: list[Call] = []
    do = aws.sqs.apply

    def noted(now: Any, operation: str, request: dict[str, Any]) -> Any:
        answer = do(now, operation, request)
        messages = len(answer.get("Messages", ())) if isinstance(answer, dict) else 0
        calls.append(Call(time.monotonic(), operation, request, messages))
        return answer

    aws.sqs.apply = noted  # type: ignore[method-assign] - looks on, changes nothing
    asyncio.run_coroutine_threadsafe(aws.start(), loop).result(30)
    try:
        yield Watched(aws, calls)
    finally:
        asyncio.run_coroutine_threadsafe(aws.close(), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)
        loop.close()


@contextlib.contextmanager
def working(folder: Path, watched: Watched, queue: dict[str, str], function: str, **more: Any) -> Iterator[Any]:
    """A daemon with one mapping on that queue."""
    mapping = {
        "Name": "work",
        "EventSourceArn": queue["arn"],
        "FunctionName": f"python:handlers:{function}",
        "Handler": {"TimeoutInSeconds": 2},
        **more,
    }
    # 25 s, so that a long poll may last its 20
    daemon.write(folder, mapping, handlers=HANDLERS, ShutdownTimeoutInSeconds=25)
    with daemon.running(folder, daemon.environment(watched.aws.url)) as running:
        yield running


def seen(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in daemon.written(folder / "seen.txt")]


def bodies(folder: Path) -> list[str]:
    return [body for batch in seen(folder) for body in batch["bodies"]]


WINDOW = {"BatchSize": 100, "MaximumBatchingWindowInSeconds": 2}


def test_a_window_fills_batches_from_several_receives(watched: Watched, sqs_client: Any, tmp_path: Path) -> None:
    """BAT-1, BAT-8, BAT-10, SQS-1, SQS-8, SQS-44: above ten, at most BatchSize, each message once; null md5."""
    client = sqs_client(watched.aws.url)
    queue = daemon.make_queue(client, "window", visibility=3)
    sent = [str(n) for n in range(250)]
    daemon.send(client, queue["url"], sent)
    with working(tmp_path, watched, queue, "batches", **WINDOW):
        daemon.wait_for(lambda: len(set(bodies(tmp_path))) == len(sent), "all messages")
        daemon.wait_for(lambda: daemon.empty(client, queue["url"]), "all deletes")
    assert sorted(bodies(tmp_path)) == sorted(sent)
    sizes = [len(batch["bodies"]) for batch in seen(tmp_path)]
    assert max(sizes) > 10
    assert max(sizes) <= 100
    assert all(call.messages <= 10 for call in watched.received())
    assert {md5 for batch in seen(tmp_path) for md5 in batch["md5"]} == {None}, "null, not missing"
    # the queue's 3 s do not hold a window of 2 s and a handler of 2 s: receives ask for 2 + 2 + 30
    assert {call.request.get("VisibilityTimeout") for call in watched.of("ReceiveMessage")} == {34}


def test_a_window_is_kept_on_a_quiet_queue(watched: Watched, sqs_client: Any, tmp_path: Path) -> None:
    """BAT-4, BAT-9, SUR-10: a lonely message waits for its window and not for the end of a long poll."""
    client = sqs_client(watched.aws.url)
    queue = daemon.make_queue(client, "quiet", visibility=60)
    with working(tmp_path, watched, queue, "batches", **WINDOW) as running:
        running.ready()
        for number in range(3):
            client.send_message(QueueUrl=queue["url"], MessageBody=str(number))
            daemon.wait_for(lambda number=number: str(number) in bodies(tmp_path), f"message {number}")
            taken, handled = watched.received()[-1].at, seen(tmp_path)[-1]["at"]
            assert handled - taken >= 1.99, "the window was cut short"
            assert handled - taken < 10.0, "the window was overrun"
            meanwhile = [call for call in watched.of("ReceiveMessage") if taken < call.at < handled]
            assert all(call.request["WaitTimeSeconds"] <= 2 for call in meanwhile)
    assert {call.request.get("VisibilityTimeout") for call in watched.of("ReceiveMessage")} == {None}


def test_a_retry_delay_brings_failed_messages_back(watched: Watched, sqs_client: Any, tmp_path: Path) -> None:
    """SQS-21, SUR-7: after 1, 2 and at most 3 s by the receive count, not after the visibility timeout."""
    client = sqs_client(watched.aws.url)
    queue = daemon.make_queue(client, "delay", visibility=600)
    client.send_message(QueueUrl=queue["url"], MessageBody="one")
    delay = {"RetryDelay": {"Initial": 1, "Max": 3}}
    with working(tmp_path, watched, queue, "fourth_time", Poller=delay):
        daemon.wait_for(lambda: daemon.empty(client, queue["url"]), "the success of the fourth attempt")
    assert [entry["count"] for entry in seen(tmp_path)] == [1, 2, 3, 4]
    changes = [call for call in watched.calls if call.operation.startswith("ChangeMessageVisibility")]
    delays = [
        entry["VisibilityTimeout"] for call in changes for entry in call.request.get("Entries", [call.request])
    ]
    assert delays == [1, 2, 3]
    for change, again, seconds in zip(changes, watched.received()[1:], delays, strict=True):
        assert again.at - change.at >= seconds - 0.01
        assert again.at - change.at < 60.0


def test_maximum_concurrency_is_a_hard_limit(watched: Watched, sqs_client: Any, tmp_path: Path) -> None:
    """SQS-6: two batches run at once, and never three, although the handler would bear ten."""
    client = sqs_client(watched.aws.url)
    queue = daemon.make_queue(client, "limit", visibility=60)
    daemon.send(client, queue["url"], [str(n) for n in range(40)])
    limit = {"BatchSize": 1, "ScalingConfig": {"MaximumConcurrency": 2}}
    with working(tmp_path, watched, queue, "slow", **limit):
        daemon.wait_for(lambda: daemon.empty(client, queue["url"]), "the work")
    running, most = 0, 0
    for entry in seen(tmp_path):
        running += entry["change"]
        most = max(most, running)
    assert most == 2
    assert sum(entry["change"] == 1 for entry in seen(tmp_path)) == 40


def test_refused_and_lost_receives_cost_nothing_but_time(
    watched: Watched, sqs_client: Any, tmp_path: Path
) -> None:
    """API-16, GEN-2: throttled receives are tried again; messages of a lost answer come back, counted twice."""
    client = sqs_client(watched.aws.url)
    queue = daemon.make_queue(client, "faults", visibility=3)
    faults = watched.aws.faults
    faults.throttle("ReceiveMessage", times=3)
    faults.drop("ReceiveMessage", after=True)
    sent = [str(n) for n in range(60)]
    daemon.send(client, queue["url"], sent)
    with working(tmp_path, watched, queue, "batches") as running:
        daemon.wait_for(lambda: daemon.empty(client, queue["url"]), "the work")
        more = [str(n) for n in range(60, 120)]
        faults.throttle("ReceiveMessage", times=2)
        daemon.send(client, queue["url"], more)
        daemon.wait_for(lambda: set(bodies(tmp_path)) == {*sent, *more}, "the rest")
        daemon.wait_for(lambda: daemon.empty(client, queue["url"]), "the last deletes")
        throttled = running.metric("esm_polls_total", mapping="work", outcome="throttled")
    assert throttled >= 3
    assert sorted(bodies(tmp_path)) == sorted([*sent, *more])
    counts = [count for batch in seen(tmp_path) for count in batch["counts"]]
    assert set(counts) <= {1, 2}
    assert counts.count(2) <= 10, "only the receive whose answer was lost"
