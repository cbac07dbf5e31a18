"""DynamoDB Streams end to end: long lineages, rollover while reading, images of every type, deletions by TTL."""

import base64
from collections.abc import AsyncIterator
from typing import Any

import pytest

import poller
from poller.testing import EmbeddedAws
from tests.acceptance import stream_daemon as streams

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_EC2_METADATA_DISABLED": "true"}


class Table:
    """A table with a stream of both images, on an embedded AWS in this event loop."""

    def __init__(self, aws: EmbeddedAws, clock: streams.MovedClock) -> None:
        self._aws = aws
        self._clock = clock
        made = self.do(
            "CreateTable",
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        )
        self.arn = str(made["TableDescription"]["LatestStreamArn"])

    def do(self, operation: str, **request: Any) -> Any:
        answer = self._aws.dynamodb_service.do(operation, {"TableName": "things", **request})
        assert isinstance(answer, dict), answer
        return answer

    def put(self, key: str, **attributes: Any) -> None:
        self.do("PutItem", Item={"id": {"S": key}, **attributes})

    def delete(self, key: str) -> None:
        self.do("DeleteItem", Key={"id": {"S": key}})

    def roll(self, into: int = 1) -> None:
        self._aws.dynamodb.roll(self._clock.now(), "things", into)

    def later(self, seconds: float) -> None:
        self._clock.ahead += seconds


@pytest.fixture
def clock() -> streams.MovedClock:
    return streams.MovedClock()


@pytest.fixture
async def aws(clock: streams.MovedClock) -> AsyncIterator[EmbeddedAws]:
    async with EmbeddedAws(clock=clock) as aws:
        yield aws


@pytest.fixture
def table(aws: EmbeddedAws, clock: streams.MovedClock) -> Table:
    return Table(aws, clock)


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)


def reading(aws: EmbeddedAws) -> poller.Poller:
    return poller.Poller(region="us-east-1", endpoint_url=aws.url)


async def test_three_hundred_closed_shards_and_rollover_while_reading(aws: EmbeddedAws, table: Table) -> None:
    """STR-2, STR-5, STR-7, STR-10, DDB-2: the order of an item's changes through 300 generations, and through
    those that come while they are read, each with two children: all once, none before an older one.
    """
    count = 0

    def write() -> None:
        nonlocal count
        count += 1
        for key in "abcd":
            table.put(key, n={"N": str(count)})

    for _ in range(300):
        write()
        table.roll()
    write()
    seen: dict[str, list[int]] = {key: [] for key in "abcd"}
    shards = set()

    async def handler(event: Any, context: Any) -> None:
        for record in event["Records"]:
            change = record["dynamodb"]
            seen[change["Keys"]["id"]["S"]].append(int(change["NewImage"]["n"]["N"]))
            shards.add(record["eventSourceARN"])

    async with reading(aws) as p:
        p.add(table.arn, handler, StartingPosition="TRIM_HORIZON", Name="things")
        for into in (1, 2, 1, 2):
            target = min(count, len(seen["a"]) + 20)
            await streams.until(lambda target=target: len(seen["a"]) >= target, "the reading")
            table.roll(into)
            write()
        await p.drain()
    assert count == 305
    assert seen == {key: list(range(1, count + 1)) for key in "abcd"}
    assert shards == {table.arn}


async def test_images_with_every_type_of_attribute(aws: EmbeddedAws, table: Table) -> None:
    """DDB-1, DDB-3, DDB-4, DDB-6: images arrive as they were written: numbers as strings, binary as base64; which
    ones there are follows from what has happened to the item.
    """
    blobs = [base64.b64encode(blob).decode() for blob in (bytes(range(256)), b"", b"\x00")]
    every: dict[str, Any] = {
        "s": {"S": 'grün ☃ " \\ \n'},
        "empty": {"S": ""},
        "n": {"N": "12345678901234567890123456789012345678"},
        "small": {"N": "-0.00000000000000000000000000001"},
        "b": {"B": blobs[0]},
        "nothing": {"NULL": True},
        "yes": {"BOOL": True},
        "no": {"BOOL": False},
        "ss": {"SS": ["one", "two"]},
        "ns": {"NS": ["1", "2.5"]},
        "bs": {"BS": [blobs[2]]},
        "l": {"L": [{"S": "a"}, {"N": "1"}, {"L": []}, {"M": {}}, {"NULL": True}]},
        "m": {"M": {"deep": {"M": {"deeper": {"B": blobs[1]}}}, "list": {"L": [{"NS": ["3"]}]}}},
    }
    table.put("x", **every)
    table.put("x", **every)  # changes nothing, and writes no record
    table.put("x", s={"S": "changed"})
    table.delete("x")
    records: list[Any] = []

    async def handler(event: Any, context: Any) -> None:
        records.extend(event["Records"])

    async with reading(aws) as p:
        p.add(table.arn, handler, StartingPosition="TRIM_HORIZON")
        await p.drain()
    full = {"id": {"S": "x"}, **every}
    changed = {"id": {"S": "x"}, "s": {"S": "changed"}}
    assert [record["eventName"] for record in records] == ["INSERT", "MODIFY", "REMOVE"]
    images = [(r["dynamodb"].get("OldImage"), r["dynamodb"].get("NewImage")) for r in records]
    assert images == [(None, full), (full, changed), (changed, None)]
    for record in records:
        assert record["dynamodb"]["Keys"] == {"id": {"S": "x"}}
        assert record["dynamodb"]["StreamViewType"] == "NEW_AND_OLD_IMAGES"
        created = record["dynamodb"]["ApproximateCreationDateTime"]
        assert isinstance(created, (int, float))
        assert created == int(created)
        assert record["eventSource"] == "aws:dynamodb"
        assert record["eventVersion"] == "1.1"
        assert "userIdentity" not in record
        assert "invokeIdentityArn" not in record


async def test_what_the_time_to_live_deletes(aws: EmbeddedAws, table: Table, clock: streams.MovedClock) -> None:
    """DDB-5: it comes as a REMOVE by DynamoDB itself; a deletion by a user has no userIdentity."""
    table.do("UpdateTimeToLive", TimeToLiveSpecification={"Enabled": True, "AttributeName": "until"})
    soon = int(clock.now().wall) + 600
    table.put("old", until={"N": str(soon)})
    table.put("kept", until={"N": str(soon + 1_000_000)})
    removed: dict[str, Any] = {}
    seen = []

    async def handler(event: Any, context: Any) -> None:
        for record in event["Records"]:
            key = record["dynamodb"]["Keys"]["id"]["S"]
            seen.append((record["eventName"], key))
            if record["eventName"] == "REMOVE":
                removed[key] = record

    async with reading(aws) as p:
        p.add(table.arn, handler, StartingPosition="TRIM_HORIZON")
        await streams.until(lambda: len(seen) == 2, "the items")
        table.later(3600)
        await streams.until(lambda: "old" in removed, "the deletion of what is over")
        table.delete("kept")
        await streams.until(lambda: "kept" in removed, "the user's deletion")
    assert removed["old"]["userIdentity"] == {"type": "Service", "principalId": "dynamodb.amazonaws.com"}
    assert removed["old"]["dynamodb"]["OldImage"] == {"id": {"S": "old"}, "until": {"N": str(soon)}}
    assert "NewImage" not in removed["old"]["dynamodb"]
    assert "userIdentity" not in removed["kept"]
    assert seen == [("INSERT", "old"), ("INSERT", "kept"), ("REMOVE", "old"), ("REMOVE", "kept")]
