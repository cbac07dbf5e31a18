"""Kinesis, asked by the poller's own KinesisStream of the embedded AWS and of servers that others wrote."""

import asyncio
import hashlib
import itertools
import time
from collections.abc import Callable

import pytest

from poller.aws.clients import AwsClients
from poller.core.model import SourceProblem
from poller.core.records import Position, PositionKind, Shard, after
from poller.errors import SourceError
from tests.contract.kinesis_deviations import DEVIATIONS, NOT_RUN
from tests.contract.kinesis_server import GENEROUS, Server, encoded, texts

pytestmark = pytest.mark.asyncio(loop_scope="module")

SERVERS = {
    "embedded": "embedded_aws",
    "kinesis-local": "kinesis_local",
    "kinesalite": "kinesalite",
    "roto": "roto_server",
    "ministack": "ministack",
}
RESHARDING = [name for name in SERVERS if name != "ministack"]  # it loses the parents and their records
LATEST = Position(PositionKind.LATEST)
KEYS = 1 << 128


def _server(request: pytest.FixtureRequest, aws_clients: Callable[[str], AwsClients]) -> Server:
    name = request.param
    test, case = request.node.originalname, request.node.callspec.id.removeprefix(name).strip("-")
    key = (name, f"{test}[{case}]" if case else test)
    if key in NOT_RUN:
        pytest.xfail(f"{name}: {NOT_RUN[key]}")
    if key in DEVIATIONS:
        request.node.add_marker(pytest.mark.xfail(reason=f"{name}: {DEVIATIONS[key]}", strict=True))
    return Server(name, aws_clients(request.getfixturevalue(SERVERS[name])))


@pytest.fixture(params=SERVERS)
def kinesis(request: pytest.FixtureRequest, aws_clients: Callable[[str], AwsClients]) -> Server:
    """Each server in turn; what it is known to do wrong is expected to fail."""
    return _server(request, aws_clients)


@pytest.fixture(params=RESHARDING)
def resharding(request: pytest.FixtureRequest, aws_clients: Callable[[str], AwsClients]) -> Server:
    """The same of the servers that split and merge."""
    return _server(request, aws_clients)


def owner(shards: tuple[Shard, ...], hash_key: int) -> str:
    (found,) = [s.id for s in shards if s.ending is None and int(s.hash_start) <= hash_key <= int(s.hash_end)]
    return found


def open_ones(shards: tuple[Shard, ...]) -> list[Shard]:
    return sorted((s for s in shards if s.ending is None), key=lambda shard: int(shard.hash_start))


def check_cover(shards: list[Shard]) -> None:
    """Every hash key belongs to just one of these."""
    assert int(shards[0].hash_start) == 0
    assert int(shards[-1].hash_end) == KEYS - 1
    for left, right in itertools.pairwise(shards):
        assert int(left.hash_end) + 1 == int(right.hash_start)


async def refusal(call: object) -> SourceError:
    with pytest.raises(SourceError) as caught:
        await call  # type: ignore[misc]
    return caught.value


# --- streams and shards ---


async def test_a_stream_tells_status_and_retention(kinesis: Server) -> None:
    """KIN-7."""
    facts = await (await kinesis.create()).describe()
    assert (facts.status, facts.reading, facts.retention) == ("ACTIVE", True, 86_400)


async def test_a_stream_that_is_not_there(kinesis: Server) -> None:
    """CFG-41."""
    stream = kinesis.stream("none")
    for call in (stream.describe(), stream.list_shards(), stream.at("shardId-000000000000")):
        assert (await refusal(call)).problem is SourceProblem.MISSING


async def test_a_name_is_taken_once(kinesis: Server) -> None:
    stream = await kinesis.create()
    assert (await refusal(stream.raw("CreateStream", ShardCount=1))).code == "ResourceInUseException"


async def test_a_deleted_stream_is_missing(kinesis: Server) -> None:
    stream = await kinesis.create()
    await stream.raw("DeleteStream")
    deadline = time.monotonic() + GENEROUS
    while time.monotonic() < deadline:
        try:
            await stream.describe()
        except SourceError as error:
            # it may take a while, and in the middle of it kinesis-local answers 500 now and then
            if error.problem is not SourceProblem.SERVER:
                assert error.problem is SourceProblem.MISSING  # noqa: PT017 - another answer ends the loop
                return
    raise AssertionError("it is still there")


async def test_an_iterator_of_a_deleted_stream(kinesis: Server) -> None:
    stream = await kinesis.create()
    iterator = await stream.at("shardId-000000000000")
    await stream.raw("DeleteStream")
    deadline = time.monotonic() + GENEROUS
    while time.monotonic() < deadline:
        try:
            await stream.page(iterator)
        except SourceError as error:
            # it may take a while, and in the middle of it kinesis-local answers 500 now and then
            if error.problem is not SourceProblem.SERVER:
                assert error.problem is SourceProblem.MISSING  # noqa: PT017 - another answer ends the loop
                return
    raise AssertionError("it is still read")


async def test_new_shards_cover_all_hash_keys(kinesis: Server) -> None:
    shards = await (await kinesis.create(3)).shards()
    assert [shard.id for shard in shards] == [f"shardId-{n:012d}" for n in range(3)]
    assert {shard.parents for shard in shards} == {()}
    check_cover(list(shards))


async def test_shards_after_one(kinesis: Server) -> None:
    """STR-5: `since`."""
    stream = await kinesis.create(3)
    listing = await stream.list_shards("shardId-000000000000")
    assert [shard.id[-1] for shard in listing.shards] == ["1", "2"]
    assert not listing.complete
    assert (await stream.list_shards()).complete


async def test_a_listing_tells_the_time_of_the_service(kinesis: Server) -> None:
    """STR-11."""
    listing = await (await kinesis.create()).list_shards()
    assert abs(listing.told_at - time.time()) < GENEROUS


async def test_shards_come_in_pages_found_by_the_token_alone(kinesis: Server) -> None:
    """STR-5."""
    stream = await kinesis.create(3)
    first = await stream.raw("ListShards", MaxResults=2)
    second = await stream.alone("ListShards", NextToken=first["NextToken"], MaxResults=2)
    found = [shard["ShardId"] for page in (first, second) for shard in page["Shards"]]
    assert found == [f"shardId-{n:012d}" for n in range(3)]
    assert not second.get("NextToken")


async def test_a_token_stands_alone(kinesis: Server) -> None:
    """STR-5."""
    stream = await kinesis.create(2)
    token = (await stream.raw("ListShards", MaxResults=1))["NextToken"]
    assert (await refusal(stream.raw("ListShards", NextToken=token))).problem is SourceProblem.REFUSED


# --- records ---


async def test_a_record_in_wire_form(kinesis: Server) -> None:
    """KIN-2."""
    stream = await kinesis.create()
    before = time.time()
    (put,) = await stream.put("héllo", key="k")
    (record,), _ = await stream.read(await stream.at(put["ShardId"]), 1)
    arrived = record.pop("ApproximateArrivalTimestamp")
    assert abs(arrived - before) < GENEROUS
    record.pop("EncryptionType", None)
    assert record == {"Data": encoded("héllo"), "PartitionKey": "k", "SequenceNumber": put["SequenceNumber"]}


async def test_records_come_in_order_and_numbers_ascend(kinesis: Server) -> None:
    """STR-1, STR-28."""
    stream = await kinesis.create()
    sent = [f"r{n}" for n in range(12)]
    await stream.put(*sent)
    records, page = await stream.read(await stream.at("shardId-000000000000"), 12, limit=5)
    assert texts(records) == sent
    numbers = [int(record["SequenceNumber"]) for record in records]
    assert numbers == sorted(set(numbers))
    assert page.iterator is not None


async def test_sequence_numbers_have_56_digits(kinesis: Server) -> None:
    (put,) = await (await kinesis.create()).put("x")
    assert len(put["SequenceNumber"]) == 56


async def test_the_md5_of_the_key_chooses_the_shard(kinesis: Server) -> None:
    stream = await kinesis.create(3)
    shards = await stream.shards()
    for key in ("a", "b", "c", "ключ"):
        digest = int.from_bytes(hashlib.md5(key.encode(), usedforsecurity=False).digest())
        (put,) = await stream.put("x", key=key)
        assert put["ShardId"] == owner(shards, digest)


@pytest.mark.parametrize("hash_key", [0, KEYS // 2, KEYS - 1], ids=["lowest", "middle", "highest"])
async def test_an_explicit_hash_key_chooses_the_shard(kinesis: Server, hash_key: int) -> None:
    stream = await kinesis.create(2)
    (put,) = await stream.put("x", hash_key=hash_key)
    assert put["ShardId"] == owner(await stream.shards(), hash_key)


async def test_many_records_in_one_put_and_one_page(kinesis: Server) -> None:
    """STR-21."""
    stream = await kinesis.create()
    sent = [f"r{n}" for n in range(500)]
    entries = [{"Data": encoded(text), "PartitionKey": "k"} for text in sent]
    answer = await stream.raw("PutRecords", Records=entries)
    assert (answer.get("FailedRecordCount"), len(answer["Records"])) == (0, 500)
    page = await stream.page(await stream.at("shardId-000000000000"))
    assert texts(page.records) == sent
    assert page.size > 500 * 100


async def test_a_page_has_ten_megabytes_at_most(kinesis: Server) -> None:
    """STR-21."""
    stream = await kinesis.create()
    for _ in range(12):
        await stream.put("x" * 1_000_000, key="k")
    records, _ = await stream.read(await stream.at("shardId-000000000000"), 1)
    assert 9 <= len(records) <= 10


async def test_too_large_a_record_is_refused(kinesis: Server) -> None:
    stream = await kinesis.create()
    assert (await refusal(stream.put("x" * 1_100_000, key="k"))).problem is SourceProblem.REFUSED


async def test_an_empty_shard(kinesis: Server) -> None:
    """STR-26."""
    stream = await kinesis.create()
    page = await stream.page(await stream.at("shardId-000000000000"))
    assert (page.records, page.behind, page.children) == ([], 0, ())
    assert page.iterator is not None


async def test_how_far_behind(kinesis: Server) -> None:
    """STR-20, STR-26: above nothing while there is more, nothing at the tip."""
    stream = await kinesis.create()
    await stream.put("a")
    await asyncio.sleep(0.05)  # what came in the millisecond of the newest is not behind
    await stream.put("b", "c")
    page = await stream.page(await stream.at("shardId-000000000000"), 1)
    assert page.behind is not None
    assert page.behind > 0
    assert page.iterator is not None
    _, page = await stream.read(page.iterator, 2)
    assert page.behind == 0


async def test_no_more_than_ten_thousand_are_asked_for(kinesis: Server) -> None:
    """STR-21."""
    stream = await kinesis.create()
    iterator = await stream.at("shardId-000000000000")
    assert (await refusal(stream.page(iterator, 10_001))).problem is SourceProblem.REFUSED


# --- positions ---


async def test_the_newest(kinesis: Server) -> None:
    """STR-11: LATEST."""
    stream = await kinesis.create()
    await stream.put("old")
    iterator = await stream.at("shardId-000000000000", LATEST)
    await stream.put("new")
    records, _ = await stream.read(iterator, 1)
    assert texts(records) == ["new"]


async def test_after_a_sequence_number(kinesis: Server) -> None:
    """STR-24."""
    stream = await kinesis.create()
    first, second, third = await stream.put("a", "b", "c")
    records, _ = await stream.read(await stream.at(first["ShardId"], after(first["SequenceNumber"])), 2)
    assert [record["SequenceNumber"] for record in records] == [second["SequenceNumber"], third["SequenceNumber"]]


async def test_after_the_newest_sequence_number(kinesis: Server) -> None:
    """STR-24."""
    stream = await kinesis.create()
    (put,) = await stream.put("a")
    iterator = await stream.at(put["ShardId"], after(put["SequenceNumber"]))
    assert (await stream.page(iterator)).records == []
    await stream.put("b")
    records, _ = await stream.read(iterator, 1)
    assert texts(records) == ["b"]


async def test_at_a_time(kinesis: Server) -> None:
    """STR-13: the first record at or after it."""
    stream = await kinesis.create()
    await stream.put("a")
    await asyncio.sleep(0.05)  # the next one comes in another millisecond
    await stream.put("b", "c")
    shard = "shardId-000000000000"
    records, _ = await stream.read(await stream.at(shard), 3)
    arrived = records[1]["ApproximateArrivalTimestamp"]
    at = Position(PositionKind.AT_TIMESTAMP, timestamp=arrived)
    records, _ = await stream.read(await stream.at(shard, at), 2)
    assert texts(records) == ["b", "c"]


async def test_at_a_time_before_the_horizon(kinesis: Server) -> None:
    """STR-13: as TRIM_HORIZON."""
    stream = await kinesis.create()
    await stream.put("a")
    long_ago = Position(PositionKind.AT_TIMESTAMP, timestamp=time.time() - 90_000)
    records, _ = await stream.read(await stream.at("shardId-000000000000", long_ago), 1)
    assert texts(records) == ["a"]


async def test_at_a_time_that_has_not_come(kinesis: Server) -> None:
    """STR-13."""
    stream = await kinesis.create()
    future = Position(PositionKind.AT_TIMESTAMP, timestamp=time.time() + 3600)
    assert (await refusal(stream.at("shardId-000000000000", future))).problem is SourceProblem.REFUSED


async def test_a_sequence_number_of_another_stream(kinesis: Server) -> None:
    """STR-25: that is what is left of a position when its stream was deleted and made anew."""
    stream, other = await kinesis.create(), await kinesis.create(2)
    (put,) = await other.put("x", hash_key=KEYS - 1)
    error = await refusal(stream.at("shardId-000000000000", after(put["SequenceNumber"])))
    assert error.problem is SourceProblem.TRIMMED


async def test_a_shard_that_is_not_there(kinesis: Server) -> None:
    stream = await kinesis.create()
    assert (await refusal(stream.at("shardId-000000000009"))).problem is SourceProblem.MISSING


async def test_an_iterator_that_is_none(kinesis: Server) -> None:
    stream = await kinesis.create()
    assert (await refusal(stream.page("nonsense"))).problem is SourceProblem.REFUSED


# --- resharding ---


async def test_a_split(resharding: Server) -> None:
    """STR-2, STR-4."""
    stream = await resharding.create()
    await stream.put("a", "b")
    (parent,) = await stream.shards()
    await stream.split(parent)
    shards = await stream.shards()
    ended = next(shard for shard in shards if shard.id == parent.id)
    children = open_ones(shards)
    assert ended.ending is not None
    assert [child.parents for child in children] == [(parent.id,)] * 2
    check_cover(children)
    assert {child.id for child in await stream.children(parent.id)} == {child.id for child in children}
    assert await stream.children(children[0].id) == ()


async def test_the_sequence_numbers_of_a_closed_shard(resharding: Server) -> None:
    stream = await resharding.create()
    (put,) = await stream.put("a")
    await stream.split((await stream.shards())[0])
    ended = (await stream.shards())[0]
    assert int(ended.starting) < int(put["SequenceNumber"]) <= int(ended.ending or 0)


async def test_a_split_shard_is_read_to_its_end(resharding: Server) -> None:
    """STR-4."""
    stream = await resharding.create()
    await stream.put("a", "b")
    (parent,) = await stream.shards()
    before = await stream.at(parent.id)
    await stream.split(parent)
    assert texts((await stream.read_to_the_end(parent.id))[0]) == ["a", "b"]
    records, page = await stream.read(before, 1 << 30)
    assert (texts(records), page.iterator) == (["a", "b"], None)


async def test_the_end_of_a_shard_names_its_children(resharding: Server) -> None:
    """STR-4."""
    stream = await resharding.create()
    await stream.put("a")
    (parent,) = await stream.shards()
    await stream.split(parent)
    _, page = await stream.read_to_the_end(parent.id)
    children = sorted(page.children, key=lambda shard: shard.id)
    assert [child.id for child in children] == [shard.id for shard in (await stream.shards())[1:]]
    assert [child.parents for child in children] == [(parent.id,)] * 2
    check_cover(children)


async def test_records_after_a_split_are_in_the_children(resharding: Server) -> None:
    """STR-6."""
    stream = await resharding.create()
    (put,) = await stream.put("a", hash_key=0)
    (parent,) = await stream.shards()
    await stream.split(parent)
    low, high = [*await stream.put("b", hash_key=0), *await stream.put("c", hash_key=KEYS - 1)]
    assert len({put["ShardId"], low["ShardId"], high["ShardId"]}) == 3
    assert int(low["SequenceNumber"]) > int(put["SequenceNumber"])
    for answer, text in ((low, "b"), (high, "c")):
        records, _ = await stream.read(await stream.at(answer["ShardId"]), 1)
        assert texts(records) == [text]
    assert texts((await stream.read_to_the_end(parent.id))[0]) == ["a"]


async def test_a_merge(resharding: Server) -> None:
    """STR-2: the child has two parents."""
    stream = await resharding.create(2)
    await stream.put("a", hash_key=0)
    await stream.put("b", hash_key=KEYS - 1)
    first, second = await stream.shards()
    await stream.merge(first, second)
    (child,) = open_ones(await stream.shards())
    assert child.parents == (first.id, second.id)
    check_cover([child])
    for parent, text in ((first, "a"), (second, "b")):
        assert [shard.id for shard in await stream.children(parent.id)] == [child.id]
        assert texts((await stream.read_to_the_end(parent.id))[0]) == [text]


async def test_the_end_of_a_merged_shard_names_both_parents(resharding: Server) -> None:
    """STR-2, STR-4."""
    stream = await resharding.create(2)
    first, second = await stream.shards()
    await stream.merge(first, second)
    _, page = await stream.read_to_the_end(second.id)
    (child,) = page.children
    assert set(child.parents) == {first.id, second.id}


async def test_the_newest_of_a_closed_shard_is_its_end(resharding: Server) -> None:
    """STR-12."""
    stream = await resharding.create()
    await stream.put("a")
    (parent,) = await stream.shards()
    await stream.split(parent)
    records, page = await stream.read(await stream.at(parent.id, LATEST), 1)
    assert (records, page.iterator) == ([], None)


async def test_after_the_last_record_of_a_closed_shard_is_its_end(resharding: Server) -> None:
    """STR-4, STR-24: a restart between the last record and the end."""
    stream = await resharding.create()
    (put,) = await stream.put("a")
    (parent,) = await stream.shards()
    await stream.split(parent)
    records, page = await stream.read(await stream.at(parent.id, after(put["SequenceNumber"])), 1)
    assert (records, page.iterator) == ([], None)


async def test_generations(resharding: Server) -> None:
    """STR-2, STR-10: a split, a split of a child, a merge of neighbours of different age."""
    stream = await resharding.create()
    (root,) = await stream.shards()
    await stream.split(root)
    low, high = open_ones(await stream.shards())
    await stream.split(low)
    _, middle, _ = open_ones(await stream.shards())
    await stream.merge(middle, high)
    shards = {shard.id: shard for shard in await stream.shards()}
    left, right = open_ones(tuple(shards.values()))
    assert left.parents == (low.id,)
    assert right.parents == (middle.id, high.id)
    assert shards[middle.id].parents == (low.id,)
    assert len(shards) == 6
    for shard in shards.values():
        assert all(parent < shard.id for parent in shard.parents)


async def test_a_closed_shard_is_not_split_again(resharding: Server) -> None:
    stream = await resharding.create()
    (parent,) = await stream.shards()
    await stream.split(parent)
    assert (await refusal(stream.split(parent))).code in {"InvalidArgumentException", "ResourceInUseException"}


async def test_shards_that_are_no_neighbours_are_not_merged(resharding: Server) -> None:
    stream = await resharding.create(3)
    first, _, third = await stream.shards()
    assert (await refusal(stream.merge(first, third))).problem is SourceProblem.REFUSED


@pytest.mark.parametrize(("before", "target"), [(2, 4), (4, 2), (2, 3)], ids=["double", "halve", "uneven"])
async def test_another_number_of_shards(resharding: Server, before: int, target: int) -> None:
    stream = await resharding.create(before)
    roots = await stream.shards()
    await stream.raw("UpdateShardCount", TargetShardCount=target, ScalingType="UNIFORM_SCALING")
    await stream.active()
    shards = await stream.shards()
    leaves = open_ones(shards)
    assert len(leaves) == target
    check_cover(leaves)
    known, old = {shard.id for shard in shards}, {shard.id for shard in roots}
    assert old <= known
    for shard in shards:
        assert set(shard.parents) <= known
        assert bool(shard.parents) is (shard.id not in old)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"Type": "AT_LATEST"}, "34"),
        ({"Type": "AT_TRIM_HORIZON"}, "01"),
        ({"Type": "FROM_TRIM_HORIZON"}, "01234"),
        ({"Type": "AFTER_SHARD_ID", "ShardId": "shardId-000000000002"}, "34"),
    ],
    ids=["latest", "horizon", "from horizon", "after"],
)
async def test_a_filter_of_shards(resharding: Server, wanted: dict[str, str], found: str) -> None:
    """STR-12: which shards are open, and which were."""
    stream = await resharding.create(2)
    first, second = await stream.shards()
    await stream.merge(first, second)
    (child,) = open_ones(await stream.shards())
    await stream.split(child)
    answer = await stream.raw("ListShards", ShardFilter=wanted)
    assert "".join(shard["ShardId"][-1] for shard in answer["Shards"]) == found


async def test_a_filter_of_shards_by_time(resharding: Server) -> None:
    stream = await resharding.create(2)
    first, second = await stream.shards()
    await asyncio.sleep(0.3)
    between = time.time()
    await asyncio.sleep(0.3)
    await stream.merge(first, second)
    for kind, found in (("AT_TIMESTAMP", "01"), ("FROM_TIMESTAMP", "012")):
        answer = await stream.raw("ListShards", ShardFilter={"Type": kind, "Timestamp": between})
        assert "".join(shard["ShardId"][-1] for shard in answer["Shards"]) == found
