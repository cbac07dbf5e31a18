"""Streams for the daemon's tests: made, filled and resharded, on any server; their mappings, positions and
failure documents; and an embedded AWS in a thread whose clock a test moves.
"""

import asyncio
import contextlib
import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import boto3
import botocore.config

from poller.clock import SystemClock
from poller.core.model import Instant
from poller.testing import EmbeddedAws
from tests.acceptance import daemon

T = TypeVar("T")
HASH_KEYS = 1 << 128

# What handlers of these tests begin with: one line appended in one write.
NOTES = """
import asyncio, base64, os, pathlib, random, sys, time

HERE = pathlib.Path(__file__).parent
_OUT = os.open(HERE / "notes.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)


def note(*lines):
    os.write(_OUT, "".join(f"{line}\\n" for line in lines).encode())


def there(name):
    return (HERE / name).exists()


def text(record):
    return base64.b64decode(record["kinesis"]["data"]).decode()
"""


def client(service: str, url: str) -> Any:
    """A boto3 client with dummy credentials; whoever makes it closes it."""
    return boto3.client(
        service,
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=botocore.config.Config(retries={"total_max_attempts": 1}, read_timeout=40),
    )


class Placed(NamedTuple):
    """Where a record went."""

    shard: str
    sequence: str


class Stream:
    """A stream of its own for one test."""

    def __init__(self, kinesis: Any, name: str, shards: int = 1) -> None:
        self.name = name
        self._kinesis = kinesis
        self.create(shards)

    def create(self, shards: int) -> None:
        """Makes it, or makes it anew."""
        self._kinesis.create_stream(StreamName=self.name, ShardCount=shards)
        self.arn = str(self.active()["StreamARN"])

    def delete(self) -> None:
        self._kinesis.delete_stream(StreamName=self.name)

        def gone() -> bool:
            try:
                self._kinesis.describe_stream_summary(StreamName=self.name)
            except self._kinesis.exceptions.ResourceNotFoundException:
                return True
            return False

        daemon.wait_for(gone, "the end of the stream")

    def active(self) -> Any:
        """Waits until what was asked of it is done: its summary."""

        def told() -> Any:
            summary = self._kinesis.describe_stream_summary(StreamName=self.name)["StreamDescriptionSummary"]
            return summary if summary["StreamStatus"] == "ACTIVE" else None

        return daemon.wait_for(told, "the stream to be active")

    def put(self, texts: Sequence[str], keys: Sequence[str] | str) -> list[Placed]:
        """In this order; `keys` one for each, or one for all."""
        each = [keys] * len(texts) if isinstance(keys, str) else keys
        entries = [{"Data": text.encode(), "PartitionKey": key} for text, key in zip(texts, each, strict=True)]
        return self._put(entries)

    def put_in(self, shard: str, texts: Iterable[str]) -> list[Placed]:
        """Into this shard, which is open."""
        at = self._range(shard)[0]
        return self._put([{"Data": t.encode(), "PartitionKey": t, "ExplicitHashKey": str(at)} for t in texts])

    def _put(self, entries: list[dict[str, Any]]) -> list[Placed]:
        placed = []
        for start in range(0, len(entries), 500):
            answer = self._kinesis.put_records(StreamName=self.name, Records=entries[start : start + 500])
            assert not answer.get("FailedRecordCount"), answer
            placed += [Placed(one["ShardId"], one["SequenceNumber"]) for one in answer["Records"]]
        return placed

    def shards(self) -> dict[str, Any]:
        """As listed, by id."""
        return {one["ShardId"]: one for one in self._kinesis.list_shards(StreamName=self.name)["Shards"]}

    def _range(self, shard: str) -> tuple[int, int]:
        told = self.shards()[shard]["HashKeyRange"]
        return int(told["StartingHashKey"]), int(told["EndingHashKey"])

    def split(self, shard: str) -> tuple[str, str]:
        """In the middle: the lower and the upper child."""
        low, high = self._range(shard)
        self._kinesis.split_shard(
            StreamName=self.name, ShardToSplit=shard, NewStartingHashKey=str((low + high) // 2 + 1)
        )
        lower, upper = self._children(shard)
        return lower, upper

    def merge(self, first: str, second: str) -> str:
        self._kinesis.merge_shards(StreamName=self.name, ShardToMerge=first, AdjacentShardToMerge=second)
        (child,) = self._children(first)
        return child

    def _children(self, parent: str) -> list[str]:
        self.active()
        shards = self.shards()
        of_it = [key for key, one in shards.items() if one.get("ParentShardId") == parent]
        return sorted(of_it, key=lambda key: int(shards[key]["HashKeyRange"]["StartingHashKey"]))


def mapping(stream: Stream, function: str = "work", **more: Any) -> dict[str, Any]:
    """A mapping of it, from the horizon unless told otherwise."""
    return {
        "Name": stream.name,
        "EventSourceArn": stream.arn,
        "FunctionName": f"python:handlers:{function}",
        "StartingPosition": "TRIM_HORIZON",
        **more,
    }


def to_queue(arn: str) -> dict[str, Any]:
    """DestinationConfig."""
    return {"OnFailure": {"Destination": arn}}


def write(folder: Path, *mappings: dict[str, Any], handlers: str, **settings: Any) -> None:
    """daemon.write with a state file, and the helpers of NOTES for the handlers."""
    daemon.write(folder, *mappings, handlers=NOTES + handlers, **{"State": "sqlite:state.db", **settings})


def notes(folder: Path) -> list[str]:
    """What handlers have noted."""
    return daemon.written(folder / "notes.txt")


def positions(folder: Path, app: str | None = None) -> dict[tuple[str, str], str]:
    """The checkpoints in the state file, by mapping (its UUID) and shard."""
    if not (folder / "state.db").exists():
        return {}
    with contextlib.closing(sqlite3.connect(f"file:{folder / 'state.db'}?mode=ro", uri=True)) as connection:
        rows = connection.execute("SELECT app, leaseKey, checkpoint FROM lease").fetchall()
    return {(of, key): checkpoint for of, key, checkpoint in rows if app in {None, of}}


def checkpoints(folder: Path) -> dict[str, str]:
    """The same where there is one mapping: by shard."""
    return {key: checkpoint for (_, key), checkpoint in positions(folder).items()}


def documents(sqs: Any, url: str) -> list[dict[str, Any]]:
    """Takes what is in a failure queue now."""
    found = []
    while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
        for message in messages:
            found.append(json.loads(message["Body"]))
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return found


class MovedClock:
    """The system's time, and so many seconds more as a test has moved it on."""

    def __init__(self) -> None:
        self._clock = SystemClock()
        self.ahead = 0.0

    def now(self) -> Instant:
        now = self._clock.now()
        return Instant(now.wall + self.ahead, now.mono + self.ahead)


class Beside:
    """An embedded AWS in a thread of its own: a process under test sees it as any other."""

    def __init__(self) -> None:
        self.clock = MovedClock()
        self.aws = EmbeddedAws(clock=self.clock)
        self._loop = asyncio.new_event_loop()

    @property
    def url(self) -> str:
        return self.aws.url

    def do(self, work: Callable[[EmbeddedAws], T]) -> T:
        """In its thread."""

        async def call() -> T:
            return work(self.aws)

        return asyncio.run_coroutine_threadsafe(call(), self._loop).result(30)

    def calls(self, operation: str) -> int:
        """How often Kinesis was asked for this."""
        return self.do(lambda aws: aws.kinesis_service.calls[operation])


@contextlib.contextmanager
def aws_beside() -> Iterator[Beside]:
    """Gone with the block."""
    beside = Beside()
    thread = threading.Thread(target=beside._loop.run_forever, daemon=True)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(beside.aws.start(), beside._loop).result(30)
        yield beside
    finally:
        asyncio.run_coroutine_threadsafe(beside.aws.close(), beside._loop).result(30)
        beside._loop.call_soon_threadsafe(beside._loop.stop)
        thread.join(10)
        beside._loop.close()


async def until(condition: Callable[[], Any], what: str) -> None:
    """daemon.wait_for inside an event loop."""
    end = time.monotonic() + daemon.DEADLINE
    while not condition():
        assert time.monotonic() < end, f"waited {daemon.DEADLINE:g} s in vain for {what}"
        await asyncio.sleep(0.01)


def soon(condition: Callable[[], Any], seconds: float) -> bool:
    """Whether it comes true within so many seconds."""
    end = time.monotonic() + seconds
    while not (found := condition()) and time.monotonic() < end:
        time.sleep(0.002)
    return bool(found)
