"""Tumbling windows through the library, from a stream of the embedded AWS to a handler and back (TMB).

The clock of the AWS is the test's: a record arrives when the test says so. The clock of our process is the real
one, so the windows lie around the present.
"""

import asyncio
import base64
import copy
import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

import poller
from poller.core import pace, stream_saving, stream_settle
from poller.core.model import Instant, SourceKind
from poller.core.tumbling import GRACE, STATE_LIMIT
from poller.testing import EmbeddedAws, FakeQueue, ManualClock
from tests.unit.runtime.rig import until

STREAM = "arn:aws:kinesis:us-east-1:000000000000:stream/amounts"
DEAD = "arn:aws:sqs:us-east-1:000000000000:dead"
LENGTH = 60
LOW, HIGH = "0", str(2**127)  # hash keys of the two shards
SHARDS = ("shardId-000000000000", "shardId-000000000001")
Event = dict[str, Any]


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing waits longer than it must."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    for kind in (SourceKind.KINESIS, SourceKind.DYNAMODB):
        monkeypatch.setitem(pace._IDLE, kind, 0.01)
        monkeypatch.setitem(pace._BEHIND, kind, 0.01)
    monkeypatch.setattr(stream_settle, "RETRY_FIRST", 0.01)
    monkeypatch.setattr(stream_saving, "SAVE_EVERY", 0.01)


class Stream:
    """A Kinesis stream of two shards and its AWS; `at` is the arrival of what is put next, seconds from the start
    of a window that is going on or just over.
    """

    def __init__(self, aws: EmbeddedAws, clock: ManualClock) -> None:
        self._aws = aws
        self._clock = clock
        self.start = clock.now().wall
        self.sums: dict[tuple[str, float], Counter[str]] = defaultdict(Counter)
        aws.kinesis.limits = False  # its clock stands still: after five reads nobody could read any more
        self.ask(aws.kinesis, "CreateStream", StreamName="amounts", ShardCount=2)
        self._dead = FakeQueue("dead", service=aws.service)

    @property
    def url(self) -> str:
        return self._aws.url

    def ask(self, machine: Any, operation: str, **request: Any) -> Any:
        return machine.apply(self._clock.now(), operation, request)

    def at(self, second: float) -> "Stream":
        self._clock.advance(self.start + second - self._clock.now().wall)
        return self

    def put(self, key: str, amount: int, hash_key: str = LOW) -> None:
        data = base64.b64encode(str(amount).encode()).decode()
        record = {"StreamName": "amounts", "PartitionKey": key, "Data": data, "ExplicitHashKey": hash_key}
        shard = self.ask(self._aws.kinesis, "PutRecord", **record)["ShardId"]
        now = self._clock.now().wall
        self.sums[shard, now - now % LENGTH][key] += amount

    def split(self) -> None:
        half = str(2**126)
        self.ask(
            self._aws.kinesis, "SplitShard", StreamName="amounts", ShardToSplit=SHARDS[0], NewStartingHashKey=half
        )

    def documents(self) -> list[Event]:
        """The failure documents that have come into the queue."""
        return [json.loads(body) for body in self._dead.bodies()]


@pytest.fixture
async def stream():
    now = time.time()
    clock = ManualClock(Instant(now - now % LENGTH, 1_000.0))
    async with EmbeddedAws(clock=clock) as aws:
        yield Stream(aws, clock)


class Sums:
    """The handler: a sum for each key. `seen` are its events, `fails` says which of them raise."""

    def __init__(self, fails: Callable[[Event], bool] = lambda _: False) -> None:
        self.seen: list[Event] = []
        self._fails = fails

    async def __call__(self, event: Event, context: Any) -> Any:
        self.seen.append(copy.deepcopy(event))
        if self._fails(event):
            raise RuntimeError("on purpose")
        sums = event["state"]
        for record in event["Records"]:
            key, amount = record["kinesis"]["partitionKey"], int(base64.b64decode(record["kinesis"]["data"]))
            sums[key] = sums.get(key, 0) + amount
        return None if event["isFinalInvokeForWindow"] else {"state": sums}

    @property
    def finals(self) -> list[Event]:
        return [event for event in self.seen if event["isFinalInvokeForWindow"]]

    def totals(self) -> dict[tuple[str, float], Counter[str]]:
        """The sums of each shard's windows that have been closed, by the start of the window."""
        return {(one["shardId"], seconds(one["window"]["start"])): Counter(one["state"]) for one in self.finals}

    async def closed(self, count: int) -> None:
        await until(lambda: len(self.finals) >= count, f"{count} windows")

    async def has(self, key: str) -> None:
        """Until a record with this key came."""
        await until(lambda: key in self.names(), f"the record {key}")

    def names(self) -> list[str]:
        return [record["kinesis"]["partitionKey"] for event in self.seen for record in event["Records"]]


def seconds(text: str) -> float:
    """The epoch second of a time of the event."""
    return datetime.fromisoformat(text).timestamp()


def running(stream: Stream, state: str = "memory:") -> poller.Poller:
    return poller.Poller(state=state, region="us-east-1", endpoint_url=stream.url, shutdown_timeout=5)


def add(p: poller.Poller, handler: Any, **fields: Any) -> Any:
    windows = {"StartingPosition": "TRIM_HORIZON", "TumblingWindowInSeconds": LENGTH, "Name": "sums"}
    return p.add(STREAM, handler, **windows | fields)


async def test_each_window_has_the_sums_of_its_records(stream: Stream) -> None:
    """TMB-1, TMB-3, TMB-4, TMB-8, TMB-14, OPEN-16: by key and shard, in order, however they are batched."""
    handler = Sums()
    async with running(stream) as p:
        add(p, handler, BatchSize=4)
        for window in (0, 1, 2, 5):  # in two of them nothing comes
            for second in range(3, LENGTH, 7):
                stream.at(window * LENGTH + second)
                for number, hash_key in enumerate((LOW, HIGH, LOW)):
                    stream.put(f"key-{second % 3}", window * 100 + second + number, hash_key)
            await asyncio.sleep(0)
        expected = {place: sums for place, sums in stream.sums.items() if place[1] < stream.start + 5 * LENGTH}
        await handler.closed(len(expected))
    assert handler.totals() == expected
    assert len(handler.finals) == len(expected) == 6
    opened: dict[str, float] = defaultdict(float)
    for event in handler.seen:
        start, shard = seconds(event["window"]["start"]), event["shardId"]
        assert seconds(event["window"]["end"]) == start + LENGTH
        assert start % LENGTH == 0
        assert start >= opened[shard], "a window that was over went on"
        assert (event["state"] == {}) == (start > opened[shard]), "only the first call of a window has no state"
        opened[shard] = start
        assert len(event["Records"]) <= 4
        assert bool(event["Records"]) != event["isFinalInvokeForWindow"]
        for record in event["Records"]:
            assert start <= record["kinesis"]["approximateArrivalTimestamp"] < start + LENGTH
        assert not event["isWindowTerminatedEarly"]


async def test_tmb_7_an_idle_window_closes_by_itself(stream: Stream) -> None:
    """TMB-7: 120 s after its end, with no other record."""
    handler = Sums()
    stream._clock = stream._aws.service.clock = ManualClock(Instant(stream.start - GRACE - 3 * LENGTH, 2_000.0))
    stream.put("ann", 3)
    async with running(stream) as p:
        add(p, handler)
        await handler.closed(1)
        stream.at(0).put("ann", 4)
        await until(lambda: len(handler.seen) == 3, "the next window")
    assert [event["state"] for event in handler.seen] == [{}, {"ann": 3}, {}]


async def test_tmb_6_state_beyond_its_limit_ends_the_window_early(stream: Stream) -> None:
    """TMB-6: the final call has all of it, and the window goes on with none."""
    blob = "x" * STATE_LIMIT
    seen: list[Event] = []

    async def handler(event: Event, context: Any) -> Any:
        seen.append(copy.deepcopy(event))
        return {"state": {"blob": blob} if len(seen) == 1 else {"small": len(seen)}}

    stream.put("ann", 1)
    async with running(stream) as p:
        add(p, handler)
        await until(lambda: len(seen) == 2, "the early end")
        stream.at(1).put("ann", 2)
        await until(lambda: len(seen) == 3, "the next record")
        stream.at(LENGTH).put("ann", 3)
        await until(lambda: len(seen) == 5, "the next window")
    first, early, second, final, following = seen
    assert (early["Records"], early["state"]) == ([], {"blob": blob})
    assert (early["isFinalInvokeForWindow"], early["isWindowTerminatedEarly"]) == (True, True)
    assert first["window"] == early["window"] == second["window"] == final["window"]
    assert (second["state"], second["isWindowTerminatedEarly"]) == ({}, False)
    assert (final["state"], final["isWindowTerminatedEarly"]) == ({"small": 3}, False)
    assert (following["state"], following["isFinalInvokeForWindow"]) == ({}, False)


async def test_tmb_9_a_final_call_that_fails_is_repeated_and_holds_the_shard(stream: Stream) -> None:
    """TMB-9, TMB-8: with the same state, until it succeeds; the other shard goes on."""
    tries: list[Event] = []

    def fails(event: Event) -> bool:
        if event["isFinalInvokeForWindow"] and event["shardId"] == SHARDS[0]:
            tries.append(copy.deepcopy(event))
        return event["isFinalInvokeForWindow"] and event["shardId"] == SHARDS[0] and not healed.is_set()

    healed = asyncio.Event()
    handler = Sums(fails)
    stream.put("ann", 3)
    stream.put("bob", 4, HIGH)
    stream.at(LENGTH).put("cid", 5)
    stream.put("dan", 6, HIGH)
    async with running(stream) as p:
        add(p, handler)
        await until(lambda: len(tries) >= 3, "the third try")
        await handler.has("dan")
        assert "cid" not in handler.names()
        healed.set()
        await handler.has("cid")
    assert all((event["state"], event["Records"]) == ({"ann": 3}, []) for event in tries)
    (after,) = [event for event in handler.seen if event["Records"] and "cid" in str(event["Records"])]
    assert after["state"] == {}


async def test_tmb_10_a_final_call_that_is_given_up_is_told(stream: Stream) -> None:
    """TMB-10, TMB-9, ERR-5: after MaximumRetryAttempts, with its window and without a range of records."""
    handler = Sums(lambda event: bool(event["isFinalInvokeForWindow"] and event["state"] == {"ann": 3}))
    stream.put("ann", 3)
    stream.at(LENGTH).put("ann", 4)
    async with running(stream) as p:
        add(p, handler, MaximumRetryAttempts=2, DestinationConfig={"OnFailure": {"Destination": DEAD}})
        (document,) = await until(stream.documents, "the failure document")
        stream.at(2 * LENGTH).put("ann", 5)
        await handler.closed(4)
        assert len(stream.documents()) == 1
    window = handler.finals[0]["window"]
    assert [one["state"] for one in handler.finals] == [{"ann": 3}, {"ann": 3}, {"ann": 3}, {"ann": 4}]
    assert document["requestContext"]["condition"] == "RetryAttemptsExhausted"
    assert document["requestContext"]["approximateInvokeCount"] == 3
    assert document["responseContext"]["functionError"] == "Unhandled"
    assert document["KinesisBatchInfo"] == {"shardId": SHARDS[0], "streamArn": STREAM}
    assert document["timeWindowInfo"] == {
        "window": window,
        "isFinalInvokeForWindow": True,
        "isWindowTerminatedEarly": False,
    }


async def test_tmb_12_state_outlives_a_restart_and_ends_with_its_mapping(stream: Stream, tmp_path: Path) -> None:
    """TMB-12, API-10: the next process goes on with the sums; a mapping that was removed starts over."""
    state = f"sqlite:{tmp_path / 'sums.db'}"
    stream.put("ann", 3)
    before, after, anew = Sums(), Sums(), Sums()
    async with running(stream, state) as p:
        add(p, before)
        await before.has("ann")
    stream.at(1).put("bob", 4)
    async with running(stream, state) as p:
        mapping = add(p, after)
        await after.has("bob")
        stream.at(LENGTH).put("cid", 5)
        await after.closed(1)
        await after.has("cid")
        await p.remove(mapping.uuid)
        add(p, anew)
        await anew.closed(1)
    assert before.finals == []
    assert after.names() == ["bob", "cid"]
    assert [event["state"] for event in after.seen] == [{"ann": 3}, {"ann": 3, "bob": 4}, {}]
    assert anew.seen[0]["state"] == {}
    assert anew.finals[0]["state"] == {"ann": 3, "bob": 4}


async def test_tmb_11_the_end_of_a_shard_closes_its_window(stream: Stream) -> None:
    """TMB-11, TMB-7, STR-2: and its children begin with none, in the same window of time."""
    handler = Sums()
    stream.put("ann", 3)
    stream.split()
    stream.at(1).put("ann", 4)
    async with running(stream) as p:
        add(p, handler)
        await until(lambda: len(handler.seen) == 3, "the child's record")
    parent, final, child = handler.seen
    assert (final["shardId"], final["state"], final["isFinalInvokeForWindow"]) == (SHARDS[0], {"ann": 3}, True)
    assert child["shardId"] not in SHARDS
    assert (child["state"], child["isFinalInvokeForWindow"]) == ({}, False)
    assert child["window"] == parent["window"]


async def test_windows_of_a_table(stream: Stream) -> None:
    """TMB-1, DDB-4: by the whole seconds in which the changes of an item were made."""
    dynamodb = stream._aws.dynamodb
    made = stream.ask(
        dynamodb,
        "CreateTable",
        TableName="amounts",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
    )
    finals: list[Event] = []

    async def handler(event: Event, context: Any) -> Any:
        if event["isFinalInvokeForWindow"]:
            finals.append(copy.deepcopy(event))
            return None
        amounts = [int(record["dynamodb"]["NewImage"]["amount"]["N"]) for record in event["Records"]]
        return {"state": {"sum": event["state"].get("sum", 0) + sum(amounts)}}

    def write(second: float, amount: int) -> None:
        stream.at(second)
        stream.ask(
            dynamodb,
            "PutItem",
            TableName="amounts",
            Item={"id": {"S": "ann"}, "amount": {"N": str(amount)}},
        )

    for second, amount in ((0, 1), (LENGTH - 0.5, 2), (LENGTH, 4), (LENGTH + 30, 8), (2 * LENGTH, 16)):
        write(second, amount)
    async with running(stream) as p:
        arn = made["TableDescription"]["LatestStreamArn"]
        p.add(arn, handler, StartingPosition="TRIM_HORIZON", TumblingWindowInSeconds=LENGTH)
        await until(lambda: len(finals) == 2, "two windows")
    assert [(seconds(one["window"]["start"]) - stream.start, one["state"]) for one in finals] == [
        (0.0, {"sum": 3}),
        (float(LENGTH), {"sum": 12}),
    ]
    assert {one["eventSourceARN"] for one in finals} == {arn}
