"""DynamoDB and its streams, asked by the poller's own DynamoDbStream of the embedded one and of others' servers.

What none of them can show (several shards, rollover, trimming, iterators that age) is in test_dynamodb_in_time.py.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from poller.aws.clients import AwsClients
from poller.core.model import JsonObject, SourceProblem
from poller.core.records import Position, PositionKind, after, sequence_value
from poller.errors import SourceError
from tests.contract.dynamodb_deviations import DEVIATIONS, NOT_RUN
from tests.contract.dynamodb_server import (
    GENEROUS,
    Server,
    Stream,
    number_of,
    problem,
    put_numbers,
    refused,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

SERVERS = {"embedded": "embedded_aws", "ministack": "ministack", "dynamodb-local": "dynamodb_local"}
LATEST = Position(PositionKind.LATEST)


@pytest.fixture(params=SERVERS)
def dynamodb(request: pytest.FixtureRequest, aws_clients: Callable[[str], AwsClients]) -> Server:
    """Each server in turn; what it is known to do wrong is expected to fail."""
    name = request.param
    test, case = request.node.originalname, request.node.callspec.id.removeprefix(name).strip("-")
    key = (name, f"{test}[{case}]" if case else test)
    if key in NOT_RUN:
        pytest.xfail(f"{name}: {NOT_RUN[key]}")
    if key in DEVIATIONS:
        request.node.add_marker(pytest.mark.xfail(reason=f"{name}: {DEVIATIONS[key]}", strict=True))
    return Server(name, aws_clients(request.getfixturevalue(SERVERS[name])))


# --- what a record says ---


async def test_each_kind_of_change_is_a_record(dynamodb: Server) -> None:
    """DDB-2, DDB-3, DDB-6."""
    table = await dynamodb.table()
    await table.put(n={"N": "1"})
    await table.put(n={"N": "1"})
    await table.put(n={"N": "2"})
    await table.delete()
    await table.delete()
    records = await table.stream.read(3)
    one, two = ({"id": {"S": "a"}, "n": {"N": n}} for n in "12")
    told = [(r["eventName"], r["dynamodb"].get("OldImage"), r["dynamodb"].get("NewImage")) for r in records]
    assert told == [("INSERT", None, one), ("MODIFY", one, two), ("REMOVE", two, None)]
    for record in records:
        assert record["eventVersion"] == "1.1"
        assert record["eventSource"] == "aws:dynamodb"
        assert record["eventID"]
        assert record["awsRegion"]
        assert record["dynamodb"]["Keys"] == {"id": {"S": "a"}}
        assert record["dynamodb"]["StreamViewType"] == "NEW_AND_OLD_IMAGES"
        assert not record.get("userIdentity")


@pytest.mark.parametrize(
    ("view", "images"),
    [("KEYS_ONLY", set()), ("NEW_IMAGE", {"NewImage"}), ("OLD_IMAGE", {"OldImage"})],
    ids=["keys", "new", "old"],
)
async def test_images_follow_the_view_type(dynamodb: Server, view: str, images: set[str]) -> None:
    """DDB-3."""
    table = await dynamodb.table(view)
    await put_numbers(table, 1, 2)
    _, told = (record["dynamodb"] for record in await table.stream.read(2))
    assert {name for name in ("NewImage", "OldImage") if name in told} == images
    assert told["StreamViewType"] == view


ALL_TYPES: JsonObject = {
    "s": {"S": ""}, "n": {"N": "-1.5"}, "b": {"B": "Zm9v"}, "yes": {"BOOL": True}, "no": {"BOOL": False},
    "null": {"NULL": True}, "l": {"L": [{"N": "7"}, {"L": []}]}, "m": {"M": {"x": {"S": "ä"}, "y": {"M": {}}}},
    "ss": {"SS": ["a", "b"]}, "ns": {"NS": ["1", "2"]}, "bs": {"BS": ["YQ==", "Yg=="]},
}  # fmt: skip


async def test_all_types_of_attributes_travel(dynamodb: Server) -> None:
    """DDB-3."""
    table = await dynamodb.table()
    await table.put(**ALL_TYPES)
    [record] = await table.stream.read(1)
    assert record["dynamodb"]["NewImage"] == {"id": {"S": "a"}, **ALL_TYPES}
    assert await table.get() == {"id": {"S": "a"}, **ALL_TYPES}


async def test_another_spelling_is_no_change(dynamodb: Server) -> None:
    """DDB-6."""
    table = await dynamodb.table()
    await table.put(n={"N": "1.0"}, s={"SS": ["b", "a"]})
    await table.put(n={"N": "1"}, s={"SS": ["a", "b"]})
    await table.delete()
    assert [record["eventName"] for record in await table.stream.read(2)] == ["INSERT", "REMOVE"]


async def test_times_of_creation_have_whole_seconds(dynamodb: Server) -> None:
    """DDB-4."""
    table = await dynamodb.table()
    before = time.time()
    await table.put()
    [record] = await table.stream.read(1)
    told = record["dynamodb"]["ApproximateCreationDateTime"]
    assert told == int(told)
    assert int(before) - 1 <= told <= time.time() + 1


async def test_sizes_are_told(dynamodb: Server) -> None:
    table = await dynamodb.table()
    await table.put(v={"S": "x" * 1_000})
    [record] = await table.stream.read(1)
    assert 1_000 < record["dynamodb"]["SizeBytes"] < 1_100


async def test_sequence_numbers_ascend(dynamodb: Server) -> None:
    """STR-28."""
    table = await dynamodb.table()
    await put_numbers(table, *range(20))
    _, records = await table.stream.shard_with(20)
    texts = [record["dynamodb"]["SequenceNumber"] for record in records]
    numbers = [sequence_value(text) for text in texts]
    assert numbers == sorted(set(numbers))
    assert all(21 <= len(text) <= 40 for text in texts)
    assert [number_of(record) for record in records] == list(range(20))


async def test_updates_and_batches_are_in_the_stream(dynamodb: Server) -> None:
    table = await dynamodb.table()
    writes = [{"PutRequest": {"Item": {"id": {"S": key}}}} for key in ("a", "b")]
    await dynamodb.do("BatchWriteItem", RequestItems={table.name: writes})
    await table.do("UpdateItem", Key={"id": {"S": "a"}}, UpdateExpression="SET n = :n",
                   ExpressionAttributeValues={":n": {"N": "5"}})  # fmt: skip
    await dynamodb.do(
        "BatchWriteItem", RequestItems={table.name: [{"DeleteRequest": {"Key": {"id": {"S": "b"}}}}]}
    )
    records = await table.stream.read(4)
    told = [(record["dynamodb"]["Keys"]["id"]["S"], record["eventName"]) for record in records]
    assert [name for key, name in told if key == "a"] == ["INSERT", "MODIFY"]
    assert [name for key, name in told if key == "b"] == ["INSERT", "REMOVE"]


async def test_what_expired_is_deleted_by_the_service(dynamodb: Server) -> None:
    """DDB-5."""
    table = await dynamodb.table()
    specification = {"Enabled": True, "AttributeName": "exp"}
    await table.do("UpdateTimeToLive", TimeToLiveSpecification=specification)
    await table.put(exp={"N": str(int(time.time()) - 10)})
    deadline = time.monotonic() + GENEROUS
    while await table.get() is not None:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
    _, record = await table.stream.read(2)
    assert record["eventName"] == "REMOVE"
    identity = {key.lower(): value for key, value in record["userIdentity"].items()}
    assert identity == {"principalid": "dynamodb.amazonaws.com", "type": "Service"}


# --- reading ---


async def test_reading_goes_on_from_page_to_page(dynamodb: Server) -> None:
    """STR-26: an empty page of an open shard has an iterator, too."""
    table = await dynamodb.table()
    await put_numbers(table, *range(5))
    stream = table.stream
    shard, _ = await stream.shard_with(5)
    first = await stream.page(await stream.at(shard), limit=3)
    assert first.iterator is not None
    second = await stream.page(first.iterator)
    assert second.iterator is not None
    empty = await stream.page(second.iterator)
    assert [number_of(record) for record in first.records + second.records] == list(range(5))
    assert empty.records == []
    assert empty.iterator is not None
    await put_numbers(table, 5)
    last = await stream.page(empty.iterator)
    assert [number_of(record) for record in last.records] == [5]
    assert last.behind is None
    assert last.size > 100


async def test_positions(dynamodb: Server) -> None:
    """STR-10, STR-11, STR-24."""
    table = await dynamodb.table()
    await put_numbers(table, 0, 1, 2)
    stream = table.stream
    shard, records = await stream.shard_with(3)
    latest = await stream.at(shard, LATEST)
    await put_numbers(table, 3)

    async def numbers(iterator: str) -> list[int]:
        return [number_of(record) for record in (await stream.page(iterator)).records]

    assert await numbers(latest) == [3]
    assert await numbers(await stream.at(shard)) == [0, 1, 2, 3]
    for i, record in enumerate(records):
        sequence = record["dynamodb"]["SequenceNumber"]
        assert await numbers(await stream.at(shard, after(sequence))) == list(range(i + 1, 4))
    time_of_old = Position(PositionKind.AT_TIMESTAMP, timestamp=time.time())
    assert await numbers(await stream.at(shard, time_of_old)) == [0, 1, 2, 3]


async def test_a_page_has_a_thousand_records_at_most(dynamodb: Server) -> None:
    """STR-21: the adapter asks for no more, whatever it is told."""
    table = await dynamodb.table("KEYS_ONLY")
    for start in range(0, 2_050, 25):
        writes = [{"PutRequest": {"Item": {"id": {"S": f"k{start + i}"}}}} for i in range(25)]
        await dynamodb.do("BatchWriteItem", RequestItems={table.name: writes})
    stream = table.stream
    pages = [await stream.page(await stream.at(shard), limit=10_000) for shard in await stream.ids()]
    assert max(len(page.records) for page in pages) == 1_000
    assert len(await stream.read(2_050)) == 2_050


async def test_more_than_a_thousand_may_not_be_asked_for(dynamodb: Server) -> None:
    """STR-21."""
    stream = (await dynamodb.table()).stream
    [shard, *_] = await stream.ids()
    with refused():
        await stream.raw("GetRecords", ShardIterator=await stream.at(shard), Limit=1_001)


async def test_a_sequence_number_has_digits(dynamodb: Server) -> None:
    """STR-25: what is none is a position that is gone."""
    stream = (await dynamodb.table()).stream
    [shard, *_] = await stream.ids()
    with problem(SourceProblem.TRIMMED):
        await stream.at(shard, after("no digits but long enough"))


@pytest.mark.parametrize("kind", ["NOWHERE", "AFTER_SEQUENCE_NUMBER"], ids=["kind", "no number"])
async def test_a_wrong_position_is_refused(dynamodb: Server, kind: str) -> None:
    stream = (await dynamodb.table()).stream
    [shard, *_] = await stream.ids()
    with refused():
        await stream.raw("GetShardIterator", StreamArn=stream.arn.text, ShardId=shard, ShardIteratorType=kind)


async def test_garbage_is_no_iterator(dynamodb: Server) -> None:
    stream = (await dynamodb.table()).stream
    with problem(SourceProblem.REFUSED):
        await stream.page("garbage")


# --- streams and shards ---


async def test_a_stream_is_described(dynamodb: Server) -> None:
    """DDB-7, STR-11."""
    stream = (await dynamodb.table()).stream
    facts = await stream.describe()
    assert (facts.status, facts.reading, facts.retention) == ("ENABLED", True, 86_400.0)
    listing = await stream.list_shards()
    assert listing.complete
    assert abs(listing.told_at - time.time()) < 30
    assert listing.shards
    assert all(shard.ending is None and shard.parents == () for shard in listing.shards)


async def test_nothing_is_listed_behind_the_newest_shard(dynamodb: Server) -> None:
    """STR-5."""
    stream = (await dynamodb.table()).stream
    newest = (await stream.ids())[-1]
    listing = await stream.list_shards(since=newest)
    assert (listing.shards, listing.complete) == ((), False)


async def test_an_open_shard_has_no_children(dynamodb: Server) -> None:
    """STR-4."""
    stream = (await dynamodb.table()).stream
    for shard in await stream.ids():
        assert await stream.children(shard) == ()


async def test_a_stream_that_was_switched_off_runs_dry(dynamodb: Server) -> None:
    """DDB-9, STR-4."""
    table = await dynamodb.table()
    await put_numbers(table, 1, 2)
    old = table.stream
    shard, _ = await old.shard_with(2)
    iterator = await old.at(shard)
    await table.disable()
    await put_numbers(table, 3)
    facts = await old.describe()
    assert (facts.status, facts.reading) == ("DISABLED", True)
    assert all(shard.ending is not None for shard in (await old.list_shards()).shards)
    found: list[int] = []
    while iterator is not None:
        page = await old.page(iterator)
        found += [number_of(record) for record in page.records]
        iterator = page.iterator
    assert found == [1, 2]
    assert await old.children(shard) == ()
    assert (await old.page(await old.at(shard, LATEST))).iterator is None


async def test_a_stream_that_is_switched_on_again_is_another(dynamodb: Server) -> None:
    """DDB-9."""
    table = await dynamodb.table()
    old = table.stream_arn
    await put_numbers(table, 1)
    await table.disable()
    await table.enable()
    await put_numbers(table, 2)
    assert table.stream_arn != old
    assert [number_of(record) for record in await table.stream.read(1)] == [2]
    assert [number_of(record) for record in await Stream(dynamodb.clients, old).read(1)] == [1]


async def test_a_stream_outlives_its_table(dynamodb: Server) -> None:
    """DDB-9."""
    table = await dynamodb.table()
    await put_numbers(table, 1)
    await table.do("DeleteTable")
    assert [number_of(record) for record in await table.stream.read(1)] == [1]
    assert (await table.stream.describe()).status == "DISABLED"


async def test_streams_are_listed(dynamodb: Server) -> None:
    table = await dynamodb.table()
    told = await table.stream.raw("ListStreams", TableName=table.name)
    assert [stream["StreamArn"] for stream in told["Streams"]] == [table.stream_arn]


async def test_a_missing_stream_is_told(dynamodb: Server) -> None:
    """CFG-41."""
    stream = (await dynamodb.table()).stream
    missing = Stream(dynamodb.clients, stream.arn.text[:-3] + "xyz")
    with problem(SourceProblem.MISSING) as caught:
        await missing.describe()
    assert str(caught.value).startswith(f"Stream not found: {missing.arn.text}")
    for listing in (missing.list_shards(), missing.list_shards("shardId-00000001700000000000-abcdef01")):
        with problem(SourceProblem.MISSING):
            await listing


async def test_a_missing_shard_is_told(dynamodb: Server) -> None:
    stream = (await dynamodb.table()).stream
    with problem(SourceProblem.MISSING):
        await stream.at("shardId-00000001700000000000-abcdef01")


# --- tables ---


async def test_a_condition_lets_one_writer_win(dynamodb: Server) -> None:
    table = await dynamodb.table(None)

    async def create(number: int) -> bool:
        try:
            await table.do("PutItem", Item={"id": {"S": "a"}, "n": {"N": str(number)}},
                           ConditionExpression="attribute_not_exists(id)")  # fmt: skip
        except SourceError as error:
            if error.code != "ConditionalCheckFailedException":
                raise
            return False
        return True

    assert sum(await asyncio.gather(*map(create, range(10)))) == 1


@pytest.mark.parametrize(
    ("condition", "met"),
    [
        ("n = :five", True), ("n <> :five", False), ("x = :five", False), ("x <> :five", True),
        ("x = y", False), ("x <> y", True),
        ("n = :ten OR (attribute_exists(n) AND NOT n = :ten)", True), ("n < :ten AND n >= :five", True),
        ("n BETWEEN :five AND :ten", True), ("n < :text", False), ("begins_with(s, :text)", True),
        ("n = :five AND s = :ten", False), ("attribute_not_exists(n)", False),
    ],
)  # fmt: skip
async def test_conditions(dynamodb: Server, condition: str, met: bool) -> None:
    table = await dynamodb.table(None)
    await table.put(n={"N": "5"}, s={"S": "text"})
    values = {":five": {"N": "5.0"}, ":ten": {"N": "10"}, ":text": {"S": "te"}}
    used = {key: value for key, value in values.items() if key in condition}
    request: dict[str, Any] = {"Item": {"id": {"S": "a"}}, "ConditionExpression": condition}
    if used:
        request["ExpressionAttributeValues"] = used
    if met:
        await table.do("PutItem", **request)
    else:
        with refused("ConditionalCheckFailedException"):
            await table.do("PutItem", **request)


async def test_an_update_of_every_kind(dynamodb: Server) -> None:
    table = await dynamodb.table(None)
    await table.put(n={"N": "1"}, gone={"S": "x"}, tags={"SS": ["b"]})
    told = await table.do(
        "UpdateItem",
        Key={"id": {"S": "a"}},
        UpdateExpression="SET #n = #n + :one, m = if_not_exists(m, :big), k = :big - n REMOVE gone "
        "ADD c :one, tags :t",
        ExpressionAttributeNames={"#n": "n"},
        ExpressionAttributeValues={":one": {"N": "1"}, ":big": {"N": "10"}, ":t": {"SS": ["a"]}},
        ReturnValues="ALL_NEW",
    )
    told["Attributes"]["tags"]["SS"].sort()
    assert told["Attributes"] == {
        "id": {"S": "a"}, "n": {"N": "2"}, "m": {"N": "10"}, "k": {"N": "9"}, "c": {"N": "1"},
        "tags": {"SS": ["a", "b"]},
    }  # fmt: skip


@pytest.mark.parametrize(
    "expression",
    [
        "SET id = :v", "SET a = b + :v", "SET a = :v, a = :v", "SET a = :nobody", "SET a :v", "REMOVE a",
        "ADD t :v", "SET a = #nobody + :v", "",
    ],
    ids=["key", "nothing", "twice", "value", "syntax", "unused", "type", "name", "empty"],
)  # fmt: skip
async def test_a_wrong_update_is_refused(dynamodb: Server, expression: str) -> None:
    table = await dynamodb.table(None)
    await table.put(t={"S": "x"})
    with refused():
        await table.do("UpdateItem", Key={"id": {"S": "a"}}, UpdateExpression=expression,
                       ExpressionAttributeValues={":v": {"N": "1"}})  # fmt: skip
    assert await table.get() == {"id": {"S": "a"}, "t": {"S": "x"}}


@pytest.mark.parametrize(
    "item",
    [
        {"v": {"S": "x"}}, {"id": {"N": "1"}}, {"id": {"S": ""}}, {"id": {"S": "a"}, "v": {"SS": []}},
        {"id": {"S": "a"}, "v": {"SS": ["x", "x"]}}, {"id": {"S": "a"}, "v": {"N": "x"}},
        {"id": {"S": "a"}, "v": {"N": "1" * 39}}, {"id": {"S": "a"}, "v": {"S": "x" * 410_000}},
    ],
    ids=["no key", "key type", "empty key", "empty set", "set twice", "no number", "39 digits", "400 KB"],
)  # fmt: skip
async def test_a_wrong_item_is_refused(dynamodb: Server, item: JsonObject) -> None:
    table = await dynamodb.table(None)
    with refused():
        await table.do("PutItem", Item=item)


async def test_numbers_have_one_form(dynamodb: Server) -> None:
    table = await dynamodb.table(None)
    await table.put(a={"N": "1.50"}, b={"N": "1e3"}, c={"N": "007"}, d={"N": "-1.5E-3"})
    item = await table.get() or {}
    assert [item[name]["N"] for name in "abcd"] == ["1.5", "1000", "7", "-0.0015"]


async def test_a_scan_in_pages_and_a_query(dynamodb: Server) -> None:
    table = await dynamodb.table(None)
    for number in range(5):
        await table.put(f"k{number}")
    seen: list[str] = []
    start: dict[str, Any] = {}
    while True:
        page = await table.do("Scan", Limit=2, **start)
        seen += [item["id"]["S"] for item in page["Items"]]
        if "LastEvaluatedKey" not in page:
            break
        start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}
    assert sorted(seen) == [f"k{number}" for number in range(5)]
    found = await table.do("Query", KeyConditionExpression="id = :id",
                           ExpressionAttributeValues={":id": {"S": "k3"}})  # fmt: skip
    assert found["Items"] == [{"id": {"S": "k3"}}]


@pytest.mark.parametrize("keys", [["a", "a"], [f"k{number}" for number in range(26)]], ids=["twice", "26"])
async def test_a_wrong_batch_is_refused(dynamodb: Server, keys: list[str]) -> None:
    table = await dynamodb.table(None)
    writes = [{"PutRequest": {"Item": {"id": {"S": key}}}} for key in keys]
    with refused():
        await dynamodb.do("BatchWriteItem", RequestItems={table.name: writes})
    assert await table.get(keys[0]) is None


@pytest.mark.parametrize("operation", ["PutItem", "DescribeTable", "DeleteTable"])
async def test_a_missing_table_is_told(dynamodb: Server, operation: str) -> None:
    item = {"Item": {"id": {"S": "a"}}} if operation == "PutItem" else {}
    with refused("ResourceNotFoundException"):
        await dynamodb.do(operation, TableName="nothere", **item)


async def test_a_table_is_made_once(dynamodb: Server) -> None:
    table = await dynamodb.table()
    with refused("ResourceInUseException"):
        await dynamodb.do(
            "CreateTable",
            TableName=table.name,
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
    with refused():
        await table.enable()
    await table.disable()
    with refused():
        await table.disable()
