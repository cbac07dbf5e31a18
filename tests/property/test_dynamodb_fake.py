"""Whatever is written, and however time passes: a reader of the embedded streams meets a key's changes, in order.

The reader is as simple as can be: it reads parents before children, and gets a new iterator where the old one is
refused. It looks often enough that nothing is trimmed unread.
"""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from poller.core.model import Instant
from poller.core.records import sequence_value
from poller.testing.dynamodb import DynamoDb
from poller.testing.dynamodb_errors import DynamoDbError

HOUR = 3600.0
KEYS = st.sampled_from([f"k{number}" for number in range(6)])


class StreamMachine(RuleBasedStateMachine):
    """Keeps its own account of what was written to each key, and what the reader met."""

    shards = 2
    first_sequence = 10**21 - 500

    def __init__(self) -> None:
        super().__init__()
        self.db = DynamoDb(seed=0, shards=self.shards, first_sequence=self.first_sequence)
        self.mono = 0.0
        self.do(
            "CreateTable",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        )
        self.arn = self.do("DescribeTable")["Table"]["LatestStreamArn"]
        self.items: dict[str, str] = {}
        self.written: dict[str, list[tuple[str | None, str | None]]] = {}
        self.met: dict[str, list[tuple[str | None, str | None]]] = {}
        self.iterators: dict[str, str] = {}
        self.last: dict[str, str] = {}
        self.ended: set[str] = set()
        self.unread_since = 0.0

    @property
    def now(self) -> Instant:
        return Instant(1e9 + self.mono, self.mono)

    def do(self, operation, **request):
        return self.db.apply(self.now, operation, {"TableName": "shop"} | request)

    def streams(self, operation, **request):
        return self.db.streams.apply(self.now, operation, request)

    def note(self, key: str, new: str | None) -> None:
        old = self.items.pop(key, None)
        if new is not None:
            self.items[key] = new
        if old != new:
            self.written.setdefault(key, []).append((old, new))

    @rule(key=KEYS, value=st.sampled_from("abc"))
    def put(self, key: str, value: str) -> None:
        self.do("PutItem", Item={"id": {"S": key}, "v": {"S": value}})
        self.note(key, value)

    @rule(key=KEYS)
    def delete(self, key: str) -> None:
        self.do("DeleteItem", Key={"id": {"S": key}})
        self.note(key, None)

    @rule(value=st.sampled_from("abc"))
    def put_all(self, value: str) -> None:
        for number in range(6):
            self.put(f"k{number}", value)

    @rule(into=st.sampled_from([1, 1, 2]))
    def roll(self, into: int) -> None:
        if len(self.db.all_streams[self.arn].open) < 16:
            self.db.roll(self.now, "shop", into)

    @rule(seconds=st.sampled_from([1.0, 800.0, 1_000.0, HOUR, 5 * HOUR, 23 * HOUR]))
    def wait(self, seconds: float) -> None:
        if self.mono + seconds - self.unread_since >= 24 * HOUR:
            self.read_all()
        self.mono += seconds

    @rule(limit=st.integers(1, 3), rounds=st.integers(1, 4))
    def read_some(self, limit: int, rounds: int) -> None:
        for _ in range(rounds):
            self.read(limit)

    def read_all(self) -> None:
        while self.read(1_000):
            pass
        self.unread_since = self.mono

    def read(self, limit: int) -> bool:
        """One GetRecords of each shard whose parents have ended; whether anything came of it."""
        progress = False
        listed = self.list_shards()
        for shard in listed:
            parent = shard.get("ParentShardId")
            shard_id = shard["ShardId"]
            if shard_id in self.ended or (parent in {s["ShardId"] for s in listed} and parent not in self.ended):
                continue
            answer = self.get(shard_id, limit)
            for record in answer["Records"]:
                self.meet(shard_id, record)
            if "NextShardIterator" in answer:
                self.iterators[shard_id] = answer["NextShardIterator"]
            else:
                self.ended.add(shard_id)
            progress = progress or bool(answer["Records"]) or shard_id in self.ended
        return progress

    def list_shards(self):
        shards, start = [], {}
        while True:
            told = self.streams("DescribeStream", StreamArn=self.arn, Limit=3, **start)["StreamDescription"]
            shards += told["Shards"]
            if "LastEvaluatedShardId" not in told:
                return shards
            start = {"ExclusiveStartShardId": told["LastEvaluatedShardId"]}

    def get(self, shard_id: str, limit: int):
        if shard_id in self.iterators:
            try:
                return self.streams("GetRecords", ShardIterator=self.iterators[shard_id], Limit=limit)
            except DynamoDbError as error:
                if error.name != "ExpiredIteratorException":
                    raise
        place = {"ShardIteratorType": "TRIM_HORIZON"}
        if shard_id in self.last:
            place = {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": self.last[shard_id]}
        try:
            told = self.streams("GetShardIterator", StreamArn=self.arn, ShardId=shard_id, **place)
        except DynamoDbError as error:
            if error.name != "TrimmedDataAccessException":  # it was read, and is a day old by now (STR-25)
                raise
            request = {"StreamArn": self.arn, "ShardId": shard_id, "ShardIteratorType": "TRIM_HORIZON"}
            told = self.streams("GetShardIterator", **request)
        return self.streams("GetRecords", ShardIterator=told["ShardIterator"], Limit=limit)

    def meet(self, shard_id: str, record) -> None:
        told = record["dynamodb"]
        sequence = told["SequenceNumber"]
        if shard_id in self.last:
            assert sequence_value(sequence) > sequence_value(self.last[shard_id])
        self.last[shard_id] = sequence
        old, new = (told.get(image, {}).get("v", {}).get("S") for image in ("OldImage", "NewImage"))
        assert record["eventName"] == ("INSERT" if old is None else "REMOVE" if new is None else "MODIFY")
        self.met.setdefault(told["Keys"]["id"]["S"], []).append((old, new))

    @invariant()
    def what_was_met_is_what_was_written_so_far(self) -> None:
        for key, met in self.met.items():
            assert met == self.written[key][: len(met)]

    def teardown(self) -> None:
        self.read_all()
        assert self.met == self.written


class ManyShards(StreamMachine):
    shards = 5
    first_sequence = 99 * 10**19


@pytest.mark.parametrize("machine", [StreamMachine, ManyShards])
def test_no_change_of_a_key_is_lost_or_out_of_order(machine: type[StreamMachine]) -> None:
    """STR-7, STR-28, DDB-6."""
    run_state_machine_as_test(
        machine, settings=settings(max_examples=60, stateful_step_count=40, deadline=None, derandomize=True)
    )
