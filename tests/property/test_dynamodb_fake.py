"""Whatever is written, and however time passes: a reader of the embedded streams meets a key's changes, in order.

The reader is as simple as can be: it reads parents before children, and gets a new iterator where the old one is
refused. It looks often enough that nothing is trimmed unread.
"""

import orjson
import pytest
from hypothesis import given, settings
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
        unread = {shard["ShardId"] for shard in listed} - self.ended
        for shard in listed:
            shard_id = shard["ShardId"]
            if shard_id in self.ended or shard.get("ParentShardId") in unread - self.ended:
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
            told = self.streams("DescribeStream", StreamArn=self.arn, Limit=5, **start)["StreamDescription"]
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
    run_state_machine_as_test(machine, settings=settings(stateful_step_count=40, derandomize=True))


KEY = {"id": {"S": "k0"}}
VALUES = {"ExpressionAttributeNames": {"#n": "v"}, "ExpressionAttributeValues": {":v": {"S": "x"}}}
ENABLED = {"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"}
# Well-formed, for a table with the item KEY and no stream; ARN, SHARD and ITERATOR stand for what the test has.
REQUESTS = {
    "CreateTable": {
        "TableName": "other",
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "StreamSpecification": ENABLED,
    },
    "UpdateTable": {"TableName": "shop", "StreamSpecification": ENABLED},
    "DescribeTable": {"TableName": "shop"},
    "ListTables": {"Limit": 1, "ExclusiveStartTableName": "a"},
    "UpdateTimeToLive": {
        "TableName": "shop",
        "TimeToLiveSpecification": {"Enabled": True, "AttributeName": "v"},
    },
    "PutItem": {
        "TableName": "shop",
        "Item": KEY | {"v": {"L": [{"NS": ["1"]}, {"M": {"b": {"B": "Zm9v"}}}]}},
        "ConditionExpression": "#n <> :v OR attribute_not_exists(x)",
        "ReturnValues": "ALL_OLD",
        **VALUES,
    },
    "UpdateItem": {"TableName": "shop", "Key": KEY, "UpdateExpression": "SET a = if_not_exists(#n, :v)", **VALUES},
    "GetItem": {"TableName": "shop", "Key": KEY, "ConsistentRead": True},
    "Query": {
        "TableName": "shop",
        "KeyConditionExpression": "id = :v",
        "ExpressionAttributeValues": {":v": {"S": "k0"}},
        "ExclusiveStartKey": KEY,
        "ScanIndexForward": False,
    },
    "Scan": {"TableName": "shop", "ExclusiveStartKey": KEY, "Limit": 2},
    "BatchWriteItem": {
        "RequestItems": {"shop": [{"PutRequest": {"Item": {"id": {"S": "b"}}}}, {"DeleteRequest": {"Key": KEY}}]}
    },
    "DescribeStream": {
        "StreamArn": "ARN",
        "ShardFilter": {"Type": "CHILD_SHARDS", "ShardId": "SHARD"},
        "Limit": 3,
    },
    "ListStreams": {"TableName": "shop", "Limit": 3, "ExclusiveStartStreamArn": "a"},
    "GetShardIterator": {"StreamArn": "ARN", "ShardId": "SHARD", "ShardIteratorType": "TRIM_HORIZON"},
    "GetRecords": {"ShardIterator": "ITERATOR", "Limit": 5},
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["S", "x"]), inner, max_size=2),
    max_leaves=4,
)


class Asked:
    """A world with an item and no open stream, and a good request for an operation."""

    def __init__(self, operation: str) -> None:
        world = StreamMachine()
        world.put("k0", "a")
        shard = world.list_shards()[0]["ShardId"]
        place = {"StreamArn": world.arn, "ShardId": shard, "ShardIteratorType": "LATEST"}
        iterator = world.streams("GetShardIterator", **place)["ShardIterator"]
        world.do("UpdateTable", StreamSpecification={"StreamEnabled": False})
        text = orjson.dumps(REQUESTS[operation]).decode()
        for word, real in (("ARN", world.arn), ("SHARD", shard), ("ITERATOR", iterator)):
            text = text.replace(f'"{word}"', f'"{real}"')
        self.request = orjson.loads(text)
        self.operation = operation
        self.world = world

    def apply(self) -> object:
        of_streams = "Stream" in self.operation or self.operation in {"GetRecords", "GetShardIterator"}
        machine = self.world.db.streams if of_streams else self.world.db
        return machine.apply(self.world.now, self.operation, self.request)


@pytest.mark.parametrize("operation", REQUESTS)
def test_what_is_spoilt_below_is_good(operation: str) -> None:
    assert isinstance(Asked(operation).apply(), dict)


@settings(max_examples=8 * settings.default.max_examples, derandomize=True)
@given(st.data())
def test_whatever_is_asked_is_answered_or_refused(data: st.DataObject) -> None:
    """A mistake of the caller is told to the caller; it is never a failure of the embedded AWS."""
    asked = Asked(data.draw(st.sampled_from(sorted(REQUESTS))))
    node: object = asked.request
    while True:
        place = data.draw(st.sampled_from(list(node) if isinstance(node, dict) else range(len(node))))
        inner = node[place]
        if not isinstance(inner, dict | list) or not inner or data.draw(st.booleans()):
            node[place] = data.draw(JSON)
            break
        node = inner
    try:
        assert isinstance(asked.apply(), dict)
    except DynamoDbError as error:
        if not error.message:
            raise
